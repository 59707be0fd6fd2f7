package e2e_test

import (
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	yaml "go.yaml.in/yaml/v2"
)

const mixinDir = "../deploy/mixin"

// mixins returns the files of alerts and recorded series that ship with Pando.
func mixins(t *testing.T) (out []string) {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(mixinDir, "*.yml"))
	if err != nil || len(all) == 0 {
		t.Fatalf("%v, no files in %s", err, mixinDir)
	}
	for _, name := range all {
		if !strings.HasSuffix(name, "_test.yml") {
			out = append(out, name)
		}
	}
	return out
}

func rulesOf(t *testing.T, name string) (out []rulefmt.Rule) {
	t.Helper()
	groups, errs := rulefmt.ParseFile(name, false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	for _, g := range groups.Groups {
		out = append(out, g.Rules...)
	}
	return out
}

// The alerts are what Prometheus takes, and do as their unit tests say, of which
// each alert has one in which it fires and one in which it does not, and each
// recorded series has one.
func TestMixinAlerts(t *testing.T) {
	promtool := tool(t, "promtool")
	for _, name := range mixins(t) {
		tests := strings.TrimSuffix(name, ".yml") + "_test.yml"
		for _, args := range [][]string{{"check", "rules", filepath.Base(name)}, {"test", "rules", filepath.Base(tests)}} {
			cmd := exec.Command(promtool, args...)
			cmd.Dir = mixinDir
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("promtool %q: %v\n%s", args, err, out)
			}
		}
		fires, quiet, asked := testedRules(t, tests)
		for _, r := range rulesOf(t, name) {
			if r.Record != "" {
				if !asked[r.Record] {
					t.Errorf("%s: %s has no test", tests, r.Record)
				}
				continue
			}
			if !fires[r.Alert] || !quiet[r.Alert] {
				t.Errorf("%s: %s has a test in which it fires: %t, in which it does not: %t", tests, r.Alert, fires[r.Alert], quiet[r.Alert])
			}
			if r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("%s: %s lacks a severity, a summary or a description", name, r.Alert)
			}
		}
	}
}

// testedRules returns which alerts fire, and do not fire, in a file of tests, and
// which series are asked for.
func testedRules(t *testing.T, name string) (fires, quiet, asked map[string]bool) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Tests []struct {
			Alerts []struct {
				Name     string `yaml:"alertname"`
				Expected []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
			Exprs []struct {
				Expr string `yaml:"expr"`
			} `yaml:"promql_expr_test"`
		}
	}
	if err := yaml.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	fires, quiet, asked = map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, test := range file.Tests {
		for _, e := range test.Exprs {
			asked[e.Expr] = true
		}
		for _, a := range test.Alerts {
			if len(a.Expected) > 0 {
				fires[a.Name] = true
			} else {
				quiet[a.Name] = true
			}
		}
	}
	return fires, quiet, asked
}

// Every metric that an alert names is exported by some tier, with the labels that
// the alert selects and groups by.
func TestProcessMixinMetrics(t *testing.T) {
	processes(t)
	file := "--rollup.file=" + writeFile(t, "rollups.yml", rolledUpFile)
	root := startRoot(t, file, "--query.max-samples=50")
	zone := startZone(t, root.grpc, "--zone=eu", file)
	leaf := startLeaf(t, zone.grpc, "eu", "c", file, "--aggregate.file="+writeFile(t, "aggregate.yml", "rules: [{name: sums, match: [y_total], without: [pod]}]\n"))
	awaitLeaves(t, root, 1)
	if _, _, err := post(t.Context(), leaf.http, encode(point{labels.FromStrings("__name__", "x"), time.Now(), 1})); err != nil {
		t.Fatal(err)
	}
	// One query is answered and one is ended by a limit.
	for _, step := range []string{"60", "1"} {
		if _, err := call(root.http, "/api/v1/query_range", url.Values{
			"query": {"x"}, "start": {seconds(time.Now().Add(-time.Minute))}, "end": {seconds(time.Now().Add(time.Minute))}, "step": {step},
		}); err != nil && step == "60" {
			t.Fatal(err)
		}
	}
	exported := map[string]map[string]bool{} // labels by metric
	for _, base := range []string{root.http, zone.http, leaf.http} {
		if err := exports(base, exported); err != nil {
			t.Fatal(err)
		}
	}
	checked := 0
	for _, name := range mixins(t) {
		if filepath.Base(name) != ofDelivery {
			checked += readsExported(t, name, exported)
		}
	}
	if checked < 20 {
		t.Errorf("only %d metrics were looked at", checked)
	}
}

// ofDelivery are the alerts on what control loops export.
const ofDelivery = "delivery.yml"

// readsExported checks that what the alerts of a file read is exported, and counts
// what it looked at.
func readsExported(t *testing.T, name string, exported map[string]map[string]bool) (checked int) {
	t.Helper()
	for _, r := range rulesOf(t, name) {
		for metric, names := range readBy(t, r.Expr) {
			checked++
			if metric == "up" {
				continue // that comes with the scrape
			}
			if exported[metric] == nil {
				t.Errorf("%s: %s reads %s, which nobody exports", name, r.Alert+r.Record, metric)
			}
			for _, l := range names {
				// These come with the scrape.
				if l != "instance" && l != "job" && l != "zone" && l != "cluster" && !exported[metric][l] {
					t.Errorf("%s: %s reads label %s of %s, which has none", name, r.Alert+r.Record, l, metric)
				}
			}
		}
	}
	return checked
}

// exports adds the metrics that a tier exports.
func exports(base string, into map[string]map[string]bool) error {
	res, err := caller.Get(base + "/metrics")
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text := expfmt.NewTextParser(model.UTF8Validation)
	families, err := text.TextToMetricFamilies(res.Body)
	if err != nil {
		return fmt.Errorf("metrics of %s: %w", base, err)
	}
	for _, f := range families {
		names := into[f.GetName()]
		if names == nil {
			names = map[string]bool{}
			into[f.GetName()] = names
		}
		for _, m := range f.Metric {
			for _, l := range m.Label {
				names[l.GetName()] = true
			}
			if len(m.GetHistogram().GetBucket()) > 0 {
				into[f.GetName()+"_bucket"] = names
				names["le"] = true
			}
		}
	}
	return nil
}

// readBy returns the metrics that an expression reads, with the labels that it
// selects and groups by.
func readBy(t *testing.T, expr string) map[string][]string {
	t.Helper()
	e, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	parser.Inspect(e, func(n parser.Node, path []parser.Node) error {
		vs, ok := n.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		names := []string{}
		for _, m := range vs.LabelMatchers {
			if m.Name != labels.MetricName {
				names = append(names, m.Name)
			}
		}
		for _, p := range path {
			if a, ok := p.(*parser.AggregateExpr); ok {
				names = append(names, a.Grouping...)
			}
		}
		out[vs.Name] = slices.Concat(out[vs.Name], names)
		return nil
	})
	return out
}
