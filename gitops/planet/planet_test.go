package planet_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/rulefmt"

	"github.com/pandometrics/pando/gitops/planet"
	"github.com/pandometrics/pando/gitops/planettest"
	"github.com/pandometrics/pando/querytree"
)

// small is a planet of two zones and three clusters, with something of each kind.
const small = `
-- planet.yaml --
apiVersion: pando/v1
zones:
  - {name: eu, hosts: [eu-1], labels: {continent: europe}}
  - {name: us}
root: {hosts: [us-1]}
clusters:
  - {name: eu-1, zone: eu, labels: {stage: canary, port: "9100"}}
  - {name: eu-2, zone: eu, labels: {stage: prod, port: "9200"}}
  - {name: us-1, zone: us, labels: {stage: prod, port: "9300"}}
waves:
  - {name: canary, select: ['{stage="canary"}'], bake: 10m, gates: [up]}
  - {name: rest}
gates:
  - {name: up, expr: avg(up) > bool 0.9, for: 5m}
-- prometheus.yml --
global: {scrape_interval: 30s}
alerting:
  alertmanagers:
    - static_configs: [{targets: ["am:9093"]}]
-- scrape/nodes.yml --
scrape_configs:
  - job_name: nodes
    static_configs:
      - targets: ["nodes.${cluster}:80"]
  - job_name: pods
    static_configs:
      - targets: ["pods:80"]
-- rules/leaf/up.yml --
groups:
  - name: up
    rules:
      - record: job:up:sum
        expr: sum by (job) (up)
-- rules/zone/up.yml --
groups:
  - name: up
    rules:
      - record: zone:up:sum
        expr: sum(up{zone="${zone}"})
-- rules/root/up.yml --
groups:
  - name: up
    rules:
      - {alert: Down, expr: up == 0}
-- rollups/r.yml --
rollups:
  - {name: "job:x:rate5m", expr: "sum by (job) (rate(x_total[5m]))", interval: 1m, keep: {root: {for: 90d}}}
-- aggregations/a.yml --
rules:
  - {name: a, match: [x_bucket], without: [pod]}
-- limits/leaf.yml --
query.timeout: 2m
`

// files parses sections that begin with -- name --.
func files(text string) fstest.MapFS {
	out := fstest.MapFS{}
	name := ""
	for line := range strings.Lines(text) {
		if n, ok := strings.CutPrefix(strings.TrimSpace(line), "-- "); ok && strings.HasSuffix(n, " --") {
			name = strings.TrimSuffix(n, " --")
			out[name] = &fstest.MapFile{}
		} else if name != "" {
			out[name].Data = append(out[name].Data, line...)
		}
	}
	return out
}

// with returns the small planet with more files, or others.
func with(more string) fstest.MapFS {
	out := files(small)
	maps.Copy(out, files(more))
	return out
}

func load(t *testing.T, fsys fs.FS) *planet.Planet {
	t.Helper()
	p, err := planet.Load(fsys)
	if err != nil {
		t.Fatalf("load:\n%v", err)
	}
	return p
}

