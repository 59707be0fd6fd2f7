package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"
)

// pastRollups are kept for longer than the leaves keep samples; by zone or leaf.
const pastRollups = `
rollups:
- {name: past:requests, expr: "sum by (job) (rate(requests_total[5m]))", interval: 5m, keep: {%[1]s: {for: 60d}}}
- {name: past:errors, expr: "sum by (job) (rate(requests_total{code=~\"5..\"}[5m]))", interval: 5m, keep: {%[1]s: {for: 60d}}}
- {name: past:cpu, expr: "avg without (pod, code) (cpu)", interval: 5m, keep: {%[1]s: {for: 60d}}}
`

// writeBlock writes an hour of samples of some series, a minute apart.
func writeBlock(tb testing.TB, dir string, from time.Time, all ...labels.Labels) {
	tb.Helper()
	w, err := tsdb.NewBlockWriter(slog.New(slog.DiscardHandler), dir, 2*time.Hour.Milliseconds())
	if err != nil {
		tb.Fatal(err)
	}
	app := w.Appender(context.Background())
	for step := range 60 {
		for i, l := range all {
			if _, err := app.Append(0, l, from.Add(time.Duration(step)*time.Minute).UnixMilli(), float64(step*60*(i+1)+i*i)); err != nil {
				tb.Fatal(err)
			}
		}
	}
	if err := app.Commit(); err != nil {
		tb.Fatal(err)
	}
	if _, err := w.Flush(context.Background()); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
}

// pastPlanet is a root without rollups above a zone that has some and one whose leaf
// has some. The leaves have dropped the samples that they were made of.
type pastPlanet struct {
	t                *testing.T
	root, eu, us     *process
	euLeaf, usLeaf   *process
	from             time.Time // of the hour that is long ago
	euRules, usRules string
}

func newPastPlanet(t *testing.T) *pastPlanet {
	p := &pastPlanet{t: t, from: time.Now().Add(-3 * 24 * time.Hour).Truncate(2 * time.Hour)}
	p.root = startRoot(t)
	p.euRules, p.usRules = writeFile(t, "eu.yml", fmt.Sprintf(pastRollups, "zone")), writeFile(t, "us.yml", fmt.Sprintf(pastRollups, "leaf"))
	p.eu = startZone(t, p.root.grpc, "--zone=eu", "--rollup.file="+p.euRules)
	p.us = startZone(t, p.root.grpc, "--zone=us")
	leaf := func(zone *process, name, job string, flags ...string) *process {
		dir := t.TempDir()
		old := func(metric, pod, code string) labels.Labels {
			return labels.FromStrings("__name__", metric, "job", job, "pod", pod, "code", code)
		}
		writeBlock(t, dir, p.from, old("requests_total", job+"-1", "200"), old("requests_total", job+"-2", "500"), old("cpu", job+"-1", "0"), old("cpu", job+"-2", "0"))
		writeBlock(t, dir, time.Now().Add(-4*time.Hour).Truncate(2*time.Hour), labels.FromStrings("__name__", "other", "job", job))
		return tierAt(t, anyPort, "", append([]string{
			"leaf", "--storage.tsdb.path=" + dir, "--storage.tsdb.retention.time=60d", "--parent=" + zone.grpc, "--zone=" + name, "--cluster=a",
		}, flags...)...)
	}
	p.euLeaf = leaf(p.eu, "eu", "api")
	p.usLeaf = leaf(p.us, "us", "web", "--rollup.file="+p.usRules)
	awaitLeaves(t, p.root, 2)
	p.backfill(p.eu)
	p.backfill(p.usLeaf)
	return p
}

// backfill has a tier make the points of the hour, and all since.
func (p *pastPlanet) backfill(tier *process) {
	p.t.Helper()
	for _, name := range []string{"past:requests", "past:errors", "past:cpu"} {
		eventually(p.t, time.Minute, func() error {
			res, err := caller.PostForm(tier.http+"/pando/api/v1/rollups/backfill", url.Values{"rule": {name}, "since": {seconds(p.from.Add(-time.Hour))}})
			if err != nil {
				return err
			}
			defer res.Body.Close()
			if text, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK {
				return fmt.Errorf("%s: %s", res.Status, text)
			}
			return nil
		})
	}
	eventually(p.t, 3*time.Minute, func() error { return whole(tier.http, p.from.Add(24*time.Hour)) })
}

// forget has the leaves start again with a retention that the hour is beyond.
func (p *pastPlanet) forget() {
	p.t.Helper()
	for _, leaf := range []**process{&p.euLeaf, &p.usLeaf} {
		(*leaf).stop(syscall.SIGTERM, 30*time.Second)
		for i, flag := range (*leaf).args {
			if strings.HasPrefix(flag, "--storage.tsdb.retention.time=") {
				(*leaf).args[i] = "--storage.tsdb.retention.time=1d"
			}
		}
		*leaf = (*leaf).again()
	}
	awaitLeaves(p.t, p.root, 2)
	eventually(p.t, 60*time.Second, func() error {
		for _, leaf := range []*process{p.euLeaf, p.usLeaf} {
			v, err := vector(leaf.http, "count(requests_total)", "time", seconds(p.from.Add(30*time.Minute)), "rollup", "off")
			if err != nil {
				return err
			}
			if len(v) > 0 {
				return fmt.Errorf("%s still has %v", leaf.name, v)
			}
		}
		for _, tier := range []*process{p.root, p.eu, p.us} {
			for _, c := range hintsOf(p.t, tier).Children {
				if !c.Synced {
					return fmt.Errorf("the hint of %s is not in use: %s", c.Name, c.Unsynced)
				}
			}
		}
		return nil
	})
}

