package e2e_test

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// pair are two replicas of one leaf, to which the same samples are written, each
// once: what a replica misses while it is down it never gets.
type pair struct {
	t       *testing.T
	root    *process
	leaves  map[string]*process
	written []time.Time
	asked   int
}

// write writes the next sample to the replicas that are up, and returns its time.
func (p *pair) write() time.Time {
	p.t.Helper()
	// No two samples share a millisecond.
	for tick := time.Tick(time.Millisecond); len(p.written) > 0 && time.Now().UnixMilli() <= p.written[len(p.written)-1].UnixMilli(); {
		<-tick
	}
	s := point{labels.FromStrings("__name__", "ledger"), time.Now(), float64(len(p.written))}
	for _, l := range p.leaves {
		select {
		case <-l.done:
			continue
		default:
		}
		if code, text, err := post(context.Background(), l.http, encode(s)); err != nil || code/100 != 2 {
			p.t.Fatalf("write to %s: %d %s %v", l.name, code, text, err)
		}
	}
	p.written = append(p.written, s.at)
	return s.at
}

// check writes a sample and asks for all of them, and for what is of late, in
// instant and range queries: nothing may be missing, and no warning given.
func (p *pair) check() {
	p.t.Helper()
	now := p.write()
	n := float64(len(p.written))
	p.equals(`count_over_time(ledger[10m])`, now, n)
	p.equals(`sum(sum_over_time(ledger[10m])) / sum(count_over_time(ledger[10m]))`, now, (n-1)/2)
	p.equals(`avg(last_over_time(ledger[10m]))`, now, n-1)
	p.equals(`max_over_time(count_over_time(ledger[10m])[1ms:1ms])`, now, n)
	a, err := call(p.root.http, "/api/v1/query_range", map[string][]string{
		"query": {`count_over_time(ledger[5m])`}, "start": {seconds(p.written[0])}, "end": {seconds(now)}, "step": {"0.05"},
	})
	if err != nil || len(a.Warnings) > 0 || a.Partial {
		p.t.Fatalf("range query: %v, warnings %q", err, a.Warnings)
	}
	p.asked++
}

// equals asks an instant query.
func (p *pair) equals(query string, at time.Time, want float64) {
	p.t.Helper()
	a, err := ask(p.root.http, query, "time", seconds(at))
	if err != nil {
		p.t.Fatal(err)
	}
	v, err := a.vector()
	if err != nil || len(v) != 1 || math.Abs(float64(v[0].Value)-want) > 1e-9*want || len(a.Warnings) > 0 || a.Partial {
		p.t.Fatalf("%s is %v, want %v; %v, warnings %q", query, v, want, err, a.Warnings)
	}
	p.asked++
}

// lately asks for the samples of the last moment alone.
func (p *pair) lately() {
	p.t.Helper()
	now := p.write()
	want := 0.0
	for _, at := range p.written {
		if now.UnixMilli()-at.UnixMilli() < 500 {
			want++
		}
	}
	p.equals(`count_over_time(ledger[500ms])`, now, want)
}

// Two replicas die by kill -9 and come back, one after the other, under queries.
// As long as one of them has a sample, no answer misses it and none has a
// warning; when the only one that has it is dead, the answer names it.
func TestProcessReplicas(t *testing.T) {
	processes(t)
	root := startRoot(t)
	zone := startZone(t, root.grpc, "--zone=eu")
	p := &pair{t: t, root: root, leaves: map[string]*process{}}
	for _, name := range []string{"a", "b"} {
		p.leaves[name] = startLeaf(t, zone.grpc, "eu", "eu-1", "--replica="+name)
	}
	awaitLeaves(t, root, 2)
	for _, l := range p.leaves {
		ready(t, l)
	}
	becomes(t, 60*time.Second, root.http, `vector(1)`, 1)
	p.write()
	p.known(zone)
	for range 20 {
		p.check()
	}
	p.leaves["a"].kill()
	for range 60 {
		p.check()
	}
	p.restart("a")
	for range 20 {
		p.check()
	}

	// Only b has what a missed: without it, answers for that time say so, and
	// those for other times are whole.
	p.settle()
	p.leaves["b"].kill()
	for range 20 {
		p.lately()
	}
	eventually(t, 60*time.Second, func() error {
		a, err := ask(root.http, `count_over_time(ledger[10m])`)
		if err != nil {
			return err
		}
		return mentions(a.Warnings, "partial answer", "zone=eu,cluster=eu-1/replica=b")
	})

	// With both there again, each fills the gap of the other.
	p.restart("b")
	p.settle()
	for range 40 {
		p.check()
	}
	p.leaves["a"].kill()
	p.restart("a")
	p.settle()
	for range 20 {
		p.check()
	}
	t.Logf("%d samples written, %d answers checked", len(p.written), p.asked)
}

// known waits until the tiers were told of the first sample of each replica: one
// that has told of none yet counts as empty, so that the other one is missed. Nor
// does the root ask for a series that it was not told of.
func (p *pair) known(zone *process) {
	p.t.Helper()
	eventually(p.t, time.Minute, func() error {
		tree, err := treeOf(zone.http)
		for _, c := range tree.Children {
			if err == nil && c.Mint.IsZero() {
				err = fmt.Errorf("%s has told of no sample", c.Name)
			}
		}
		return err
	})
	becomes(p.t, time.Minute, p.root.http, `count(last_over_time(ledger[10m]))`, 1)
}

// ready waits until a leaf takes samples.
func ready(tb testing.TB, leaf *process) {
	tb.Helper()
	eventually(tb, 60*time.Second, func() error {
		res, err := caller.Get(leaf.http + "/-/ready")
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("%s is not ready: %d", leaf.name, res.StatusCode)
		}
		return nil
	})
}

// restart starts a replica that was killed, and waits until it answers.
func (p *pair) restart(name string) {
	p.t.Helper()
	p.leaves[name] = p.leaves[name].again()
	ready(p.t, p.leaves[name])
	awaitLeaves(p.t, p.root, 2)
}

// settle lets so much time pass that what is of late lies after the last gap.
func (p *pair) settle() {
	p.t.Helper()
	for begin := time.Now(); time.Since(begin) < 2*time.Second; {
		p.write()
		<-time.After(50 * time.Millisecond)
	}
}
