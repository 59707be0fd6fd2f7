package gitops

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/pandometrics/pando/gitops/wave"
)

// GateAnswer is what the root said to a gate.
type GateAnswer struct {
	Verdict wave.Verdict
	// Samples is how many there were; none is a failure.
	Samples int
	// Value and Labels are of the decisive sample: one that fails, or the smallest.
	Value  float64
	Labels map[string]string
	// Failing are clusters that the answer of a part of the tree names by label
	// cluster on samples that fail; nil if the answer is whole.
	Failing []string
}

// ofPart is what the answer of a part of the tree says of a revision: that a gate
// fails if a sample that does names a cluster which runs it, and nothing otherwise.
// Of a sample over several clusters, and of none, nobody can tell whether it fails
// for what is missing: a leaf that is dead elsewhere must not return the planet.
func (a GateAnswer) ofPart(runs func(cluster string) bool) wave.Verdict {
	if slices.ContainsFunc(a.Failing, runs) {
		return wave.Fails
	}
	return wave.Unknown
}

// failing returns the clusters that samples which fail name.
func failing(samples []rootSample) (out []string) {
	for _, s := range samples {
		if c := s.Metric["cluster"]; c != "" && bad(s) && !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	return out
}

// bad tells whether a gate fails by a sample.
func bad(s rootSample) bool { return s.Value == 0 || math.IsNaN(float64(s.Value)) }

// gateKey is what wave.Decision.Need calls a gate.
func gateKey(inWave, gate string) string { return inWave + "/" + gate }

// asked is the last answer to a gate.
type asked struct {
	GateAnswer
	at  time.Time
	err string
}

// noteGate remembers the last answer to a gate.
func (l *Loop) noteGate(key string, a GateAnswer, err error) {
	seen := asked{GateAnswer: a, at: l.deps.Now()}
	if err != nil {
		seen.err = clip(err.Error())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.view.gates[key] = seen
}

// GateStatus is a gate of a wave, as this loop knows it.
type GateStatus struct {
	Wave string `json:"wave"`
	Name string `json:"name"`
	Expr string `json:"expr"`
	// For is in seconds.
	For float64 `json:"forSeconds"`
	// Verdict is holds, fails or unknown; "" if the loop has not asked since it
	// started.
	Verdict string `json:"verdict"`
	// Value is left out if it is not a number.
	Value   *float64          `json:"value,omitempty"`
	Labels  map[string]string `json:"labels,omitempty"`
	Samples int               `json:"samples"`
	// At is when it was asked last, HeldSince since when it has held without a
	// break, Failed how often in a row it has failed.
	At        time.Time `json:"at,omitzero"`
	HeldSince time.Time `json:"heldSince,omitzero"`
	Failed    int       `json:"failed,omitempty"`
	// Error says why there is no answer.
	Error string `json:"error,omitempty"`
}

// verdictText is the word for a verdict.
func verdictText(v wave.Verdict) string {
	switch v {
	case wave.Holds:
		return "holds"
	case wave.Fails:
		return "fails"
	}
	return "unknown"
}

// gateStatus lists the gates of all waves. The caller holds mu.
func (l *Loop) gateStatus(waves []wave.Wave) (out []GateStatus) {
	keys := map[string]bool{}
	for _, w := range waves {
		for _, g := range w.Gates {
			key := gateKey(w.Name, g.Name)
			keys[key] = true
			s := GateStatus{Wave: w.Name, Name: g.Name, Expr: g.Expr, For: g.For.Seconds(), HeldSince: l.state.Memory.Held[key], Failed: l.state.Memory.Failed[key]}
			if a, ok := l.view.gates[key]; ok {
				s.Verdict, s.Samples, s.Labels, s.At, s.Error = verdictText(a.Verdict), a.Samples, a.Labels, a.at, a.err
				if a.Samples > 0 && !math.IsNaN(a.Value) && !math.IsInf(a.Value, 0) {
					s.Value = &a.Value
				}
			}
			out = append(out, s)
		}
	}
	for key := range l.view.gates { // of waves that are no more
		if !keys[key] {
			delete(l.view.gates, key)
		}
	}
	return out
}

// Bake is the time in which a wave has to show that a revision is good.
type Bake struct {
	Wave     string    `json:"wave"`
	Revision string    `json:"revision"`
	Since    time.Time `json:"since"`
	Until    time.Time `json:"until"`
}

// bakes are those that this loop counts: that of its own wave, while what it runs
// has not proved itself, and that of the wave before, for which it waits. The
// caller holds mu.
func (l *Loop) bakes(waves []wave.Wave) (out []Bake) {
	s, m := l.state, l.state.Memory
	own := slices.IndexFunc(waves, func(w wave.Wave) bool { return slices.Contains(w.Clusters, l.cfg.Cluster) })
	if own < 0 {
		return nil
	}
	add := func(w wave.Wave, revision string, since time.Time) {
		out = append(out, Bake{Wave: w.Name, Revision: revision, Since: since, Until: since.Add(w.Bake)})
	}
	if s.Running != "" && m.Loaded == s.Running && !slices.Contains(s.Good, s.Running) {
		add(waves[own], s.Running, m.LoadedAt)
	}
	for i := own - 1; i >= 0 && m.Candidate != ""; i-- {
		if len(waves[i].Clusters) > 0 {
			add(waves[i], m.Candidate, m.Since)
			break
		}
	}
	return out
}

// decisive returns what the samples of an answer amount to. A gate holds if there
// is one, and each is a number other than zero.
func decisive(samples []rootSample) GateAnswer {
	a := GateAnswer{Verdict: wave.Holds, Samples: len(samples)}
	if len(samples) == 0 {
		a.Verdict = wave.Fails
		return a
	}
	s := slices.MinFunc(samples, func(x, y rootSample) int {
		if bad(x) != bad(y) {
			if bad(x) {
				return -1
			}
			return 1
		}
		return cmp.Compare(x.Value, y.Value)
	})
	if bad(s) {
		a.Verdict = wave.Fails
	}
	a.Value, a.Labels = float64(s.Value), s.Metric
	return a
}
