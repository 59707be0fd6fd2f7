package querytree

import (
	"slices"
	"sync"
)

// Progress is how far a query has come in the tier that evaluates it. Children
// are the tier's own, not those below them.
type Progress struct {
	// Asked counts the children that were sent requests, Answered those that have
	// answered all of theirs, and Failed those that did not answer one of them.
	Asked, Answered, Failed int
	// Waiting names those that owe an answer, sorted; maxWaiting at most.
	Waiting []string
}

// maxWaiting bounds Progress.Waiting: a query may wait for thousands.
const maxWaiting = 100

// maxWatched bounds the evaluations of one query that are watched side by side:
// a range in a cache may be evaluated in several pieces.
const maxWatched = 64

// watch leads to what happens to a query while it is evaluated. It is safe for
// concurrent use. A nil watch sees nothing.
type watch struct {
	mu     sync.Mutex
	traces map[*trail]*trace
}

// see notes that the evaluation of t begins an attempt, in place of its last one.
func (w *watch) see(t *trail, tr *trace) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.traces == nil {
		w.traces = map[*trail]*trace{}
	}
	if _, known := w.traces[t]; known || len(w.traces) < maxWatched {
		w.traces[t] = tr
	}
}

func (w *watch) progress() Progress {
	if w == nil {
		return Progress{}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	children := map[string]owed{}
	for _, tr := range w.traces {
		tr.owed(children)
	}
	var p Progress
	for name, o := range children {
		p.Asked++
		switch {
		case o.requests > 0:
			p.Waiting = append(p.Waiting, name)
		case o.failed:
			p.Failed++
		default:
			p.Answered++
		}
	}
	slices.Sort(p.Waiting)
	p.Waiting = p.Waiting[:min(len(p.Waiting), maxWaiting)]
	return p
}

// owed is what a child has still to answer.
type owed struct {
	requests int
	failed   bool
}

// asks notes that a child is sent a request, which note ends.
func (t *trace) asks(child string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.sent) < maxTraced {
		t.sent = append(t.sent, child)
	}
}

func (t *trace) owed(children map[string]owed) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, name := range t.sent {
		o := children[name]
		o.requests++
		children[name] = o
	}
	for _, e := range t.edges {
		o, asked := children[e.Child]
		if !asked {
			continue // of more requests than are noted
		}
		o.requests--
		o.failed = o.failed || e.Failed != ""
		children[e.Child] = o
	}
}

// watch has the sink tell how far an evaluation is, until it is followed.
func (s *ReportSink) watch(w *watch) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live = w
}

// Progress tells how far the query is whose reports the sink collects. It is zero
// before a Mixer evaluates it, and of an answer that comes from a cache or is
// shared with another query.
func (s *ReportSink) Progress() Progress {
	if s == nil {
		return Progress{}
	}
	s.mu.Lock()
	w := s.live
	s.mu.Unlock()
	return w.progress()
}
