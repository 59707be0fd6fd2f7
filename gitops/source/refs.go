package source

import (
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
)

// tip is what the followed reference names.
type tip struct {
	ref    string // refs/heads/main, refs/tags/v1.2.0
	object string // the hash that it names: a commit, or an annotated tag
	commit string // the commit
}

// resolve finds the followed reference in an advertisement.
func (s *Source) resolve(adv *packp.AdvRefs) (tip, error) {
	switch {
	case s.cfg.Branch != "":
		return named(adv, "refs/heads/"+s.cfg.Branch)
	case s.cfg.Tag != "":
		return named(adv, "refs/tags/"+s.cfg.Tag)
	}
	ref, err := highest(adv, s.cfg.Semver)
	if err != nil {
		return tip{}, err
	}
	return named(adv, ref)
}

func named(adv *packp.AdvRefs, ref string) (tip, error) {
	hash, ok := adv.References[ref]
	if !ok || hash == plumbing.ZeroHash {
		return tip{}, fail(ReasonNotFound, "the repository has no %s", ref)
	}
	t := tip{ref: ref, object: hash.String(), commit: hash.String()}
	if peeled, ok := adv.Peeled[ref]; ok {
		t.commit = peeled.String()
	}
	return t, nil
}

// highest returns the tag with the highest version in a range. Of versions that
// are equal but for build metadata, the one whose name sorts last is taken.
func highest(adv *packp.AdvRefs, within string) (string, error) {
	constraint, err := semver.NewConstraint(within)
	if err != nil {
		return "", fail(ReasonNotFound, "range of versions %q: %w", within, err)
	}
	var best *semver.Version
	bestRef := ""
	for ref := range adv.References {
		name, ok := strings.CutPrefix(ref, "refs/tags/")
		if !ok {
			continue
		}
		v, err := semver.NewVersion(name)
		if err != nil || !constraint.Check(v) {
			continue
		}
		if best == nil || v.GreaterThan(best) || v.Equal(best) && ref > bestRef {
			best, bestRef = v, ref
		}
	}
	if best == nil {
		return "", fail(ReasonNotFound, "the repository has no tag in the range %q", within)
	}
	return bestRef, nil
}
