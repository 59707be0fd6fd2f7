package e2e_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/pandometrics/pando/querytree/treehttp"
)

// Children whose identity is taken, or does not fit, are refused with an error
// that names both sides, in the log of both and in the parent's tree. The one
// that was there first does not notice.
func TestProcessRefused(t *testing.T) {
	processes(t)
	root := startRoot(t)
	zone := startZone(t, root.grpc, "--zone=eu")
	first := startLeaf(t, zone.grpc, "eu", "eu-1")
	awaitLeaves(t, root, 1)
	write(t, first, pt(1, "__name__", "steady"))
	becomes(t, 60*time.Second, root.http, `sum(steady)`, 1)
	for _, c := range []struct {
		name, zone, cluster string
		flags, words        []string
	}{
		{"duplicate", "eu", "eu-1", nil, []string{"duplicate", "zone=eu,cluster=eu-1", "--cluster", "--shard", "--replica"}},
		{"another zone", "us", "us-1", nil, []string{"zone=us,cluster=us-1", `"zone=eu"`, "--zone"}},
		{"a shard beside a whole", "eu", "eu-1", []string{"--shard=1"}, []string{"zone=eu,cluster=eu-1/shard=1", `"zone=eu,cluster=eu-1"`, "--shard"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			refused := startLeaf(t, zone.grpc, c.zone, c.cluster, c.flags...)
			write(t, refused, pt(10, "__name__", "steady"))
			eventually(t, 60*time.Second, func() error {
				tree, err := treeOf(zone.http)
				if err != nil {
					return err
				}
				var reasons []string
				for _, r := range tree.Refused {
					reasons = append(reasons, r.Reason)
				}
				if !slices.ContainsFunc(reasons, func(s string) bool { return mentions([]string{s}, c.words...) == nil }) {
					return fmt.Errorf("none of %q names all of %q", reasons, c.words)
				}
				// Its own view, and the logs.
				if tree, err = treeOf(refused.http); err != nil {
					return err
				}
				if len(tree.Parents) != 1 || tree.Parents[0].State != treehttp.State("refused") {
					return fmt.Errorf("the leaf sees its parents as %+v", tree.Parents)
				}
				return mentions([]string{tree.Parents[0].Error}, c.words...)
			})
			for _, p := range []*process{zone, refused} {
				eventually(t, 60*time.Second, func() error {
					if err := mentions([]string{p.log.String()}, "refused", c.words[0]); err != nil {
						return fmt.Errorf("log of %s: %w", p.name, err)
					}
					return nil
				})
			}
			becomes(t, 60*time.Second, root.http, `sum(steady)`, 1)
			if err := stateOf(zone, "zone=eu,cluster=eu-1", treehttp.StateConnected); err != nil {
				t.Error(err)
			}
		})
	}
	// With the first one gone, the duplicate would be right: nobody is locked out.
	first.kill()
	second := startLeaf(t, zone.grpc, "eu", "eu-1")
	write(t, second, pt(100, "__name__", "steady"))
	becomes(t, 60*time.Second, root.http, `sum(steady)`, 100)
}
