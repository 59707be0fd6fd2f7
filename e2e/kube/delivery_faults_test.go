package kube_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pandometrics/pando/gitops"
	"github.com/pandometrics/pando/gitops/kube"
)

// The API server hangs, permissions are taken away, and the loop is killed at
// each of its writes: the workload runs the old revision or the new one, whole,
// and no revision is taken for a bad one.
func TestDeliveryFaults(t *testing.T) {
	v := startDelivery(t, 32)
	now := twoTiers("a")
	v.deliver(now)
	v.loaded(now)
	t.Run("permission", func(t *testing.T) { now = v.withoutPermission(now) })
	t.Run("killed", func(t *testing.T) { now = v.killed(now) })
	t.Run("API server goes at each request", func(t *testing.T) { now = v.gone(now) })
	t.Run("API server is slow", func(t *testing.T) { now = v.slow(now) })
	t.Run("API server hangs", func(t *testing.T) { now = v.hanging(now) })
}

// twoTiers is a revision for two tiers, of which the second has no pods.
func twoTiers(name string) *gitops.Bundle {
	b := revisionOf(name, leafWorkload, `{"role": "zone", "zone": "eu", "name": "zone-eu", "image": "`+image+`:1", "replicas": 0, "identity": {"zone": "eu"}, "files": "zone/eu"}`)
	b.Files["zone/eu/prometheus.yml"] = []byte("rule_files: [rules/*.yml]\n")
	b.Files["zone/eu/rules/a.yml"] = b.Files["leaf/rules/a.yml"]
	return b
}

// gone has the API server refuse connections from each request on that a delivery
// makes, reads too, while the loop lives on.
func (v *delivery) gone(now *gitops.Bundle) *gitops.Bundle {
	t := v.t
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	finished := false
	for cycle := int64(0); !finished && cycle < 200; cycle += 1 + cycle/8 {
		next := twoTiers(fmt.Sprint("g", cycle))
		last := v.requests.Load() + cycle
		down := func(n int64) error {
			if n > last {
				return refused
			}
			return nil
		}
		v.disturb.Store(&down)
		err := v.d.Deliver(t.Context(), next)
		v.disturb.Store(nil)
		var away *gitops.UnavailableError
		if finished = err == nil; !finished && !errors.As(err, &away) {
			t.Errorf("gone at request %d: error %v, want that the API server is away", cycle, err)
		}
		v.whole(now, next)
		v.deliver(next)
		v.loaded(next)
		now = next
	}
	if !finished {
		t.Error("no delivery needed fewer requests than were let through")
	}
	return now
}

// slow has every request take a while, and some fail.
func (v *delivery) slow(now *gitops.Bundle) *gitops.Bundle {
	next := twoTiers("slow")
	first := v.requests.Load()
	slow := func(n int64) error {
		t := time.NewTimer(150 * time.Millisecond)
		defer t.Stop()
		select {
		case <-t.C:
		case <-v.t.Context().Done():
		}
		if (n-first)%23 == 0 {
			return &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
		}
		return nil
	}
	v.disturb.Store(&slow)
	v.deliver(next)
	v.disturb.Store(nil)
	v.loaded(next)
	return next
}

