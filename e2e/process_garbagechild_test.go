package e2e_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pandometrics/pando/querytree/treehttp"
	"github.com/pandometrics/pando/querytree/treerpc/garbletest"
)

// Whatever a registered leaf answers, the others' part is right, and what is missing is
// named; or the query fails, and says by whom.
func TestProcessGarbageOfAChild(t *testing.T) {
	processes(t)
	root := startRoot(t, "--query.child-deadline=10s")
	// The limit ends what has no end on each machine, however much comes before the deadline.
	zone := startZone(t, root.grpc, "--zone=eu", "--query.child-deadline=3s", "--query.max-series=20000")
	leaf := startLeaf(t, zone.grpc, "eu", "eu-1")
	write(t, leaf, pt(1, "__name__", "steady"))
	becomes(t, time.Minute, root.http, `sum(last_over_time(steady[1h]))`, 1)
	g := garbletest.Register(t, zone.grpc, "eu", "eu-2")
	awaitLeaves(t, root, 2)
	before := residentBytes(t, zone) + residentBytes(t, root)

	const name = "zone=eu,cluster=eu-2"
	for what, answer := range garbletest.Answers(t) {
		g.Give(answer)
		queries := []string{`sum(last_over_time(steady[1h]))`, `last_over_time(steady[1h])`, `quantile(0.5, last_over_time(steady[1h]))`}
		if answer.Hang {
			queries = queries[:1] // until the deadline
		}
		for _, query := range queries {
			for _, p := range []*process{zone, root} {
				asked := g.Asked()
				a, err := ask(p.http, query, "nocache", "1")
				if err != nil {
					t.Fatalf("%s, %s of %s: %v", what, query, p.name, err)
				}
				if g.Asked() == asked {
					t.Errorf("%s, %s of %s: the leaf was not asked", what, query, p.name)
				}
				if err := rightOrSaid(a, 1, name); err != nil {
					t.Errorf("%s, %s of %s: %v", what, query, p.name, err)
				}
			}
		}
		if v, err := number(root.http, `sum(last_over_time(steady{cluster="eu-1"}[1h]))`); err != nil || v != 1 {
			t.Errorf("after %s: %v, %v", what, v, err)
		}
	}
	if err := stateOf(zone, "zone=eu,cluster=eu-1", treehttp.StateConnected); err != nil {
		t.Error(err)
	}
	if grown := residentBytes(t, zone) + residentBytes(t, root) - before; grown > 400<<20 {
		t.Errorf("zone and root grew by %d MiB", grown>>20)
	}
}

// rightOrSaid returns an error unless an answer is what is left without a child, and
// names it; or an error that does.
func rightOrSaid(a answer, want float64, child string) error {
	if a.Status != "success" {
		return mentions([]string{a.Error}, child)
	}
	v, err := a.vector()
	if err != nil {
		return err
	}
	if len(v) != 1 || float64(v[0].Value) != want {
		return fmt.Errorf("answered %v, want %v", v, want)
	}
	if !a.Partial {
		return errors.New("the answer is said to be whole")
	}
	return mentions(a.Warnings, child)
}

// The same of what else is asked of leaves: names, series, metadata, exemplars, the tree.
func TestProcessGarbageBesideQueries(t *testing.T) {
	processes(t)
	root := startRoot(t, "--query.child-deadline=10s")
	zone := startZone(t, root.grpc, "--zone=eu", "--query.child-deadline=3s")
	leaf := startLeaf(t, zone.grpc, "eu", "eu-1")
	write(t, leaf, pt(1, "__name__", "steady"))
	becomes(t, time.Minute, root.http, `sum(last_over_time(steady[1h]))`, 1)
	g := garbletest.Register(t, zone.grpc, "eu", "eu-2")
	awaitLeaves(t, root, 2)

	const name = "zone=eu,cluster=eu-2"
	all := garbletest.Answers(t)
	for _, what := range []string{"noise", "half a message", "a frame too large", "an unknown error", "empty frames without end"} {
		g.Give(all[what])
		for path, has := range map[string]string{
			"/api/v1/labels":                "cluster",
			"/api/v1/label/__name__/values": "steady",
			"/api/v1/series":                "steady",
			"/api/v1/metadata":              "",
			"/api/v1/query_exemplars":       "",
		} {
			now := seconds(time.Now())
			a, err := call(root.http, path+"?match[]=steady&query=steady&start=0&end="+now, nil)
			if err != nil {
				t.Errorf("%s of %s: %v", what, path, err)
				continue
			}
			said := slices.Concat(a.Warnings, []string{a.Error})
			if err := mentions(said, name); err != nil {
				t.Errorf("%s of %s: status %d, partial %v, %v: %s", what, path, a.Code, a.Partial, err, a.Data)
			}
			if a.Status == "success" && !strings.Contains(string(a.Data), has) {
				t.Errorf("%s of %s: %.300s, want %q", what, path, a.Data, has)
			}
		}
		tree, err := treeOf(root.http)
		if err != nil || len(tree.Children) != 1 || len(tree.Children[0].Children) != 2 {
			t.Errorf("%s: tree %+v, %v", what, tree.Children, err)
		}
	}
	if v, err := number(root.http, `sum(last_over_time(steady{cluster="eu-1"}[1h]))`); err != nil || v != 1 {
		t.Errorf("in the end: %v, %v", v, err)
	}
}
