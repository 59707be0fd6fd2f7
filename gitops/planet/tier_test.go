package planet_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Zones and the root have the settings by which rules are evaluated and alerts
// are sent, but for what only a cluster has a value for.
func TestSettingsOfTiers(t *testing.T) {
	p := load(t, files(small+`-- prometheus.yml --
global:
  evaluation_interval: 20s
  external_labels: {site: "${cluster}"}
alerting:
  alertmanagers:
    - static_configs: [{targets: ["am.${zone}:9093"]}]
storage: {tsdb: {out_of_order_time_window: 5m}}
-- rules/zone/a.yml --
groups: [{name: a, rules: [{record: "zone:up:sum", expr: sum(up)}]}]
`))
	got := map[string]string{}
	for _, cluster := range []string{"eu-1", "us-1"} {
		b, err := p.Render(cluster)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"zone/eu/prometheus.yml", "root/prometheus.yml"} {
			if data, ok := b.Files[name]; ok {
				got[name] = string(data)
			}
		}
		accepted(t, b)
	}
	zone := func(name string) string {
		return "global:\n  evaluation_interval: 20s\nalerting:\n  alertmanagers:\n    - static_configs: [{targets: [\"am." + name + ":9093\"]}]\nrule_files:\n- rules/*.yml\n"
	}
	want := map[string]string{
		"zone/eu/prometheus.yml": zone("eu"),
		"root/prometheus.yml": "global:\n  evaluation_interval: 20s\nrule_files:\n- rules/*.yml\n",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}
