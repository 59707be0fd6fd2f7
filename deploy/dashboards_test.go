package deploy_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	promql "github.com/prometheus/prometheus/promql/parser"
)

// dashboard is what Grafana's schema has of what ours use.
type dashboard struct {
	UID           string `json:"uid"`
	Title         string `json:"title"`
	Description   string `json:"description"`
	SchemaVersion int    `json:"schemaVersion"`
	Templating    struct {
		List []struct {
			Name       string          `json:"name"`
			Type       string          `json:"type"`
			Definition string          `json:"definition"`
			Query      json.RawMessage `json:"query"`
		} `json:"list"`
	} `json:"templating"`
	Panels []panel `json:"panels"`
}

type panel struct {
	ID         int         `json:"id"`
	Type       string      `json:"type"`
	Title      string      `json:"title"`
	Datasource *datasource `json:"datasource"`
	GridPos    struct {
		H int `json:"h"`
		W int `json:"w"`
		X int `json:"x"`
		Y int `json:"y"`
	} `json:"gridPos"`
	Targets []struct {
		RefID      string      `json:"refId"`
		Expr       string      `json:"expr"`
		Datasource *datasource `json:"datasource"`
	} `json:"targets"`
}

type datasource struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

func dashboards(t *testing.T) map[string]dashboard {
	t.Helper()
	names, err := filepath.Glob("mixin/dashboards/*.json")
	if err != nil || len(names) == 0 {
		t.Fatalf("%v, %d dashboards", err, len(names))
	}
	out := map[string]dashboard{}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var d dashboard
		if err := json.Unmarshal(data, &d); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out[name] = d
	}
	return out
}

// Grafana takes them, with whatever data source of type Prometheus is chosen.
func TestDashboardsAreWhole(t *testing.T) {
	uids := map[string]string{}
	for name, d := range dashboards(t) {
		if d.UID == "" || d.Title == "" || d.Description == "" || d.SchemaVersion < 36 {
			t.Errorf("%s: uid %q, title %q, description %q, schema version %d", name, d.UID, d.Title, d.Description, d.SchemaVersion)
		}
		if other, ok := uids[d.UID]; ok {
			t.Errorf("%s and %s have the same uid", name, other)
		}
		uids[d.UID] = name
		vars := d.Templating.List
		if len(vars) == 0 || vars[0].Name != "datasource" || vars[0].Type != "datasource" || string(vars[0].Query) != `"prometheus"` {
			t.Errorf("%s: the first variable must be the data source: %+v", name, vars)
		}
		ids := map[int]bool{}
		for i, p := range d.Panels {
			if ids[p.ID] || p.ID == 0 {
				t.Errorf("%s: panel %q has no id of its own", name, p.Title)
			}
			ids[p.ID] = true
			checkPanel(t, name, p)
			for _, q := range d.Panels[:i] {
				if g, h := p.GridPos, q.GridPos; g.X < h.X+h.W && h.X < g.X+g.W && g.Y < h.Y+h.H && h.Y < g.Y+g.H {
					t.Errorf("%s: panels %q and %q lie over each other", name, q.Title, p.Title)
				}
			}
		}
	}
}

func checkPanel(t *testing.T, name string, p panel) {
	t.Helper()
	if !slices.Contains([]string{"row", "stat", "timeseries", "table"}, p.Type) || p.Title == "" {
		t.Errorf("%s: panel %q of type %q", name, p.Title, p.Type)
	}
	if g := p.GridPos; g.W <= 0 || g.H <= 0 || g.X < 0 || g.Y < 0 || g.X+g.W > 24 {
		t.Errorf("%s: panel %q does not fit the grid: %+v", name, p.Title, g)
	}
	want := datasource{"prometheus", "${datasource}"}
	if p.Type != "row" && (len(p.Targets) == 0 || p.Datasource == nil || *p.Datasource != want) {
		t.Errorf("%s: panel %q has %d targets, of data source %v", name, p.Title, len(p.Targets), p.Datasource)
	}
	refs := map[string]bool{}
	for _, target := range p.Targets {
		if target.RefID == "" || refs[target.RefID] || target.Datasource == nil || *target.Datasource != want {
			t.Errorf("%s: panel %q: target %q of data source %v", name, p.Title, target.RefID, target.Datasource)
		}
		refs[target.RefID] = true
	}
}

