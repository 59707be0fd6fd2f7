package gitops

import (
	"slices"
	"strings"
	"time"

	"github.com/pandometrics/pando/gitops/wave"
)

// Status is what a loop tells of itself, and of the fleet as it last saw it.
type Status struct {
	Cluster string `json:"cluster"`
	Wave    string `json:"wave,omitempty"`
	// State is one word: idle, waiting, rolling-out, rolling-back, paused,
	// stalled or failing.
	State string `json:"state"`
	// Doing says it in a sentence.
	Doing string `json:"doing"`
	// Until is the earliest time at which a wait may end.
	Until time.Time `json:"until,omitzero"`

	Running   string      `json:"running,omitempty"`
	Hash      string      `json:"hash,omitempty"`
	RunningAt time.Time   `json:"runningAt,omitzero"`
	Pending   *Pending    `json:"pending,omitempty"`
	Newest    *Seen       `json:"newest,omitempty"`
	Good      []string    `json:"good,omitempty"`
	Rejected  []Rejection `json:"rejected,omitempty"`
	Paused    bool        `json:"paused,omitempty"`
	Promoted  string      `json:"promoted,omitempty"`
	Pinned    string      `json:"pinned,omitempty"`

	// Stalled is why the revision that the repository names is not used.
	Stalled *Problem `json:"stalled,omitempty"`
	// Problems are what went wrong last, by step.
	Problems map[string]string `json:"problems,omitempty"`
	// Waves are those of the planet, with what their clusters run.
	Waves []WaveStatus `json:"waves,omitempty"`
	// Gates are those of all waves, Bakes the times that this loop counts.
	Gates   []GateStatus `json:"gates,omitempty"`
	Bakes   []Bake       `json:"bakes,omitempty"`
	History []Event      `json:"history,omitempty"`
}

// WaveStatus is one wave as the fleet tells of it.
type WaveStatus struct {
	Name     string `json:"name"`
	Clusters int    `json:"clusters"`
	// Members are their names.
	Members []string `json:"members,omitempty"`
	// Runs counts clusters by revision; "" are those that tell none, or several.
	Runs map[string]int `json:"runs"`
	// Bake is in seconds.
	Bake float64 `json:"bakeSeconds"`
}

// Status returns a copy. It is safe for concurrent use.
func (l *Loop) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, v := l.state, l.view
	out := Status{
		Cluster: l.cfg.Cluster, Wave: waveOf(s.Waves, l.cfg.Cluster), Until: v.decision.Until,
		Running: s.Running, Hash: s.RunningHash, RunningAt: s.RunningAt,
		Good: slices.Clone(s.Good), Rejected: slices.Clone(s.Rejected),
		Paused: s.Paused, Promoted: s.Promoted, Pinned: s.Pinned, History: slices.Clone(s.History),
		Problems: map[string]string{},
	}
	if s.Pending != nil {
		p := *s.Pending
		out.Pending = &p
	}
	waves := s.Waves
	if s.Newest != nil {
		n := *s.Newest
		waves, n.Waves = wave.Effective(s.Waves, n.Waves), nil
		out.Newest = &n
	}
	if out.Wave == "" {
		out.Wave = waveOf(waves, l.cfg.Cluster)
	}
	if v.stalled != nil {
		p := *v.stalled
		out.Stalled = &p
	}
	for step, text := range v.problems {
		if text != "" {
			out.Problems[step] = text
		}
	}
	out.Waves, out.Gates, out.Bakes = l.waveStatus(waves, v.fleet), l.gateStatus(waves), l.bakes(waves)
	out.State, out.Doing = out.describe(v.decision)
	return out
}

// Brief leaves out what takes room: the history, and what all loops tell alike.
func (s Status) Brief() Status {
	s.Waves, s.History = nil, nil
	return s
}

func (l *Loop) waveStatus(waves []wave.Wave, f *wave.Fleet) []WaveStatus {
	out := make([]WaveStatus, 0, len(waves))
	for _, w := range waves {
		ws := WaveStatus{Name: w.Name, Clusters: len(w.Clusters), Members: slices.Clone(w.Clusters), Bake: w.Bake.Seconds(), Runs: map[string]int{}}
		for _, c := range w.Clusters {
			r := ""
			switch {
			case c == l.cfg.Cluster:
				r = l.state.Running
			case f != nil:
				r = f.Clusters[c]
			}
			ws.Runs[r]++
		}
		out = append(out, ws)
	}
	return out
}

// describe sums up: the most urgent first.
func (s *Status) describe(d wave.Decision) (state, doing string) {
	switch {
	case s.Pending != nil && s.Pending.Back:
		return "rolling-back", "returns to " + short(s.Pending.Revision) + ": " + s.Pending.Why
	case s.Pending != nil:
		return "rolling-out", "delivers " + short(s.Pending.Revision) + ": " + s.Pending.Why
	case s.Stalled != nil:
		return "stalled", s.Stalled.Message
	case s.Paused || s.Pinned != "" || strings.HasPrefix(d.Why, "paused"):
		return "paused", d.Why
	case d.Do == wave.RollBack:
		return "failing", d.Why
	case s.Problems["confirm"] != "" || s.Problems["deliver"] != "":
		return "failing", s.Problems["confirm"] + s.Problems["deliver"]
	case d.Do == wave.Hold:
		return "idle", d.Why
	}
	return "waiting", d.Why
}
