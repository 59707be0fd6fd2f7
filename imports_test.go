package pando_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/pandometrics/pando/"

// edges says of each folder which others of ours it may import. An arrow that
// is missing here is missing for a reason: what a package cannot see, it cannot
// come to depend on. What it needs of others it declares as an interface, and
// cmd/pando plugs the other in.
var edges = map[string][]string{
	".":                            {},
	"cmd/pando":                    {"cmd/pando/client", "demo", "deploy", "fieldhint", "gitops", "gitops/dirs", "gitops/kube", "gitops/planet", "gitops/rollouts", "gitops/ruletest", "gitops/source", "gitops/wave", "leaf", "leaf/aggregate", "querytree", "querytree/relay", "querytree/resultcache", "querytree/roster", "querytree/tier", "querytree/treehttp", "querytree/treerpc", "rollup", "rollup/keep", "root", "ui", "zone"},
	"cmd/pando/client":             {"gitops", "gitops/rollouts", "querytree", "querytree/treehttp", "rollup"},
	"demo":                         {},
	"deploy":                       {},
	"e2e":                          {"demo", "fieldhint", "gitops/gittest", "gitops/rollouts", "leaf", "querytree", "querytree/resultcache", "querytree/roster", "querytree/tier", "querytree/treehttp", "querytree/treerpc", "querytree/treerpc/garbletest", "querytree/treetest", "rollup", "rollup/keep", "root", "zone"},
	"e2e/kube":                     {"deploy", "e2e/kubetest", "gitops", "gitops/gittest", "gitops/kube"},
	"e2e/kubetest":                 {},
	"e2e/manyleaves":               {"querytree", "querytree/treehttp"},
	"e2e/planetbench":              {"fieldhint"},
	"fieldhint":                    {},
	"gitops":                       {"gitops/source", "gitops/wave"},
	"gitops/dirs":                  {"gitops"},
	"gitops/gittest":               {},
	"gitops/kube":                  {"gitops", "gitops/dirs"},
	"gitops/rollouts":              {"gitops"},
	"gitops/source":                {},
	"gitops/wave":                  {},
	"gitops/planet":                {"leaf/aggregate", "querytree", "rollup"},
	"gitops/planettest":            {},
	"gitops/ruletest":              {"gitops/planet", "querytree"},
	"leaf":                         {"fieldhint", "leaf/aggregate", "querytree"},
	"leaf/aggregate":               {},
	"querytree":                    {},
	"querytree/querytreepb":        {},
	"querytree/relay":              {"querytree"},
	"querytree/resultcache":        {"querytree"},
	"querytree/roster":             {"querytree"},
	"querytree/tier":               {"fieldhint", "querytree", "querytree/resultcache", "querytree/roster"},
	"querytree/treehttp":           {"querytree"},
	"querytree/treerpc":            {"querytree", "querytree/querytreepb"},
	"querytree/treerpc/garbletest": {"querytree", "querytree/querytreepb"},
	"querytree/treetest":           {"querytree"},
	"rollup":                       {},
	"rollup/keep":                  {"querytree", "rollup"},
	"ui":                           {},
	"root":                         {"fieldhint", "querytree", "querytree/tier"},
	"zone":                         {"fieldhint", "querytree", "querytree/tier"},
}

// testFolders may be imported by tests of any other folder.
var testFolders = []string{"querytree/treetest", "querytree/treerpc/garbletest", "gitops/gittest", "gitops/planettest", "e2e/kubetest"}

// limits say which folders may import a package of others, and all below it.
var limits = []struct {
	path    string
	folders []string
	why     string
}{
	{"google.golang.org/grpc", []string{"querytree/querytreepb", "querytree/treerpc", "querytree/treerpc/garbletest"}, "the wire ends in treerpc; take a querytree.Child"},
	{"github.com/hashicorp/yamux", []string{"querytree/treerpc", "querytree/treerpc/garbletest"}, "connections are treerpc's"},
	{"github.com/alecthomas/kingpin", []string{"cmd/pando"}, "flags end in cmd/pando; take a Config"},
	{"github.com/oklog/run", []string{"cmd/pando"}, "have a Run(ctx) error, and let cmd/pando run it"},
	{"github.com/prometheus/exporter-toolkit", []string{"cmd/pando"}, "listening is cmd/pando's; be an http.Handler"},
	{"go.opentelemetry.io/otel/sdk", []string{"cmd/pando"}, "take a trace.TracerProvider"},
	{"go.opentelemetry.io/otel/exporters", []string{"cmd/pando"}, "take a trace.TracerProvider"},
	{"github.com/go-git/go-git", []string{"gitops/source"}, "git ends in gitops/source; take an fs.FS"},
	{"github.com/fluxcd/pkg", []string{"gitops/source"}, "git ends in gitops/source; take an fs.FS"},
	{"github.com/Shopify/toxiproxy", []string{"e2e"}, "it is for end-to-end tests"},
	{"k8s.io", []string{"gitops/kube", "e2e/kube"}, "clusters are gitops/kube's; be a Deliverer"},
}

const tsdbPath = "github.com/prometheus/prometheus/tsdb"

// forbidden are names of packages by which code reaches for what it should be
// given. Where folders are named, those may.
var forbidden = []struct {
	path    string
	name    func(string) bool
	folders []string
	do      string
}{
	{"github.com/prometheus/client_golang/prometheus/promauto", func(s string) bool { return s != "With" }, nil, "take a prometheus.Registerer and use promauto.With"},
	{"github.com/prometheus/client_golang/prometheus", anyOf("Register", "MustRegister", "Unregister", "DefaultRegisterer", "DefaultGatherer"), nil, "take a prometheus.Registerer: the default one is shared by the whole process"},
	{"github.com/prometheus/client_golang/prometheus/promhttp", anyOf("Handler", "InstrumentMetricHandler"), nil, "use promhttp.HandlerFor with the registry that was handed in"},
	{tsdbPath, anyOf("DB", "Open", "OpenDBReadOnly", "NewHead"), []string{"leaf", "querytree/treetest", "rollup/keep"}, "only a leaf stores series, and what keeps rollups points; take a storage.Queryable"},
}

