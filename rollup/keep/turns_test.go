package keep

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/pandometrics/pando/querytree"
)

// slowSource takes longer than there is for one round, and fails.
type slowSource struct {
	spent time.Duration
	asked []string
}

func (s *slowSource) Exec(_ context.Context, req querytree.ExecRequest) (querytree.ResultSet, error) {
	s.spent += 2 * slice
	s.asked = append(s.asked, req.Query)
	return nil, errors.New("too large")
}

// Partial points of each rule have their turn, however long those of another take and
// fail.
func TestPartialPointsTakeTurns(t *testing.T) {
	const rules = 4
	k := tierWithRules(t, rules)
	k.away = true
	for range 3 {
		k.pass(2 * worldHold)
		k.must(k.collect())
	}
	k.away = false
	of := map[string]bool{}
	for _, p := range k.store.partials() {
		of[p.rule.Name] = true
	}
	if len(of) != rules {
		t.Fatalf("partial points of %d rules, want %d", len(of), rules)
	}
	source := &slowSource{}
	k.c.cfg.Source = source
	k.c.cfg.Now = func() time.Time { return time.UnixMilli(k.now).Add(source.spent) }
	for range len(k.store.partials()) {
		k.must(k.c.complete(t.Context()))
		k.pass(2 * maxBackoff) // nobody is put off any more
	}
	slices.Sort(source.asked)
	if n := len(slices.Compact(source.asked)); n != rules {
		t.Errorf("asked for %d rules, want %d: %q", n, rules, source.asked)
	}
}

// Nor does it matter that there are more and more partial points of others.
func TestPartialPointsComeMeanwhile(t *testing.T) {
	k := tierWithRules(t, 2)
	kinds := make([]keptKey, 0, 2)
	for _, r := range k.store.Rules().All() {
		kinds = append(kinds, keptKey{r.ID, r.Keep[k.store.cfg.Tier][0]})
	}
	at := down(k.now, worldStep)
	add := func(key keptKey) {
		k.store.kept[key].set(span{from: at, to: at, state: partial, missing: "leaf b"})
		at += 2 * worldStep
	}
	add(kinds[1])
	source := &slowSource{}
	k.c.cfg.Source = source
	k.c.cfg.Now = func() time.Time { return time.UnixMilli(k.now).Add(source.spent) }
	for range 8 {
		add(kinds[0])
		k.must(k.c.complete(t.Context()))
		k.pass(2 * maxBackoff)
	}
	slices.Sort(source.asked)
	if n := len(slices.Compact(source.asked)); n != 2 {
		t.Errorf("asked for %d rules, want 2: %q", n, source.asked)
	}
}
