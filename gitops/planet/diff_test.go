package planet_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pandometrics/pando/gitops/planet"
)

// diffText writes changes, a line each.
func diffText(changes []planet.Change) string {
	var b strings.Builder
	for _, c := range changes {
		fmt.Fprintf(&b, "%s %s", c.Op, c.Title)
		if c.Tier != "" {
			fmt.Fprintf(&b, " @%s[%s]", c.Tier, strings.Join(c.Places, " "))
		}
		if len(c.Details) > 0 {
			fmt.Fprintf(&b, " {%s}", strings.Join(c.Details, "; "))
		}
		if c.Series != "" {
			fmt.Fprintf(&b, " ? %s", c.Series)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestDiff(t *testing.T) {
	for _, tc := range []struct{ name, files, cluster, want string }{
		{"nothing", "", "", ""},
		{"comments and order", "-- rules/leaf/up.yml --\n# x\ngroups:\n  - rules:\n      - {expr: sum by (job) (up), record: job:up:sum}\n    name: up\n", "", ""},
		{"rule", "-- rules/leaf/up.yml --\ngroups: [{name: up, rules: [{record: 'job:up:sum', expr: sum by (job) (up)}, {record: a, expr: 'rate(x[5m]) / on (job) y'}]}]\n", "", "+ rule a of group up @leaf[eu-1 eu-2 us-1] {expr: rate(x[5m]) / on (job) y} ? count(rate(x{cluster=~\"eu-1|eu-2|us-1\"}[5m]) / on (job, zone, cluster) y{cluster=~\"eu-1|eu-2|us-1\"})\n"},
		{"rule of a zone", "-- rules/zone/up.yml --\ngroups: [{name: up, rules: [{record: 'zone:up:sum', expr: sum(up)}]}]\n", "eu-1", "~ rule zone:up:sum of group up @zone[eu] {expr: sum(up{zone=\"eu\"}) → sum(up)} ? count(sum by (zone) (up{zone=~\"eu\"}))\n"},
		{"rules of the root", "-- rules/root/up.yml --\ngroups: []\n", "us-1", "- alert Down of group up @root[]\n- group up @root[]\n"},
		{"of a cluster that does not host it", "-- rules/root/up.yml --\ngroups: []\n", "eu-1", ""},
		{"group", "-- rules/leaf/up.yml --\ngroups: [{name: up, interval: 1m, rules: [{record: 'job:up:sum', expr: sum by (job) (up)}]}]\n", "eu-2", "~ group up @leaf[eu-2] {+ interval: 1m}\n"},
		{"job", "-- scrape/nodes.yml --\nscrape_configs: [{job_name: pods, static_configs: [{targets: ['pods:80', 'more:80']}], honor_labels: true}]\n", "", "- job nodes @leaf[eu-1 eu-2 us-1] ? count({cluster=~\"eu-1|eu-2|us-1\",job=\"nodes\"})\n~ job pods @leaf[eu-1 eu-2 us-1] {+ target more:80; + honor_labels: true}\n"},
		{"overlay", "-- clusters/eu-2/scrape/x.yml --\nscrape_configs: [{job_name: pods, delete: true}]\n", "", "- job pods @leaf[eu-2] ? count({cluster=~\"eu-2\",job=\"pods\"})\n"},
		{"limit", "-- limits/zone.yml --\nquery.timeout: 1m\n", "", "+ query.timeout @zone[eu us] {1m}\n"},
		{"rollup", "-- rollups/r.yml --\nrollups: [{name: a, expr: sum by (job) (x), interval: 1m, keep: {root: {for: 1d}}}]\n", "", "+ rollup a @root[] {expr: sum by (job) (x); interval: 1m} ? count(sum by (job) (x))\n- rollup job:x:rate5m @root[] ? count({__name__=\"job:x:rate5m\"})\n"},
		{"setting", "-- prometheus.yml --\nglobal: {scrape_interval: 10s}\n", "us-1", "- alerting.alertmanagers @leaf[us-1]\n~ global.scrape_interval @leaf[us-1] {30s → 10s}\n- alerting.alertmanagers @root[]\n~ global.scrape_interval @root[] {30s → 10s}\n"},
	} {
		changes, err := planet.Diff(load(t, files(small)), load(t, with(tc.files)), tc.cluster)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(tc.want, diffText(changes)); d != "" {
			t.Errorf("%s (-want +got)\n%s", tc.name, d)
		}
	}
	var unknown *planet.UnknownError
	if _, err := planet.Diff(load(t, files(small)), load(t, files(small)), "mars"); !errors.As(err, &unknown) {
		t.Errorf("of an unknown cluster: %v", err)
	}
}

// What planet.yaml says differs too; a cluster that is new is one change, not one for
// each job of it.
func TestDiffOfThePlanet(t *testing.T) {
	text := strings.NewReplacer(
		"  - {name: us-1, zone: us, labels: {stage: prod, port: \"9300\"}}\n", "  - {name: us-1, zone: us, labels: {stage: canary, port: \"9300\"}}\n  - {name: us-2, zone: us, labels: {port: \"1\"}}\n",
		"bake: 10m", "bake: 1h", "bool 0.9,", "bool 0.8,",
	).Replace(small)
	changes, err := planet.Diff(load(t, files(small)), load(t, files(text)), "")
	if err != nil {
		t.Fatal(err)
	}
	want := `~ cluster us-1 {zone us port=9300 stage=prod → zone us port=9300 stage=canary}
+ cluster us-2 {zone us port=1}
~ gate up {avg(up) > bool 0.9 for 5m → avg(up) > bool 0.8 for 5m}
~ wave canary {number 1, eu-1, bake 10m, gates up → number 1, eu-1 us-1, bake 1h, gates up}
~ wave rest {number 2, eu-2 us-1, bake 0s → number 2, eu-2 us-2, bake 0s}
`
	if d := cmp.Diff(want, diffText(changes)); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}
