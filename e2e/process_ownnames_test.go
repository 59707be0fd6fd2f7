package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ownRules record a name that both zones have, one with the label of a cluster, one
// that is the zone's alone, and fire an alert.
const ownRules = `groups:
  - name: own
    interval: 1s
    rules:
      - {record: "zone:orders:sum", expr: "sum by (zone) (orders)"}
      - {record: "zone:orders:sum", expr: "sum by (zone) (orders)", labels: {cluster: b, part: all}}
      - {record: "%[1]s:orders:max", expr: "max(orders)"}
      - {alert: FewOrders, expr: "sum(orders) < 1000"}
`

const ownRollups = `
rollups:
- name: eu:orders:kept
  expr: sum by (cluster) (last_over_time(orders[10m]))
  interval: 1s
  keep: {zone: {for: 2h}}
`

// ownPlanet is a root above two zones, one of them below another one, that record
// and keep series of names which no leaf has.
type ownPlanet struct {
	t                  *testing.T
	root, emea, eu, us *process
	rules              string // file of eu
}

func newOwnPlanet(t *testing.T) *ownPlanet {
	p := &ownPlanet{t: t}
	config := func(zone string) (string, string) {
		dir := t.TempDir()
		rules, file := filepath.Join(dir, "rules.yml"), filepath.Join(dir, "prometheus.yml")
		for name, text := range map[string]string{rules: fmt.Sprintf(ownRules, zone), file: "rule_files: [rules.yml]\n"} {
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return "--config.file=" + file, rules
	}
	p.root = startRoot(t)
	p.emea = startZone(t, p.root.grpc, "--external-label=continent=emea")
	eu, rules := config("eu")
	p.rules = rules
	p.eu = startZone(t, p.emea.grpc, "--external-label=continent=emea", "--zone=eu", eu, "--rollup.file="+writeFile(t, "rollups.yml", ownRollups))
	us, _ := config("us")
	p.us = startZone(t, p.root.grpc, "--external-label=continent=amer", "--zone=us", us)
	for i, l := range []struct {
		parent                   *process
		continent, zone, cluster string
	}{{p.eu, "emea", "eu", "a"}, {p.eu, "emea", "eu", "b"}, {p.us, "amer", "us", "c"}} {
		leaf := startLeaf(t, l.parent.grpc, l.zone, l.cluster, "--external-label=continent="+l.continent, "--rollup.delay=2s")
		write(t, leaf, pt(float64(i+1), "__name__", "orders"))
	}
	awaitLeaves(t, p.root, 3)
	return p
}

// synced waits until hints are in use everywhere: before, all are asked.
func (p *ownPlanet) synced() {
	p.t.Helper()
	eventually(p.t, 60*time.Second, func() error {
		for _, tier := range []*process{p.root, p.emea} {
			for _, c := range hintsOf(p.t, tier).Children {
				if !c.Synced {
					return fmt.Errorf("the hint of %s is not in use: %s", c.Name, c.Unsynced)
				}
			}
		}
		return nil
	})
}

// pruned waits until a selector has the root, and emea, ask nobody, by field hint.
func (p *ownPlanet) pruned(selector string) {
	p.t.Helper()
	eventually(p.t, 60*time.Second, func() error {
		r := run(p.t, pando(p.t), "who-has", "--server", p.root.http, "-o", "json", selector)
		if strings.Contains(r.out, `"own"`) {
			return fmt.Errorf("%s: %s", selector, r.out)
		}
		return mentions([]string{r.out}, `"leaves": []`, `"complete": true`, `"verdict": "pruned-hint"`)
	})
}

// strings returns a list that an endpoint of the root answers.
func (p *ownPlanet) strings(path string, params url.Values) []string {
	p.t.Helper()
	a, err := call(p.root.http, path+"?"+params.Encode(), nil)
	if err != nil {
		p.t.Fatal(err)
	}
	var out []string
	if err := json.Unmarshal(a.Data, &out); err != nil {
		p.t.Fatalf("%s %v: %v: %s", path, params, err, a.Data)
	}
	return out
}

// What zones record and keep under names of their own is found from the root, and
// from a zone between them, with field hints in use: by name, whatever the labels, as
// series, as names, and after a change of rules and a restart.
func TestProcessOwnNames(t *testing.T) {
	processes(t)
	p := newOwnPlanet(t)
	becomes(t, 60*time.Second, p.eu.http, `zone:orders:sum{cluster=""}`, 3)
	becomes(t, 60*time.Second, p.us.http, `zone:orders:sum{cluster=""}`, 3)
	eventually(t, 60*time.Second, func() error {
		_, err := number(p.eu.http, `eu:orders:kept{cluster="a"}`)
		return err
	})
	p.synced()
	for query, want := range map[string]float64{
		`zone:orders:sum{zone="eu",cluster=""}`:                     3,
		`zone:orders:sum{zone="us",cluster=""}`:                     3,
		`zone:orders:sum{cluster="b",zone="eu"}`:                    3,
		`zone:orders:sum{cluster="b",continent="amer",part=~"al+"}`: 3,
		`count(zone:orders:sum)`:                                    4,
		`sum(sum by (continent) (zone:orders:sum{part=""}))`:        6,
		`eu:orders:max`:                                                  2,
		`max_over_time(eu:orders:max[5m])`:                               2,
		`count(eu:orders:max offset 1s)`:                                 1,
		`count(zone:ALERTS{alertname="FewOrders"})`:                      2,
		`sum(last_over_time(eu:orders:kept[1m]))`:                        3,
		`sum(orders * on (zone) group_left () zone:orders:sum{part=""})`: 18,
		`count(orders and on (zone) us:orders:max)`:                      1,
		`sum(eu:orders:max) + sum(us:orders:max)`:                        5,
	} {
		becomes(t, 60*time.Second, p.root.http, query, want)
		a, err := ask(p.root.http, query, "hints", "off")
		if err != nil {
			t.Fatal(err)
		}
		raw, err := ask(p.root.http, query, "pushdown", "off", "nocache", "1")
		if err != nil {
			t.Fatal(err)
		}
		for how, got := range map[string]answer{"hints": a, "pushdown": raw} {
			if v, err := got.vector(); err != nil || len(v) != 1 || float64(v[0].Value) != want {
				t.Errorf("%s, %s off: %v, %v, want %v", query, how, v, err, want)
			}
		}
	}
	becomes(t, 60*time.Second, p.emea.http, `zone:orders:sum{cluster="b"}`, 3)

	if names := p.strings("/api/v1/label/__name__/values", nil); mentions(names, "zone:orders:sum", "eu:orders:max", "us:orders:max", "zone:ALERTS", "eu:orders:kept", "orders") != nil {
		t.Errorf("names: %v", names)
	}
	if names := p.strings("/api/v1/label/__name__/values", url.Values{"match[]": {`{__name__=~"eu:.*"}`}}); !slices.Equal(names, []string{"eu:orders:kept", "eu:orders:max"}) {
		t.Errorf("names of eu: %v", names)
	}
	for selector, want := range map[string][]string{
		`eu:orders:max`:                        {"__name__", "continent", "zone"},
		`eu:orders:kept`:                       {"__name__", "cluster", "continent", "zone"},
		`zone:orders:sum{cluster="b"}`:         {"__name__", "cluster", "continent", "part", "zone"},
		`zone:ALERTS{alertname!="",zone="us"}`: {"__name__", "alertname", "alertstate", "continent", "zone"},
	} {
		if got := p.strings("/api/v1/labels", url.Values{"match[]": {selector}}); !slices.Equal(got, want) {
			t.Errorf("labels of %s: %v, want %v", selector, got, want)
		}
	}
	if got := p.strings("/api/v1/label/cluster/values", url.Values{"match[]": {`eu:orders:kept`}}); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("clusters that are kept: %v", got)
	}
	for selector, want := range map[string]int{`zone:orders:sum`: 4, `eu:orders:kept`: 2, `eu:orders:max{zone="us"}`: 0, `us:orders:max`: 1} {
		a, err := call(p.root.http, "/api/v1/series", url.Values{"match[]": {selector}})
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(a.Data), "__name__"); n != want {
			t.Errorf("%d series of %s, want %d: %s", n, selector, want, a.Data)
		}
	}
	r := run(t, pando(t), "why", "--server", p.root.http, "--analyze", `eu:orders:max{cluster=""}`)
	if err := mentions([]string{r.out}, "asks zone continent=emea", `prunes 1 child by field hint: __name__="eu:orders:max"`); err != nil {
		t.Errorf("%v:\n%s%s", err, r.out, r.errOut)
	}
	r = run(t, pando(t), "who-has", "--server", p.root.http, "--verify", `eu:orders:max`)
	if err := mentions([]string{r.out}, "no leaf is asked for eu:orders:max\nzone zone=eu,continent=emea answers for that name itself", "root rules out 1 child by field hint"); r.code != 0 || err != nil {
		t.Errorf("exit code %d, %v:\n%s%s", r.code, err, r.out, r.errOut)
	}
	p.changes()
}

