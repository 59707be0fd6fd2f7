package wave

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Wave is a set of clusters that take a revision together.
type Wave struct {
	Name     string   `json:"name"`
	Clusters []string `json:"clusters"`
	// Bake is how long all of the wave must have run a revision before the next
	// wave takes it.
	Bake time.Duration `json:"bake"`
	// Gates are asked while a revision is delivered to the wave's own clusters, while
	// they bake, and until the next wave has taken it, which asks them before; those
	// of the last wave for Linger.
	Gates []Gate `json:"gates,omitempty"`
}

// Gate is a question to the root.
type Gate struct {
	Name string `json:"name"`
	Expr string `json:"expr"`
	// For is how long it must have held without a break.
	For time.Duration `json:"for,omitempty"`
}

// Verdict is the answer to a gate.
type Verdict int

// The verdicts. Unknown is an answer that is missing, or partial and naming no cluster
// that fails and runs the revision: it neither lets a wave advance nor rolls one back.
const (
	Unknown Verdict = iota
	Holds
	Fails
)

// Validate checks that every cluster is in exactly one wave, and that names
// tell waves and gates apart.
func Validate(waves []Wave) error {
	var errs []error
	in, names := map[string]string{}, map[string]bool{}
	for _, w := range waves {
		if w.Name == "" || names[w.Name] {
			errs = append(errs, fmt.Errorf("wave %q: give each wave a name of its own", w.Name))
		}
		names[w.Name] = true
		if w.Bake < 0 {
			errs = append(errs, fmt.Errorf("wave %q: bake time %s is negative", w.Name, w.Bake))
		}
		for _, c := range w.Clusters {
			if other, ok := in[c]; ok {
				errs = append(errs, fmt.Errorf("cluster %q is in waves %q and %q: put it into one", c, other, w.Name))
			}
			in[c] = w.Name
		}
		gates := map[string]bool{}
		for _, g := range w.Gates {
			if g.Name == "" || gates[g.Name] {
				errs = append(errs, fmt.Errorf("wave %q: give each gate a name of its own, not %q", w.Name, g.Name))
			}
			gates[g.Name] = true
		}
	}
	return errors.Join(errs...)
}

// Effective returns the waves by which next may be rolled out, when running is
// what runs: those of running, so that a commit that changes waves or gates is
// itself rolled out by the waves and gates before it. Clusters that next does
// not have are left out, for nobody runs a loop there any more; those that only
// next has come in the wave of the same name, or in a last one.
func Effective(running, next []Wave) []Wave {
	if len(running) == 0 {
		return next
	}
	stays, had := map[string]bool{}, map[string]bool{}
	for _, w := range next {
		for _, c := range w.Clusters {
			stays[c] = true
		}
	}
	out := make([]Wave, len(running))
	for i, w := range running {
		out[i] = w
		out[i].Clusters = nil
		for _, c := range w.Clusters {
			had[c] = true
			if stays[c] {
				out[i].Clusters = append(out[i].Clusters, c)
			}
		}
	}
	for _, w := range next {
		for _, c := range w.Clusters {
			if had[c] {
				continue
			}
			i := slices.IndexFunc(out, func(o Wave) bool { return o.Name == w.Name })
			if i < 0 {
				i = len(out) - 1
			}
			out[i].Clusters = append(out[i].Clusters, c)
		}
	}
	goFirst(running, out)
	return out
}

// goFirst puts one cluster into the first wave if all of that were taken out. It
// keeps the bake time and the gates of its wave; those of the one that is gone
// may be about clusters that are gone.
func goFirst(running, out []Wave) {
	i := first(out)
	if i <= 0 || len(out[i].Clusters) < 2 {
		return
	}
	j := slices.IndexFunc(running[:i], func(w Wave) bool { return len(w.Clusters) > 0 })
	if j < 0 {
		return
	}
	out[j].Clusters, out[i].Clusters = out[i].Clusters[:1:1], out[i].Clusters[1:]
	out[j].Bake, out[j].Gates = max(out[j].Bake, out[i].Bake), out[i].Gates
}

// find returns the wave of a cluster, or -1.
func find(waves []Wave, cluster string) int {
	return slices.IndexFunc(waves, func(w Wave) bool { return slices.Contains(w.Clusters, cluster) })
}

// first returns the first wave that has clusters.
func first(waves []Wave) int {
	return slices.IndexFunc(waves, func(w Wave) bool { return len(w.Clusters) > 0 })
}
