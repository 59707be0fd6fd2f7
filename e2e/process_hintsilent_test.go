package e2e_test

import (
	"fmt"
	"math/rand"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
)

// A link between a leaf and its zone, or between that and the root, carries nothing any
// more in one direction or in both, and stays open. What the leaf takes in from then on
// is not known above, and nobody is told: within the time after which silence counts,
// answers of the root say that they lack the leaf, or have its series. None of them is
// lost once the link is mended.
func TestProcessHintsOfSilentLinks(t *testing.T) {
	processes(t)
	rnd := rand.New(rand.NewSource(seed(t)))
	root := startRoot(t, "--query.child-deadline=3s")
	ofZone := newProxy(t, root.grpc)
	zone := startZone(t, ofZone.Listen, "--zone=eu", "--query.child-deadline=2s")
	ofLeaf := newProxy(t, zone.grpc)
	n := &nursery{t: t, root: root.http}
	for cluster, parent := range []string{ofLeaf.Listen, zone.grpc} {
		at := place{0, "eu", fmt.Sprint("eu-", cluster)}
		leaf := startLeaf(t, parent, at.zone, at.cluster)
		write(t, leaf, pt(1, "__name__", "anchor"))
		n.leaves = append(n.leaves, cradle{at, leaf.http, zone.http})
	}
	n.whole()
	becomesSynced(t, time.Minute, root.http, 3)
	for _, c := range []struct {
		name string
		link *toxiproxy.Proxy
		cut  []string
	}{
		{"what a leaf says", ofLeaf, []string{"upstream"}},
		{"all between a leaf and its zone", ofLeaf, []string{"upstream", "downstream"}},
		{"what a zone says", ofZone, []string{"upstream"}},
		{"all between a zone and the root", ofZone, []string{"upstream", "downstream"}},
	} {
		n.broken.Add(1)
		for _, stream := range c.cut {
			sicken(t, c.link, "timeout", stream, `"timeout": 0`)
		}
		before := n.missing.Load()
		begin := time.Now()
		for time.Since(begin) < 2*visibleWithin {
			for _, b := range n.bear(t.Context(), rnd, 0, 2, n.conceive) {
				n.reveal(rnd, b, false)
			}
			n.look(rnd, n.born[rnd.Intn(len(n.born))], byEqual)
		}
		told := n.missing.Load() - before
		t.Logf("%s is lost: %d answers told of it", c.name, told)
		if told == 0 {
			t.Errorf("%s is lost, and no answer tells of it", c.name)
		}
		cure(t, c.link)
		n.whole()
		n.broken.Add(1)
	}
	n.all()
	t.Logf("%d series, %d answers without a series that was too new", len(n.born), n.early.Load())
}
