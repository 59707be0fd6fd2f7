package planet_test

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/relabel"
	"github.com/prometheus/prometheus/model/rulefmt"

	"github.com/pandometrics/pando/gitops/planet"
)

// fields returns the names that a struct has in YAML, those of inlined ones included.
func fields(t reflect.Type, except ...string) (out []string) {
	for i := range t.NumField() {
		name, option, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		switch {
		case option == "inline":
			out = append(out, fields(t.Field(i).Type)...)
		case name != "" && name != "-" && !slices.Contains(except, name):
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// properties returns the names that a schema knows at a path.
func properties(t *testing.T, k planet.Kind, path ...string) (out []string) {
	t.Helper()
	text, err := planet.Schema(k)
	if err != nil {
		t.Fatal(err)
	}
	var at map[string]any
	if err := json.Unmarshal(text, &at); err != nil {
		t.Fatal(err)
	}
	for _, name := range append(path, "properties") {
		below, ok := at[name].(map[string]any)
		if !ok {
			t.Fatalf("%s has no %s in %v", k, name, path)
		}
		at = below
	}
	return slices.Sorted(maps.Keys(at))
}

// The schemas of Prometheus' formats know the fields that Prometheus knows, but for
// those that are refused from git.
func TestSchemasKnowPrometheusFields(t *testing.T) {
	discoveries := []string{"dns_sd_configs", "file_sd_configs", "http_sd_configs", "kubernetes_sd_configs", "static_configs"}
	job := append(fields(reflect.TypeFor[config.ScrapeConfig]()), discoveries...)
	slices.Sort(job)
	for _, tc := range []struct {
		what      string
		want, got []string
	}{
		{"job", job, properties(t, planet.Scrape, "$defs", "job")},
		{"relabeling", fields(reflect.TypeFor[relabel.Config]()), properties(t, planet.Scrape, "$defs", "relabeling")},
		{"group", fields(reflect.TypeFor[rulefmt.RuleGroup]()), properties(t, planet.Rules, "$defs", "group")},
		{"rule", fields(reflect.TypeFor[rulefmt.Rule]()), properties(t, planet.Rules, "$defs", "rule")},
		{"global", fields(reflect.TypeFor[config.GlobalConfig](), "query_log_file", "scrape_failure_log_file"), properties(t, planet.Settings, "properties", "global")},
		{"alerting", fields(reflect.TypeFor[config.AlertingConfig]()), properties(t, planet.Settings, "properties", "alerting")},
	} {
		if d := cmp.Diff(tc.want, tc.got); d != "" {
			t.Errorf("%s (-Prometheus +schema)\n%s", tc.what, d)
		}
	}
}
