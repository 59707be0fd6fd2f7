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
		k.now += 2 * maxBackoff.Milliseconds() // nobody is put off any more
	}
	slices.Sort(source.asked)
	if n := len(slices.Compact(source.asked)); n != rules {
		t.Errorf("asked for %d rules, want %d: %q", n, rules, source.asked)
	}
}
