package source

import (
	"context"
	"slices"

	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
)

// checkBase refuses a commit that does not descend from base: the reference was
// rewound, or its history replaced.
func (s *Source) checkBase(ctx context.Context, r remote, adv *packp.AdvRefs, c *commit, base string) error {
	if base == "" || c.hash == base || slices.Contains(c.parents, base) {
		return nil
	}
	ok, err := s.descends(ctx, r, adv, c.hash, base)
	switch {
	case err != nil:
		return err
	case !ok:
		return fail(ReasonRewound, "it does not descend from %s, which was applied last: restore the history, or roll back explicitly", short(base))
	}
	return nil
}

// descends tells whether newer has older in its history.
//
// A clone without history cannot tell. So the server is asked for what newer
// has and older has not, and told that older is here in full: it sends the
// commits in between, and no others, with their trees and files left out if it
// can do that. Then older must be the parent of one of them. If the history was
// replaced, the server may send all of the new one: the limits of a download
// end that, with an error that says so rather than a guess.
func (s *Source) descends(ctx context.Context, r remote, adv *packp.AdvRefs, newer, older string) (bool, error) {
	if newer == older {
		return true, nil
	}
	o, err := s.get(ctx, r, adv, request{want: newer, have: older, commitsOnly: true})
	if err != nil {
		e, ok := unwrapOwn(err)
		if ok && e.Reason == ReasonTooLarge {
			return false, fail(ReasonRewound, "that it descends from %s cannot be shown within the limits of a download: %w", short(older), e.Err)
		}
		return false, err
	}
	return o.reaches(newer, older)
}

// reaches walks from a commit through parents, as far as there are any.
func (o *objects) reaches(from, to string) (bool, error) {
	seen := map[string]bool{from: true}
	for next := []string{from}; len(next) > 0; {
		hash := next[len(next)-1]
		next = next[:len(next)-1]
		if hash == to {
			return true, nil
		}
		if !o.has(hash) {
			continue // beyond what is between the two
		}
		c, err := o.readCommit(hash)
		if err != nil {
			return false, err
		}
		for _, p := range c.parents {
			if !seen[p] {
				seen[p] = true
				next = append(next, p)
			}
		}
	}
	return false, nil
}
