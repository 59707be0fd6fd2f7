package e2e_test

import (
	"fmt"
	"math/rand"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"

	"github.com/pandometrics/pando/querytree/treehttp"
)

// A link between two tiers goes dead without a word, in one direction or in the other,
// next to the root or further below. What is born beyond it meanwhile is missing from
// no answer for longer than a hint is used, but the answer tells of it; what is born
// elsewhere is found. Once the link is back, all of it is.
func TestProcessHintsOverDeadLinks(t *testing.T) {
	processes(t)
	rnd := rand.New(rand.NewSource(seed(t)))
	root := startRoot(t, "--query.child-deadline=2s")
	above := newProxy(t, root.grpc)
	zone := startZone(t, above.Listen, "--zone=eu", "--query.child-deadline=1s")
	below := newProxy(t, zone.grpc)
	n := &nursery{t: t, root: root.http, bursts: map[string]int{}, delays: map[form][]time.Duration{}}
	for i, parent := range []string{below.Listen, zone.grpc} {
		at := place{0, "eu", fmt.Sprint("eu-", i)}
		leaf := startLeaf(t, parent, at.zone, at.cluster)
		write(t, leaf, pt(1, "__name__", "anchor"))
		n.leaves = append(n.leaves, cradle{at, leaf.http, zone.http})
	}
	var born []*birth
	for _, link := range []*toxiproxy.Proxy{below, above} {
		for _, direction := range []string{"upstream", "downstream"} {
			n.whole()
			n.hinted(zone, len(n.leaves))
			n.hinted(root, 1)
			n.broken.Add(1)
			sicken(t, link, "timeout", direction, `"timeout": 0`)
			for leaf := range n.leaves {
				for range 2 {
					all := n.bear(t.Context(), rnd, leaf, 1, n.conceive)
					if len(all) != 1 {
						t.Fatal("a write to a leaf was not acknowledged")
					}
					n.reveal(rnd, all[0], false)
					born = append(born, all...)
				}
			}
			cure(t, link)
			n.whole()
			n.broken.Add(1)
			for _, b := range born {
				n.reveal(rnd, b, false)
			}
		}
	}
	t.Logf("%d series looked for, %d answers told of something missing, %d did not have the series yet, %d lied",
		len(born), n.missing.Load(), n.early.Load(), n.lies.Load())
}

// hinted waits until a tier uses the hints of so many children.
func (n *nursery) hinted(p *process, children int) {
	n.t.Helper()
	eventually(n.t, 60*time.Second, func() error {
		tree, err := treeOf(p.http)
		if err != nil {
			return err
		}
		used := 0
		for _, c := range tree.Children {
			if c.State == treehttp.StateConnected && c.Hint != nil && c.Hint.Synced {
				used++
			}
		}
		if used != children {
			return fmt.Errorf("%s uses the hints of %d children, want %d", p.name, used, children)
		}
		return nil
	})
}