func anyOf(names ...string) func(string) bool {
	return func(s string) bool { return slices.Contains(names, s) }
}

// source is one parsed file of ours.
type source struct {
	file   *ast.File
	fset   *token.FileSet
	folder string
	test   bool
}

func (s source) at(n ast.Node) string { return s.fset.Position(n.Pos()).String() }

// imported returns the path of an import, without quotes.
func imported(spec *ast.ImportSpec) string {
	p, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return spec.Path.Value
	}
	return p
}

// sources returns all files of the module.
func sources(t *testing.T) []source {
	t.Helper()
	out, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// parsed parses the files, once for all tests.
var parsed = sync.OnceValues(func() ([]source, error) {
	var out []source
	fset := token.NewFileSet()
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch base := d.Name(); {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (base == "testdata" || base == "bin" || base == "data" || strings.HasPrefix(base, ".")):
			return fs.SkipDir
		case d.IsDir() && name != "." && isFile(filepath.Join(name, "go.mod")): // a module of its own, with rules of its own
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(base, ".go"):
			return nil
		}
		f, err := parser.ParseFile(fset, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		out = append(out, source{file: f, fset: fset, folder: filepath.ToSlash(filepath.Dir(name)), test: strings.HasSuffix(name, "_test.go")})
		return nil
	})
	return out, err
})

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

// Each folder imports only those of ours that the table allows, and the table
// has no folders that are not there.
func TestOurImports(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range sources(t) {
		allowed, ok := edges[s.folder]
		if !ok && !seen[s.folder] {
			t.Errorf("%s: folder %q is not in the table of imports_test.go: add what it may import, and tell in ARCHITECTURE.md what it is for", s.at(s.file), s.folder)
		}
		seen[s.folder] = true
		for _, spec := range s.file.Imports {
			to, ours := strings.CutPrefix(imported(spec), module)
			if !ours || !ok || slices.Contains(allowed, to) {
				continue
			}
			if s.test && (to == s.folder || slices.Contains(testFolders, to)) {
				continue
			}
			t.Errorf("%s: %s must not import %s, only %s: declare the interface that it needs and let cmd/pando plug %s in, or move the code", s.at(spec), s.folder, to, list(allowed), path.Base(to))
		}
	}
	for folder := range edges {
		if !seen[folder] {
			t.Errorf("imports_test.go: folder %q is gone: remove it from the table, and from ARCHITECTURE.md", folder)
		}
	}
}

func list(folders []string) string {
	if len(folders) == 0 {
		return "nothing of ours"
	}
	return strings.Join(folders, ", ")
}

// Libraries with a wide surface stay where they belong.
func TestLibrariesStayInTheirFolders(t *testing.T) {
	for _, s := range sources(t) {
		if ast.IsGenerated(s.file) {
			continue
		}
		for _, spec := range s.file.Imports {
			p := imported(spec)
			for _, l := range limits {
				if p != l.path && !strings.HasPrefix(p, l.path+"/") || slices.Contains(l.folders, s.folder) {
					continue
				}
				t.Errorf("%s: %s is for %s only, not for %s: %s", s.at(spec), l.path, list(l.folders), s.folder, l.why)
			}
			// treehttp serves the TSDB's status, which has the TSDB's types.
			if p == tsdbPath && !s.test && !slices.Contains([]string{"leaf", "querytree/treehttp", "querytree/treetest", "rollup/keep"}, s.folder) {
				t.Errorf("%s: %s is for leaf, which stores series: take a storage.Queryable or ChunkQueryable", s.at(spec), p)
			}
		}
	}
}

// Nothing happens because a package is imported, and nothing is registered
// where the whole process sees it.
func TestNothingIsGlobal(t *testing.T) {
	for _, s := range sources(t) {
		if ast.IsGenerated(s.file) {
			continue
		}
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s: no init functions: do it in a constructor that cmd/pando calls", s.at(f))
			}
		}
		if !s.test {
			reaching(s, func(n ast.Node, what string) { t.Errorf("%s: %s", s.at(n), what) })
		}
	}
}

// reaching reports uses of forbidden names.
func reaching(s source, report func(n ast.Node, what string)) {
	local := map[string]string{} // path by name in this file
	for _, spec := range s.file.Imports {
		p := imported(spec)
		name := path.Base(p)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		local[name] = p
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		x, ok := sel.X.(*ast.Ident)
		if !ok {
			return true
		}
		for _, f := range forbidden {
			if local[x.Name] == f.path && f.name(sel.Sel.Name) && !slices.Contains(f.folders, s.folder) {
				report(n, fmt.Sprintf("%s.%s: %s", x.Name, sel.Sel.Name, f.do))
			}
		}
		return true
	})
}

// Packages are named by what they are about.
func TestPackageNames(t *testing.T) {
	for _, s := range sources(t) {
		name := strings.TrimSuffix(s.file.Name.Name, "_test")
		if slices.Contains([]string{"util", "utils", "common", "helper", "helpers", "misc", "shared", "base", "lib"}, name) {
			t.Errorf("%s: package %q says nothing of what is in it: move each thing to the package that it is about", s.at(s.file), name)
		}
	}
}
