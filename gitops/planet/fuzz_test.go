package planet_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v3"

	"github.com/pandometrics/pando/gitops/planet"
)

// Substitution, as text in and text out, in cluster eu-1.
func TestSubstitution(t *testing.T) {
	for _, tc := range [][2]string{
		{"${cluster}", "eu-1"},
		{"${zone}.${cluster}:80", "eu.eu-1:80"},
		{"${label:stage} of ${label:continent}", "canary of europe"},
		// Escapes.
		{"$${cluster}", "${cluster}"},
		{"$$${cluster}", "$eu-1"},
		{"$$$${cluster}", "$${cluster}"},
		{"$${label:nothing}", "${label:nothing}"},
		// All other dollars are left as they are.
		{"$1", "$1"},
		{"${1}", "${1}"},
		{"$$1", "$$1"},
		{"$$", "$$"},
		{"$", "$"},
		{"$cluster", "$cluster"},
		{"${}", "${}"},
		{"${", "${"},
		{"$${1}", "$${1}"},
		{"${1}${cluster}$2", "${1}eu-1$2"},
		// What is put in is not looked at again, nor does it end a text.
		{"${${cluster}}", "${eu-1}"},
		{"'\"\\ ${cluster} \n#", "'\"\\ eu-1 \n#"},
	} {
		if got := substituted(t, tc[0]); got != tc[1] {
			t.Errorf("%q: want %q, got %q", tc[0], tc[1], got)
		}
	}
}

// Groups of regular expressions in relabelings are not the planet's, whatever they
// are called; an unquoted variable may be a number.
func TestSubstitutionInPlace(t *testing.T) {
	p := load(t, with(`
-- scrape/nodes.yml --
scrape_configs:
  - job_name: nodes
    sample_limit: ${label:port}
    params: {a: ["${label:port}"], b: ["x${label:port}"]}
    static_configs: [{targets: ["a:80"], labels: {'${cluster}': '${cluster}'}}]
    metric_relabel_configs:
      - {source_labels: [a], regex: "(?P<group>.*)", replacement: "${group}-$1-${1}-$$1-${cluster}", target_label: b}
`))
	got := string(render(t, p, "eu-1").Files["leaf/prometheus.yml"])
	for _, want := range []string{`sample_limit: 9100`, `a: ["9100"]`, `b: ["x9100"]`, `'${cluster}': "eu-1"`, `replacement: "${group}-$1-${1}-$$1-eu-1"`} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
}

// substituted returns what a label's value becomes in cluster eu-1.
func substituted(t *testing.T, text string) string {
	t.Helper()
	quoted, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	fsys := files(small)
	fsys["scrape/nodes.yml"] = &fstest.MapFile{Data: []byte("scrape_configs:\n  - job_name: a\n    relabel_configs: [{target_label: x, replacement: " + string(quoted) + "}]\n")}
	p, err := planet.Load(fsys)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	b, err := p.Render("eu-1")
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	var doc struct {
		Jobs []struct {
			Relabel []struct {
				Replacement string `yaml:"replacement"`
			} `yaml:"relabel_configs"`
		} `yaml:"scrape_configs"`
	}
	if err := yaml.Unmarshal(b.Files["leaf/prometheus.yml"], &doc); err != nil {
		t.Fatalf("%q: %v\n%s", text, err, b.Files["leaf/prometheus.yml"])
	}
	return doc.Jobs[0].Relabel[0].Replacement
}

// FuzzSubstitute compares substitution with a plainer one, one variable at a time.
func FuzzSubstitute(f *testing.F) {
	for _, s := range []string{"${cluster}", "$${zone} $1", "$$$${label:stage}", "${${cluster}}", "PandoGap0x ${cluster}", "\u2028${zone}\t\x00", "- ${cluster}: #", "${cluster}\n"} {
		f.Add(s)
	}
	variable := regexp.MustCompile(`\$+\{(cluster|zone|label:stage|label:continent)\}`)
	other := regexp.MustCompile(`\$+\{label:[A-Za-z0-9_:.-]*\}`)
	f.Fuzz(func(t *testing.T, s string) {
		plain := variable.ReplaceAllStringFunc(s, func(m string) string {
			dollars := strings.Count(m, "$")
			word := m[dollars:]
			out := strings.Repeat("$", dollars/2)
			if dollars%2 == 1 {
				word = map[string]string{"{cluster}": "eu-1", "{zone}": "eu", "{label:stage}": "canary", "{label:continent}": "europe"}[word]
			}
			return out + word
		})
		if !utf8.ValidString(s) || len(s) > 1000 || other.MatchString(variable.ReplaceAllString(s, "")) || strings.Contains(s, "${label:") && other.FindString(s) != variable.FindString(s) || unprintable(s) {
			t.Skip()
		}
		if got := substituted(t, s); got != plain {
			t.Errorf("%q: want %q, got %q", s, plain, got)
		}
	})
}

// unprintable reports whether YAML cannot hold a text.
func unprintable(s string) bool {
	_, err := yaml.Marshal(s)
	return err != nil || strings.ContainsRune(s, 0xfeff) || strings.ContainsRune(s, 0x7f)
}

// FuzzLoad reads what anybody may have put into a repository. It must not panic,
// and Prometheus must accept what nothing is said about.
func FuzzLoad(f *testing.F) {
	base := files(small)
	for name, file := range base {
		f.Add(name, file.Data)
	}
	f.Add("zones/eu/limits/leaf.yml", []byte("query.timeout: null"))
	f.Add("clusters/eu-1/scrape/x.yml", []byte("scrape_configs: [{job_name: nodes, delete: true}]"))
	f.Add("tests/x.yml", []byte("tests: [{leaves: [{cluster: eu-1}], promql_expr_test: [{expr: up}]}]"))
	f.Add("scrape/x.yml", []byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		fsys := files(small)
		fsys[name] = &fstest.MapFile{Data: data}
		if fsysInvalid(name) {
			t.Skip()
		}
		p, problems := planet.Validate(fsys, planet.CheckOptions{})
		for _, problem := range problems {
			_ = problem.String()
		}
		if problems.Failed() {
			return
		}
		for _, c := range p.Clusters() {
			b, err := p.Render(c.Cluster)
			if err != nil {
				t.Fatal(err)
			}
			accepted(t, b)
		}
		base := load(t, files(small))
		if _, err := planet.Diff(base, p, ""); err != nil {
			t.Fatal(err)
		}
	})
}

// fsysInvalid reports whether no file system has such a name.
func fsysInvalid(name string) bool {
	return name == "" || strings.HasPrefix(name, "/") || strings.Contains(name, "//") || strings.HasSuffix(name, "/") || strings.Contains("/"+name+"/", "/../") || strings.Contains("/"+name+"/", "/./")
}
