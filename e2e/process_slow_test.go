package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"github.com/pandometrics/pando/querytree/treehttp"
)

// newProxy puts a proxy that can be made sick in front of an address.
func newProxy(t *testing.T, upstream string) *toxiproxy.Proxy {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	p := toxiproxy.NewProxy(server, t.Name(), anyPort, upstream)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return p
}

// sicken adds a toxic in one direction: upstream is from child to parent.
func sicken(t *testing.T, p *toxiproxy.Proxy, kind, stream, attributes string) {
	t.Helper()
	text := fmt.Sprintf(`{"name": %q, "type": %q, "stream": %q, "attributes": {%s}}`, kind+stream, kind, stream, attributes)
	if _, err := p.Toxics.AddToxicJson(strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
}

func cure(t *testing.T, p *toxiproxy.Proxy) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	p.Toxics.ResetToxics(ctx)
}

// A slow leaf, and a second one, delay nobody past the soft deadline, and are
// named. So is one that is connected but gone; it is found out, and when it is
// back it is part of the answer again.
func TestProcessSlowLeaf(t *testing.T) {
	processes(t)
	const deadline, margin = 5 * time.Second, 4500 * time.Millisecond // less than two deadlines
	root := startRoot(t, "--query.child-deadline=20s")
	zone := startZone(t, root.grpc, "--zone=eu", "--query.child-deadline="+deadline.String())
	one, two := newProxy(t, zone.grpc), newProxy(t, zone.grpc)
	for cluster, parent := range map[string]string{"eu-0": zone.grpc, "eu-1": one.Listen, "eu-2": two.Listen} {
		write(t, startLeaf(t, parent, "eu", cluster), pt(1, "__name__", "steady"))
	}
	const query = `sum(last_over_time(steady[1h]))`
	// Once with the hints in use: then they know the series.
	eventually(t, 60*time.Second, func() error {
		tree, err := treeOf(zone.http)
		for _, c := range tree.Children {
			if c.Hint == nil || !c.Hint.Synced {
				return fmt.Errorf("the hint of %s is not in use", c.Name)
			}
		}
		return err
	})
	becomes(t, 60*time.Second, root.http, query, 3)

	late := func(p *process, want float64, names ...string) []treehttp.FailedChild {
		t.Helper()
		begin := time.Now()
		a, err := ask(p.http, query, "stats", "all")
		took := time.Since(begin)
		if err != nil {
			t.Fatal(err)
		}
		if took > deadline+margin {
			t.Errorf("%s answered after %v, the deadline being %v", p.name, took, deadline)
		}
		d, err := a.query()
		if err != nil {
			t.Fatal(err)
		}
		if v, err := a.vector(); err != nil || len(v) != 1 || float64(v[0].Value) != want {
			t.Errorf("%s answered %v, %v; want %v", p.name, v, err, want)
		}
		if err := mentions(a.Warnings, names...); err != nil {
			t.Errorf("%s: %v", p.name, err)
		}
		if len(d.Stats.Pando.Failed) != len(names) {
			t.Errorf("%s: failed %+v, want %q", p.name, d.Stats.Pando.Failed, names)
		}
		return d.Stats.Pando.Failed
	}
	sicken(t, one, "latency", "upstream", `"latency": 30000`)
	sicken(t, two, "latency", "upstream", `"latency": 30000`)
	for _, p := range []*process{zone, root} {
		for _, f := range late(p, 1, "zone=eu,cluster=eu-1", "zone=eu,cluster=eu-2") {
			if !f.Late {
				t.Errorf("%s did not fail for being late: %s", f.Name, f.Reason)
			}
		}
	}
	cure(t, two)
	becomes(t, 60*time.Second, root.http, `sum(last_over_time(steady{cluster!="eu-1"}[1h]))`, 2)
	cure(t, one)
	becomes(t, 60*time.Second, root.http, query, 3)

	for _, direction := range []string{"upstream", "downstream"} {
		sicken(t, one, "timeout", direction, `"timeout": 0`)
	}
	late(root, 2, "zone=eu,cluster=eu-1")
	eventually(t, 30*time.Second, func() error { return stateOf(zone, "zone=eu,cluster=eu-1", treehttp.StateMissing) })
	late(root, 2, "zone=eu,cluster=eu-1")
	cure(t, one)
	becomes(t, 30*time.Second, root.http, query, 3)
}

// stateOf returns an error unless the tier shows a child in that state.
func stateOf(p *process, name string, want treehttp.State) error {
	tree, err := treeOf(p.http)
	if err != nil {
		return err
	}
	for _, c := range tree.Children {
		if c.Name == name {
			if c.State != want {
				return fmt.Errorf("%s is %s, want %s", name, c.State, want)
			}
			return nil
		}
	}
	return errors.New(name + " is not in the tree")
}

// A leaf whose machine went away without a word leaves a connection that is
// open at one end. When it is back, it is not taken for a duplicate.
func TestProcessHalfOpen(t *testing.T) {
	processes(t)
	// A query that is under way to the dead end waits for the deadline.
	zone := startZone(t, freeAddress(t), "--zone=eu", "--query.child-deadline=1s")
	proxy := newProxy(t, zone.grpc)
	dir := t.TempDir()
	flags := func(parent string) []string {
		return []string{"leaf", "--zone=eu", "--cluster=eu-1", "--storage.tsdb.path=" + dir, "--parent=" + parent}
	}
	leaf := tierAt(t, anyPort, "", flags(proxy.Listen)...)
	write(t, leaf, pt(1, "__name__", "steady"))
	becomes(t, 60*time.Second, zone.http, `sum(last_over_time(steady[1h]))`, 1)
	sicken(t, proxy, "slow_close", "upstream", `"delay": 120000`)
	leaf.kill()
	tierAt(t, anyPort, "", flags(zone.grpc)...)
	becomes(t, 60*time.Second, zone.http, `sum(last_over_time(steady[1h]))`, 1)
	if tree, err := treeOf(zone.http); err != nil || len(tree.Refused) > 0 {
		t.Errorf("the leaf was refused: %+v, %v", tree.Refused, err)
	}
}