// changes has eu record something else, and start again.
func (p *ownPlanet) changes() {
	t := p.t
	t.Helper()
	text, err := os.ReadFile(p.rules)
	if err != nil {
		t.Fatal(err)
	}
	// It was asked for before it was recorded, and the answer has been cached.
	begin, end := seconds(time.Now().Add(-time.Minute)), seconds(time.Now().Add(-20*time.Second))
	window := url.Values{"query": {`eu:orders:most`}, "start": {begin}, "end": {end}, "step": {"1"}}
	if _, err := call(p.root.http, "/api/v1/query_range", window); err != nil {
		t.Fatal(err)
	}
	p.pruned(`eu:orders:most{job="x"}`)
	if err := os.WriteFile(p.rules, []byte(strings.ReplaceAll(string(text), "eu:orders:max", "eu:orders:most")), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.eu.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	becomes(t, 60*time.Second, p.root.http, `eu:orders:most{cluster=""}`, 2)
	p.pruned(`eu:orders:max{job="x"}`)

	p.eu.kill()
	p.eu = p.eu.again()
	awaitLeaves(t, p.root, 3)
	becomes(t, 60*time.Second, p.root.http, `eu:orders:most{cluster=""}`, 2)
	p.synced()
	becomes(t, 60*time.Second, p.root.http, `zone:orders:sum{cluster="b",zone="eu"}`, 3)
	becomes(t, 60*time.Second, p.root.http, `sum(last_over_time(eu:orders:kept[10m]))`, 3)
	p.pruned(`eu:orders:max{job="x"}`)
}