// Each expression is PromQL, and each metric that it reads is one that Pando, or
// the Prometheus in a leaf, exports, or that mixin/recording.yml records.
func TestDashboardsReadWhatIsExported(t *testing.T) {
	known := recordedOr(t, exported(t))
	checked := 0
	for name, d := range dashboards(t) {
		for _, v := range d.Templating.List {
			if inner, ok := strings.CutPrefix(v.Definition, "label_values("); ok {
				selector := inner[:strings.LastIndex(inner, ",")]
				checked += checkExpr(t, name, "variable "+v.Name, selector, known)
			}
		}
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				checked += checkExpr(t, name, p.Title, target.Expr, known)
			}
		}
	}
	if checked < 80 {
		t.Errorf("only %d selectors were looked at", checked)
	}
}

func checkExpr(t *testing.T, name, where, expr string, known func(string) bool) (selectors int) {
	t.Helper()
	e, err := promql.NewParser(promql.Options{}).ParseExpr(strings.NewReplacer("$__rate_interval", "5m", "$__range", "1h").Replace(expr))
	if err != nil {
		t.Errorf("%s: %s: %s: %v", name, where, expr, err)
		return 0
	}
	promql.Inspect(e, func(n promql.Node, _ []promql.Node) error {
		if s, ok := n.(*promql.VectorSelector); ok {
			selectors++
			if !known(s.Name) {
				t.Errorf("%s: %s reads %s, which nobody exports", name, where, s.Name)
			}
		}
		return nil
	})
	return selectors
}

// recordedOr also knows what the mixin records.
func recordedOr(t *testing.T, known func(string) bool) func(string) bool {
	t.Helper()
	data, err := os.ReadFile("mixin/recording.yml")
	if err != nil {
		t.Fatal(err)
	}
	recorded := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "- record: "); ok {
			recorded[name] = true
		}
	}
	return func(name string) bool { return recorded[name] || known(name) }
}

// exported returns what tells whether there is a metric of a name: the string is
// in the sources of Pando or of Prometheus, whole or in parts that are in the same
// folder.
func exported(t *testing.T) func(string) bool {
	t.Helper()
	folders := constants(t, "..", "pando_")
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/prometheus/prometheus").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"notifier", "rules", "scrape", "tsdb"} {
		folders = append(folders, constants(t, filepath.Join(strings.TrimSpace(string(out)), folder), "prometheus")...)
	}
	return func(name string) bool {
		if slices.Contains([]string{"up", "process_resident_memory_bytes", "process_cpu_seconds_total", "pando_build_info"}, name) {
			return true
		}
		for _, suffix := range []string{"", "_bucket", "_sum", "_count"} {
			base, ok := strings.CutSuffix(name, suffix)
			if ok && slices.ContainsFunc(folders, func(c map[string]bool) bool { return named(c, base) }) {
				return true
			}
		}
		return false
	}
}

// named tells whether the strings of a folder make a name: as it is, a prefix and
// the rest, or namespace, subsystem and name.
func named(c map[string]bool, name string) bool {
	if c[name] {
		return true
	}
	for i, r := range name {
		if r != '_' {
			continue
		}
		rest := name[i+1:]
		if c[name[:i+1]] && c[rest] || c[name[:i]] && (c[rest] || c["_"+rest]) {
			return true
		}
		for j, r := range rest {
			if r == '_' && c[name[:i]] && c[rest[:j]] && c[rest[j+1:]] {
				return true
			}
		}
	}
	return false
}

// constants returns the strings in each folder below one, of those that have one
// which begins with a word.
func constants(t *testing.T, root, word string) (out []map[string]bool) {
	t.Helper()
	all, has := map[string]map[string]bool{}, map[string]bool{}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && name != root && (d.Name() == "testdata" || d.Name() == "e2e" || strings.HasPrefix(d.Name(), ".")) {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir := filepath.Dir(name)
		if all[dir] == nil {
			all[dir] = map[string]bool{}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
				if s, err := strconv.Unquote(l.Value); err == nil {
					all[dir][s] = true
					has[dir] = has[dir] || strings.HasPrefix(s, word)
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for dir := range has {
		if has[dir] {
			out = append(out, all[dir])
		}
	}
	return out
}