func render(t *testing.T, p *planet.Planet, cluster string) *planet.Bundle {
	t.Helper()
	b, err := p.Render(cluster)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A planet that is right has no problems, and each cluster gets its files.
func TestSmall(t *testing.T) {
	p, problems := planet.Validate(files(small), planet.CheckOptions{})
	if len(problems) > 0 {
		t.Fatalf("\n%v", problems)
	}
	want := map[string][]string{
		"eu-1": {"leaf/aggregations.yml", "leaf/limits.yml", "leaf/prometheus.yml", "leaf/rollups.yml", "leaf/rules/up.yml", "zone/eu/limits.yml", "zone/eu/prometheus.yml", "zone/eu/rollups.yml", "zone/eu/rules/up.yml"},
		"eu-2": {"leaf/aggregations.yml", "leaf/limits.yml", "leaf/prometheus.yml", "leaf/rollups.yml", "leaf/rules/up.yml"},
		"us-1": {"leaf/aggregations.yml", "leaf/limits.yml", "leaf/prometheus.yml", "leaf/rollups.yml", "leaf/rules/up.yml", "root/limits.yml", "root/prometheus.yml", "root/rollups.yml", "root/rules/up.yml"},
	}
	for cluster, names := range want {
		b := render(t, p, cluster)
		if d := cmp.Diff(names, slices.Sorted(maps.Keys(b.Files))); d != "" {
			t.Errorf("%s (-want +got)\n%s", cluster, d)
		}
	}
	b := render(t, p, "eu-1")
	want1 := `global:
  scrape_interval: 30s
alerting:
  alertmanagers:
    - static_configs: [{targets: ["am:9093"]}]
rule_files:
- rules/*.yml
scrape_configs:
- job_name: nodes
  static_configs:
    - targets: ["nodes.eu-1:80"]
- job_name: pods
  static_configs:
    - targets: ["pods:80"]
`
	if d := cmp.Diff(want1, string(b.Files["leaf/prometheus.yml"])); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if got := string(b.Files["zone/eu/rules/up.yml"]); !strings.Contains(got, `sum(up{zone=\"eu\"})`) && !strings.Contains(got, `sum(up{zone="eu"})`) {
		t.Errorf("no zone in\n%s", got)
	}
	var unknown *planet.UnknownError
	if _, err := p.Render("eu-9"); !errors.As(err, &unknown) {
		t.Errorf("of an unknown cluster: %v", err)
	}
}

// Each cluster is in the first wave that selects it.
func TestWaves(t *testing.T) {
	want := []planet.Wave{
		{Name: "canary", Clusters: []string{"eu-1"}, Bake: 10 * time.Minute, Gates: []planet.Gate{{Name: "up", Expr: "avg(up) > bool 0.9", For: 5 * time.Minute}}},
		{Name: "rest", Clusters: []string{"eu-2", "us-1"}},
	}
	if d := cmp.Diff(want, load(t, files(small)).Waves()); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// Later layers replace, remove and add by name; what is replaced keeps its place
// and file.
func TestOverlays(t *testing.T) {
	p := load(t, with(`
-- zones/eu/scrape/x.yml --
scrape_configs:
  - {job_name: pods, static_configs: [{targets: ["pods-of-eu:80"]}]}
  - {job_name: more, static_configs: [{targets: ["more:80"]}]}
-- zones/eu/prometheus.yml --
global: {scrape_interval: 10s, evaluation_interval: 20s}
-- zones/eu/rules/leaf/other.yml --
groups:
  - {name: up, rules: [{record: "job:up:count", expr: count by (job) (up)}]}
  - {name: new, rules: [{record: "job:up:max", expr: max by (job) (up)}]}
-- zones/eu/limits/leaf.yml --
query.timeout: null
query.max-series: 50000
-- clusters/eu-2/scrape/x.yml --
scrape_configs:
  - {job_name: nodes, delete: true}
  - {job_name: more, static_configs: [{targets: ["more-of-${cluster}:80"]}]}
-- clusters/eu-2/prometheus.yml --
alerting: {alertmanagers: null}
global: {evaluation_interval: null}
-- clusters/eu-2/rules/leaf/z.yml --
groups: [{name: new, delete: true}]
-- clusters/eu-2/aggregations/z.yml --
rules: [{name: a, delete: true}]
-- clusters/eu-2/rollups/z.yml --
rollups: [{name: "job:x:rate5m", delete: true}]
`))
	want := map[string]string{
		"leaf/prometheus.yml": `global:
  scrape_interval: 10s
rule_files:
- rules/*.yml
scrape_configs:
- {job_name: pods, static_configs: [{targets: ["pods-of-eu:80"]}]}
- {job_name: more, static_configs: [{targets: ["more-of-eu-2:80"]}]}
`,
		"leaf/rules/up.yml":     "groups:\n- {name: up, rules: [{record: \"job:up:count\", expr: count by (job) (up)}]}\n",
		"leaf/limits.yml":       "query.max-series: 50000\n",
		"leaf/rollups.yml":      "rollups: []\n",
		"leaf/aggregations.yml": "rules: []\n",
	}
	got := map[string]string{}
	for name, data := range render(t, p, "eu-2").Files {
		got[name] = string(data)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if other := string(render(t, p, "us-1").Files["leaf/prometheus.yml"]); !strings.Contains(other, "pods:80") || strings.Contains(other, "more") {
		t.Errorf("the overlay of eu is in us:\n%s", other)
	}
}

// Comments and the order of files do not change the hash; what is delivered does.
func TestHash(t *testing.T) {
	hash := func(fsys fs.FS, cluster string) string { return render(t, load(t, fsys), cluster).Hash }
	base := hash(files(small), "eu-1")
	same := with("-- docs/x.md --\nx\n-- limits/leaf.yml --\n# a comment\nquery.timeout:    2m # another\n")
	if hash(same, "eu-1") != base {
		t.Error("a comment changes the hash")
	}
	if hash(with("-- clusters/eu-2/limits/leaf.yml --\nquery.timeout: 1m\n"), "eu-1") != base {
		t.Error("another cluster's overlay changes the hash")
	}
	if hash(with("-- limits/leaf.yml --\nquery.timeout: 3m\n"), "eu-1") == base {
		t.Error("a limit does not change the hash")
	}
	deployed := files(small)
	deployed["planet.yaml"].Data = append(deployed["planet.yaml"].Data, "deploy: {image: 'pando:1', gitops: {}}\n"...)
	if hash(deployed, "eu-1") == base {
		t.Error("workloads do not change the hash")
	}
}

// What Load and Check have nothing to say about, Prometheus' parsers accept; and a
// planet may be used by several goroutines.
func TestPrometheusAcceptsWhatIsRendered(t *testing.T) {
	p, problems := planet.Validate(planettest.Large(20), planet.CheckOptions{})
	if len(problems) > 0 {
		t.Fatalf("\n%v", problems)
	}
	var wg sync.WaitGroup
	for _, c := range p.Clusters() {
		wg.Go(func() {
			b, err := p.Render(c.Cluster)
			if err != nil {
				t.Error(err)
				return
			}
			accepted(t, b)
		})
	}
	wg.Go(func() {
		if problems := p.Check(planet.CheckOptions{Cluster: "z3-3"}); len(problems) > 0 {
			t.Error(problems)
		}
	})
	wg.Wait()
}

// accepted has Prometheus' parsers read a bundle.
func accepted(t *testing.T, b *planet.Bundle) {
	t.Helper()
	logger := slog.New(slog.DiscardHandler)
	for name, data := range b.Files {
		switch {
		case path.Base(name) == "prometheus.yml":
			if _, err := config.Load(string(data), logger); err != nil {
				t.Errorf("%s: %s: %v\n%s", b.Cluster, name, err, data)
			}
		case strings.Contains(name, "/rules/"):
			if _, errs := rulefmt.Parse(data, false, model.UTF8Validation, querytree.NewParser(), logger); len(errs) > 0 {
				t.Errorf("%s: %s: %v\n%s", b.Cluster, name, errs, data)
			}
		}
	}
}

// Problems are told once, however many clusters have them, in the same order every
// time.
func TestProblemsOfManyClusters(t *testing.T) {
	fsys := planettest.Large(30)
	fsys["scrape/job-0.yml"].Data = []byte("scrape_configs:\n  - job_name: job-0\n    static_configs: [{targets: ['x.${cluster}/path:80']}]\n")
	var first string
	for range 3 {
		_, problems := planet.Validate(fsys, planet.CheckOptions{})
		if first == "" {
			first = problems.Error()
		}
		if problems.Error() != first {
			t.Errorf("first\n%s\nthen\n%v", first, problems)
		}
	}
	if !strings.HasPrefix(first, "scrape/job-0.yml:2:5: ") || !strings.Contains(first, "in 30 clusters") || strings.Contains(first, "\n") {
		t.Errorf("told: %s", first)
	}
}

// Workloads are those of the layers, merged by role and field.
func TestDeploy(t *testing.T) {
	fsys := with(`
-- planet.yaml --
apiVersion: pando/v1
zones:
  - {name: europe, labels: {continent: europe}, hosts: [eu-1], addresses: ["europe:9091"]}
  - {name: eu, parent: europe, hosts: [eu-1], addresses: ["eu:9091"], deploy: {zone: {replicas: 3}}}
root: {hosts: [eu-1], addresses: ["root:9091"]}
clusters:
  - {name: eu-1, zone: eu, labels: {env: prod, x: y}}
  - {name: eu-2, zone: eu, labels: {env: test}, deploy: {leaf: {storage: {size: 20Gi}}}}
waves: [{name: all}]
allow: {hosts: ["169.254.20.10", "::ffff:169.254.20.10", "10.0.0.1", metadata]}
deploy:
  namespace: pando
  image: pando:1
  leaf: {storage: {size: 10Gi, class: ssd}, retention: 30d, externalLabels: [env], secrets: [{name: s, path: /etc/s}]}
  zone: {replicas: 2}
  root: {image: "pando:2", tls: {secret: root-tls}}
  gitops: {}
`)
	p := load(t, fsys)
	want := &planet.Deploy{Namespace: "pando", Workloads: []planet.Workload{
		{
			Role: planet.RoleLeaf, Name: "leaf", Image: "pando:1", Replicas: 1, Storage: &planet.Storage{Size: "10Gi", Class: "ssd"}, Retention: 30 * 24 * time.Hour,
			Identity: map[string]string{"zone": "eu", "cluster": "eu-1", "continent": "europe", "env": "prod"}, Parents: []string{"eu:9091"},
			Secrets: []planet.SecretRef{{Name: "s", Path: "/etc/s"}}, Files: "leaf", LinkLocal: []string{"169.254.20.10"},
		},
		{Role: planet.RoleZone, Zone: "eu", Name: "zone-eu", Image: "pando:1", Replicas: 3, Identity: map[string]string{"zone": "eu", "continent": "europe"}, Parents: []string{"europe:9091"}, Files: "zone/eu"},
		{Role: planet.RoleZone, Zone: "europe", Name: "zone-europe", Image: "pando:1", Replicas: 2, Identity: map[string]string{"continent": "europe"}, Parents: []string{"root:9091"}, Files: "zone/europe"},
		{Role: planet.RoleRoot, Name: "root", Image: "pando:2", Replicas: 1, TLS: &planet.TLS{Secret: "root-tls"}, Files: "root"},
		{Role: planet.RoleGitops, Name: "gitops", Image: "pando:1", Replicas: 1},
	}}
	if d := cmp.Diff(want, render(t, p, "eu-1").Deploy); d != "" {
		t.Errorf("eu-1 (-want +got)\n%s", d)
	}
	second := render(t, p, "eu-2").Deploy.Workloads
	if len(second) != 2 || *second[0].Storage != (planet.Storage{Size: "20Gi"}) || second[0].Retention != 30*24*time.Hour {
		t.Errorf("eu-2: %+v", second)
	}
	if render(t, load(t, files(small)), "eu-1").Deploy != nil {
		t.Error("without deploy there are workloads")
	}
}

// Schemas are there for every kind, and the starter names them all.
func TestSchemas(t *testing.T) {
	starter, err := planet.Starter()
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range planet.Kinds() {
		text, err := planet.Schema(k)
		if err != nil || !strings.Contains(string(text), `"$schema": "https://json-schema.org/`) {
			t.Errorf("%s: %v\n%s", k, err, text)
		}
		name := fmt.Sprintf(".schemas/%s.json", k)
		used := false
		for file, data := range starter {
			if header, _, _ := strings.Cut(string(data), "\n"); strings.HasPrefix(header, "# yaml-language-server: $schema=") {
				used = used || path.Join(path.Dir(file), strings.TrimPrefix(header, "# yaml-language-server: $schema=")) == name
			}
		}
		if !used {
			t.Errorf("no file of the starter names %s", name)
		}
	}
	if _, err := planet.Schema("other"); err == nil {
		t.Error("there is a schema of an unknown kind")
	}
}

// A check that is ended, or of a cluster that is not there, is not taken for one
// that found nothing.
func TestCheckOfNothing(t *testing.T) {
	p := load(t, files(small))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for want, opts := range map[string]planet.CheckOptions{
		"the check was ended":                       {Context: ctx},
		`there is no cluster "eu-3" in planet.yaml`: {Cluster: "eu-3"},
	} {
		problems := planet.Problems(p.Check(opts))
		if !problems.Failed() || !strings.Contains(problems.Error(), want) {
			t.Errorf("want %s, got %v", want, problems)
		}
	}
}

// Of very many problems the first are told, and how many more there are.
func TestManyProblems(t *testing.T) {
	var b strings.Builder
	b.WriteString("groups:\n")
	for i := range 990 {
		fmt.Fprintf(&b, "  - {name: g%d, rules: [{record: a, expr: 'sum('}, {record: b, expr: 'sum('}]}\n", i)
	}
	fsys := files(small)
	fsys["rules/leaf/up.yml"].Data = []byte(b.String())
	_, problems := planet.Validate(fsys, planet.CheckOptions{})
	if len(problems) != 1001 || problems[0].Line != 2 || !strings.HasPrefix(problems[1000].Message, "980 more problems") {
		t.Errorf("%d problems, the last is %s", len(problems), problems[len(problems)-1])
	}
}
