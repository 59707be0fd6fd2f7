package e2e_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/treehttp"
)

// A replica that stands still, its connection open, is raced by its twin: the answer is
// right, without a warning, and says so.
func TestProcessHedge(t *testing.T) {
	processes(t)
	root := startRoot(t, "--query.child-deadline=10s")
	zone := startZone(t, root.grpc, "--zone=eu", "--query.child-deadline=8s")
	leaves := map[string]*process{}
	p := &pair{t: t, root: root, leaves: leaves}
	for _, name := range []string{"a", "b"} {
		leaves[name] = startLeaf(t, zone.grpc, "eu", "eu-1", "--replica="+name)
	}
	awaitLeaves(t, root, 2)
	for _, l := range leaves {
		ready(t, l)
	}
	t.Cleanup(func() { // or they could not be ended
		for _, l := range leaves {
			_ = l.cmd.Process.Signal(syscall.SIGCONT)
		}
	})
	p.write()
	becomesSynced(t, time.Minute, zone.http, 2)
	p.known(zone)
	for range 10 {
		p.check()
		_, by := p.answeredBy()
		signal(t, leaves[by], syscall.SIGSTOP)
		told, other := p.answeredBy()
		if told.Hedged > 0 && other == by {
			t.Errorf("%s answered, which stands still", by)
		}
		p.answeredBy() // known to be slow by now
		signal(t, leaves[by], syscall.SIGCONT)
		if told.Hedged > 0 {
			return
		}
	}
	t.Error("no query was hedged")
}

// signal sends a signal to a process.
func signal(t *testing.T, p *process, sig syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// answeredBy asks for all samples, and returns what is told of the answer and which
// replica gave it.
func (p *pair) answeredBy() (*treehttp.Completeness, string) {
	p.t.Helper()
	a, err := ask(p.root.http, `count(count_over_time(ledger[10m]))`, "stats", "all", "nocache", "1")
	if err != nil {
		p.t.Fatal(err)
	}
	d, err := a.query()
	if err != nil || d.Stats.Pando == nil {
		p.t.Fatalf("no statistics: %v", err)
	}
	if v, err := a.vector(); err != nil || len(v) != 1 || v[0].Value != 1 || len(a.Warnings) > 0 {
		p.t.Fatalf("answered %v, %v, warnings %q", v, err, a.Warnings)
	}
	for _, row := range d.Stats.Pando.Children {
		if _, name, ok := strings.Cut(row.Name, "/replica="); ok && row.Verdict == querytree.Asked {
			return d.Stats.Pando, name
		}
	}
	p.t.Fatalf("no replica answered: %s", fmt.Sprint(d.Stats.Pando.Children))
	return nil, ""
}
