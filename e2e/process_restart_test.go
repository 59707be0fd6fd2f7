package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// stream writes samples to a leaf, one request after another, until ctx ends,
// and tells of each that was acknowledged. It survives the leaf's death.
func stream(ctx context.Context, leaf *process, acked chan<- point) {
	defer close(acked)
	for i := 0; ctx.Err() == nil; i++ {
		p := point{labels.FromStrings("__name__", "ledger", "entry", fmt.Sprint(i)), time.Now(), float64(i)}
		code, _, err := post(ctx, leaf.http, encode(p))
		if err == nil && code/100 == 2 {
			select {
			case acked <- p:
			case <-ctx.Done():
				return
			}
		}
	}
}

// A leaf dies by kill -9 under remote write and queries, and comes back. Each
// answer meanwhile is whole or names the leaf; a strict one fails; and all that
// was acknowledged is there afterwards.
func TestProcessKillLeaf(t *testing.T) {
	processes(t)
	root := startRoot(t)
	zone := startZone(t, root.grpc, "--zone=eu")
	victim := startLeaf(t, zone.grpc, "eu", "eu-1")
	other := startLeaf(t, zone.grpc, "eu", "eu-2")
	awaitLeaves(t, root, 2)
	for _, l := range []*process{victim, other} {
		write(t, l, pt(1, "__name__", "steady"))
	}
	becomes(t, 60*time.Second, root.http, `sum(steady)`, 2)

	var kept []point
	whole, partial, strict := 0, 0, 0
	check := func() {
		t.Helper()
		w, p, s := checkAnswer(t, root, "zone=eu,cluster=eu-1")
		whole, partial, strict = whole+w, partial+p, strict+s
	}
	for range 3 {
		ctx, cancel := context.WithCancel(context.Background())
		acked := make(chan point, 1<<20)
		go stream(ctx, victim, acked)
		for before := len(kept); len(kept) < before+200; {
			kept = append(kept, <-acked)
			if len(kept)%50 == 0 {
				check()
			}
		}
		victim.kill()
		cancel()
		for p := range acked {
			kept = append(kept, p)
		}
		eventually(t, 60*time.Second, func() error {
			before := partial
			if check(); partial == before {
				return errors.New("no answer misses the leaf")
			}
			return nil
		})
		victim = victim.again()
		eventually(t, 60*time.Second, func() error {
			before := whole
			if check(); whole == before {
				return errors.New("no answer is whole")
			}
			return nil
		})
	}
	t.Logf("%d samples acknowledged; %d answers whole, %d partial, %d refused as strict", len(kept), whole, partial, strict)
	if strict == 0 {
		t.Error("no strict query met the missing leaf")
	}
	lost := 0
	for _, p := range kept {
		got, err := number(root.http, fmt.Sprintf(`ledger{entry=%q,cluster="eu-1"} @ %s`, p.series.Get("entry"), seconds(p.at)))
		if err != nil || got != p.value {
			if lost++; lost < 5 {
				t.Errorf("entry %s, acknowledged, is %v: %v", p.series.Get("entry"), got, err)
			}
		}
	}
	if lost > 0 {
		t.Errorf("%d of %d acknowledged samples are lost", lost, len(kept))
	}
}

// checkAnswer asks for two series, one of a leaf that may be missing, and checks
// that the answer is whole or names the leaf, and so a strict one. It returns
// which of them it was.
func checkAnswer(t *testing.T, root *process, leaf string) (whole, partial, strict int) {
	t.Helper()
	a, err := ask(root.http, `last_over_time(steady[1h])`, "stats", "all")
	if err != nil {
		t.Fatal(err)
	}
	d, err := a.query()
	if err != nil {
		t.Fatal(err)
	}
	v, err := a.vector()
	switch c := d.Stats.Pando; {
	case err != nil || c == nil:
		t.Fatalf("answer %s: %v", a.Data, err)
	case len(a.Warnings) == 0:
		if whole++; len(v) != 2 || a.Partial || !c.Complete || len(c.Failed) > 0 {
			t.Errorf("answer without warnings: %d series, header %v, %+v", len(v), a.Partial, c)
		}
	default:
		partial++
		if err := mentions(a.Warnings, leaf); err != nil {
			t.Error(err)
		}
		if len(v) < 1 || !a.Partial || c.Complete || len(c.Failed) == 0 || c.Failed[0].Name != leaf || c.Failed[0].Reason == "" {
			t.Errorf("answer with warnings %q: %d series, header %v, %+v", a.Warnings, len(v), a.Partial, c)
		}
	}
	a, err = ask(root.http, `last_over_time(steady[1h])`, "partial_response", "false")
	switch v, verr := a.vector(); {
	case err != nil:
		t.Fatal(err)
	case a.Status == "success":
		if verr != nil || len(v) != 2 || len(a.Warnings) > 0 {
			t.Errorf("strict answer has %d series, warnings %q", len(v), a.Warnings)
		}
	default:
		strict++
		if a.Code != 503 {
			t.Errorf("strict query answered %d, want 503", a.Code)
		}
		if err := mentions([]string{a.Error}, leaf); err != nil {
			t.Error(err)
		}
	}
	return whole, partial, strict
}

// Tiers may start in any order, and each may die and come back without anyone
// touching the others.
func TestProcessAnyOrder(t *testing.T) {
	processes(t)
	rootGRPC, zoneGRPC := freeAddress(t), freeAddress(t)
	leaf := startLeaf(t, zoneGRPC, "eu", "eu-1")
	write(t, leaf, pt(1, "__name__", "steady"))
	zone := tierAt(t, anyPort, zoneGRPC, zoneFlags(t, rootGRPC, "--zone=eu")...)
	becomes(t, 60*time.Second, zone.http, `sum(steady)`, 1)
	root := tierAt(t, anyPort, rootGRPC, rootFlags(t)...)
	healed := func() {
		t.Helper()
		begin := time.Now()
		becomes(t, 60*time.Second, root.http, `sum(last_over_time(steady[1h]))`, 1)
		t.Logf("whole after %v", time.Since(begin).Round(time.Millisecond))
	}
	healed()

	zone.kill()
	missed(t, root, "zone=eu")
	zone = zone.again()
	healed()
	root.kill()
	root = root.again()
	healed()
	root.stop(syscall.SIGTERM, 15*time.Second)
	zone.stop(syscall.SIGTERM, 15*time.Second)
	zone = zone.again()
	root = root.again()
	healed()

	// A leaf that is gone is missed by a zone that never saw it in its own life.
	leaf.kill()
	zone.kill()
	zone = zone.again()
	missed(t, zone, "zone=eu,cluster=eu-1")
	missed(t, root, "zone=eu")
	leaf.again()
	healed()
}

// missed waits until the answers of a tier name the child as missing, whether
// they hold something or not.
func missed(t *testing.T, p *process, name string) {
	t.Helper()
	eventually(t, 60*time.Second, func() error {
		a, err := ask(p.http, `last_over_time(steady[1h])`)
		if err != nil {
			return err
		}
		return mentions(append(a.Warnings, a.Error), name)
	})
}