// ranged asks for the hour.
func (p *pastPlanet) ranged(tier *process, query string, params ...string) (string, *queryData) {
	p.t.Helper()
	form := url.Values{"query": {query}, "start": {seconds(p.from)}, "end": {seconds(p.from.Add(time.Hour))}, "step": {"300"}, "stats": {"all"}}
	for i := 0; i < len(params); i += 2 {
		form.Set(params[i], params[i+1])
	}
	a, err := call(tier.http, "/api/v1/query_range", form)
	if err != nil {
		p.t.Fatal(err)
	}
	d, err := a.query()
	if err != nil || len(a.Warnings) > 0 || a.Partial {
		p.t.Fatalf("%s at %s: %v, warnings %q", query, tier.name, err, a.Warnings)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, d.Result); err != nil {
		p.t.Fatal(err)
	}
	return compact.String(), &d
}

// What rollups have of a time of which the leaves have dropped all samples, a tier
// without rollups finds: the field hints of zones and leaves tell of it, and of no
// more. So it is after restarts.
func TestProcessRolledPast(t *testing.T) {
	processes(t)
	p := newPastPlanet(t)
	p.forget()
	p.check("after the leaves have dropped their samples")
	p.eu.stop(syscall.SIGTERM, 30*time.Second)
	p.eu = p.eu.again()
	p.root.stop(syscall.SIGTERM, 30*time.Second)
	p.root = p.root.again()
	awaitLeaves(t, p.root, 2)
	p.forget()
	p.check("after restarts")
	p.comesBack()
}

// comesBack takes the rules of eu out, and puts them in again: the root has kept
// answers without them meanwhile.
func (p *pastPlanet) comesBack() {
	t, query := p.t, `sum by (job) (rate(requests_total{zone="eu"}[5m]))`
	t.Helper()
	before, _ := p.ranged(p.root, query)
	rules := fmt.Sprintf(pastRollups, "zone")
	reload := func(text string, done func(got string) bool) {
		t.Helper()
		if err := os.WriteFile(p.euRules, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := p.eu.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		eventually(t, 60*time.Second, func() error {
			if got, _ := p.ranged(p.root, query); !done(got) {
				return errors.New(got)
			}
			return nil
		})
	}
	reload("rollups: []\n", func(got string) bool { return got == "[]" })
	eventually(t, 60*time.Second, func() error {
		_, d := p.ranged(p.root, query)
		if d.Stats.Pando.Asked > 0 {
			return fmt.Errorf("the root has kept nothing: %+v", *d.Stats.Pando)
		}
		return nil
	})
	reload(rules, func(got string) bool { return got == before })
}

func (p *pastPlanet) check(when string) {
	t := p.t
	t.Helper()
	const none = "[]"
	for _, c := range []struct {
		query  string
		eu, us bool // who has an answer
	}{
		{`sum by (job, zone) (rate(requests_total[5m]))`, true, true},
		{`sum by (job) (rate(requests_total{zone="eu"}[5m]))`, true, false},
		{`sum by (job) (rate({__name__=~"requests_total"}[5m]))`, true, true},
		{`sum(rate(requests_total{job=~"api|none"}[5m]))`, true, false},
		{`sum by (job) (rate(requests_total{job=~"w.*"}[5m]))`, false, true},
		{`topk(1, sum by (job) (rate(requests_total{code=~"5.."}[5m])))`, true, true},
		{`sum(rate(requests_total{code=~"5..",job="web"}[5m])) / sum(rate(requests_total{job="web"}[5m]))`, false, true},
		{`avg by (job) (cpu)`, true, true},
		{`sum(rate(requests_total{job="none"}[5m]))`, false, false},
		{`sum(rate(requests_total{pod="api-1"}[5m]))`, false, false},
		{`sum(increase(other_total[5m]))`, false, false},
	} {
		got, d := p.ranged(p.root, c.query, "nocache", "1")
		if (got != none) != (c.eu || c.us) {
			t.Errorf("%s: %s at the root: %s", when, c.query, got)
		}
		if other, _ := p.ranged(p.root, c.query, "nocache", "1", "hints", "off"); other != got {
			t.Errorf("%s: %s without hints %s, with hints %s", when, c.query, other, got)
		}
		for zone, has := range map[*process]bool{p.eu: c.eu, p.us: c.us} {
			at, _ := p.ranged(zone, c.query, "nocache", "1")
			if (at != none) != has {
				t.Errorf("%s: %s at %s: %s", when, c.query, zone.name, at)
			}
			if c.eu != c.us && has && at != got {
				t.Errorf("%s: %s at the root %s, at %s %s", when, c.query, got, zone.name, at)
			}
		}
		if pruned := d.Stats.Pando.Pruned.Hint; !c.eu && !c.us && pruned != 2 {
			t.Errorf("%s: %s: %d children are ruled out", when, c.query, pruned)
		}
	}
	both, _ := p.ranged(p.root, `sum by (zone) (rate(requests_total[5m]))`)
	for _, zone := range []*process{p.eu, p.us} {
		at, _ := p.ranged(zone, `sum by (zone) (rate(requests_total[5m]))`)
		if part := strings.TrimSuffix(strings.TrimPrefix(at, "["), "]"); !strings.Contains(both, part) || part == "" {
			t.Errorf("%s: the root has %s, %s %s", when, both, zone.name, at)
		}
	}
}