func (v *delivery) withoutPermission(now *gitops.Bundle) *gitops.Bundle {
	ctx, t := v.t.Context(), v.t
	binding, err := v.typed.RbacV1().RoleBindings(namespace).Get(ctx, "pando-gitops", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.typed.RbacV1().RoleBindings(namespace).Delete(ctx, binding.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	next := twoTiers("b")
	await(t, "the permission is gone", func(ctx context.Context) error {
		err := v.d.Deliver(ctx, now)
		var away *gitops.UnavailableError
		if !errors.As(err, &away) || !strings.Contains(err.Error(), "not allowed to") {
			return fmt.Errorf("error %w, want what is not allowed", err)
		}
		return nil
	})
	if err := v.d.Deliver(ctx, next); err == nil {
		t.Error("delivered without permission")
	}
	v.rules("a")
	binding.ResourceVersion, binding.UID = "", ""
	if _, err := v.typed.RbacV1().RoleBindings(namespace).Create(ctx, binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	v.deliver(next)
	v.loaded(next)
	return next
}

// killed has the loop killed before and after each write of deliveries, 20 times.
func (v *delivery) killed(now *gitops.Bundle) *gitops.Bundle {
	killed := errors.New("killed")
	for cycle := range 20 {
		next := twoTiers(fmt.Sprint("k", cycle))
		last := v.writes.Load() + int64(cycle%8)
		dead := func(n int64) error {
			if n > last {
				return killed
			}
			return nil
		}
		v.allow.Store(&dead)
		err := v.d.Deliver(v.t.Context(), next)
		v.allow.Store(nil)
		v.d = v.deliverer()
		if got, lerr := v.d.Loaded(v.t.Context()); lerr == nil && got != "" && got != now.Hash && got != next.Hash {
			v.t.Errorf("killed at write %d (%v): loaded %q", cycle%8, err, got)
		}
		v.whole(now, next)
		if cycle%2 == 0 { // the loop goes on with it, or goes back
			now = next
		}
		v.deliver(now)
		v.loaded(now)
	}
	return now
}

// whole checks that pods which reload at this moment get one revision or the
// other, all of it, and that both tiers get the same.
func (v *delivery) whole(revisions ...*gitops.Bundle) {
	v.t.Helper()
	cfg := kube.DefaultConfig()
	cfg.Namespace = namespace
	files, hashes := map[string][]byte{}, map[string]bool{}
	for _, tier := range []string{"leaf", "zone/eu"} {
		p, err := kube.NewPuller(v.account("pando-"+strings.TrimSuffix(tier, "/eu")), cfg, tier)
		if err != nil {
			v.t.Fatal(err)
		}
		got, err := p.Pull(v.t.Context())
		if err != nil {
			v.t.Fatal(err)
		}
		hashes[got.Hash] = true
		maps.Copy(files, got.Files)
	}
	for _, r := range revisions {
		if len(hashes) == 1 && hashes[r.Hash] && cmp.Equal(files, r.Files) {
			return
		}
	}
	v.t.Errorf("fetched of revisions %v %d files, which is none of those delivered, or not whole", slices.Collect(maps.Keys(hashes)), len(files))
}

func (v *delivery) hanging(now *gitops.Bundle) *gitops.Bundle {
	t := v.t
	next := twoTiers("z")
	address := v.address("pando-leaf-0")
	v.Pause()
	begun := time.Now()
	var away *gitops.UnavailableError
	if err := v.d.Deliver(t.Context(), next); !errors.As(err, &away) {
		t.Errorf("error %v, want that the API server is away", err)
	}
	if _, err := v.d.Loaded(t.Context()); !errors.As(err, &away) {
		t.Errorf("error %v, want that the API server is away", err)
	}
	if took := time.Since(begun); took > time.Minute {
		t.Errorf("it took %v to learn that", took)
	}
	resp, err := http.Get("http://" + address + "/-/ready")
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("the leaf is not ready while the API server is away: %v", err)
	}
	v.Resume()
	v.deliver(next)
	v.loaded(next)
	return next
}

// One loop leads at a time; when it goes, another one does; the status is
// written while it changes.
func TestLead(t *testing.T) {
	v := startDelivery(t, 33)
	var leading, most atomic.Int64
	run := func(ctx context.Context, d *kube.Deliverer, status func() gitops.Status) func() error {
		return func() error {
			return d.Lead(ctx, fmt.Sprintf("loop-%p", d), func(ctx context.Context) error {
				most.Store(max(most.Load(), leading.Add(1)))
				defer leading.Add(-1)
				return d.Report(ctx, status, 50*time.Millisecond)
			})
		}
	}
	status := func(running string) func() gitops.Status {
		return func() gitops.Status { return gitops.Status{State: "idle", Running: running} }
	}
	shows := func(running string) {
		t.Helper()
		await(t, "status of "+running, func(ctx context.Context) error {
			cm, err := v.typed.CoreV1().ConfigMaps(namespace).Get(ctx, "pando-gitops-status", metav1.GetOptions{})
			if err == nil && cm.Data["applied"] != running {
				err = fmt.Errorf("status %v", cm.Data)
			}
			return err
		})
	}
	ctxA, stopA := context.WithCancel(t.Context())
	ctxB, stopB := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	go func() { ended <- run(ctxA, v.deliverer(), status("a"))() }()
	shows("a")
	go func() { ended <- run(ctxB, v.deliverer(), status("b"))() }()
	stopA()
	if err := <-ended; err != nil {
		t.Errorf("the first ended: %v", err)
	}
	shows("b")
	stopB()
	if err := <-ended; err != nil {
		t.Errorf("the second ended: %v", err)
	}
	if most.Load() != 1 || leading.Load() != 0 {
		t.Errorf("%d led at once, %d at the end", most.Load(), leading.Load())
	}
}
