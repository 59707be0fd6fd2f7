package querytree

import (
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// maxTraced bounds the edges noted of one attempt at a request.
const maxTraced = 10_000

// trace notes what each child had to do with each fragment, in one attempt at a
// request. It is always on: a row costs no more than the child's row in the
// Report, and when a query turns out to be slow it is too late to begin. It is
// safe for concurrent use.
type trace struct {
	mu    sync.Mutex
	edges []tracedEdge
	// sent are the children that requests were sent to, one for each request.
	sent []string
	// pulls are the requests for raw series, in order; they have the rows "raw 0"
	// and so on.
	pulls []SelectRequest
}

// tracedEdge is what a child had to do with a fragment.
type tracedEdge struct {
	fragment string
	EdgeExplanation
}

type edgeKey struct{ fragment, child string }

// pull notes a request for raw series, and returns the name of its rows.
func (t *trace) pull(req SelectRequest) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pulls = append(t.pulls, req)
	return rawID(len(t.pulls) - 1)
}

func rawID(i int) string { return "raw " + strconv.Itoa(i) }

func (t *trace) note(fragment string, e EdgeExplanation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.edges) < maxTraced {
		t.edges = append(t.edges, tracedEdge{fragment, e})
	}
}

// byKey returns the latest row of each edge.
func (t *trace) byKey() map[edgeKey]EdgeExplanation {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make(map[edgeKey]EdgeExplanation, len(t.edges))
	for _, e := range t.edges {
		out[edgeKey{e.fragment, e.Child}] = e.EdgeExplanation
	}
	return out
}

func (t *trace) pulled() []SelectRequest {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.pulls[:len(t.pulls):len(t.pulls)]
}

// edge notes what a member answered to a fragment, or failed with.
func (a *asking) edge(fragment string, m Member, ans answer, err error, took time.Duration) {
	size := ChildReport{Series: ans.series, Samples: ans.samples, Bytes: max(matrixBytes(ans.m), 16*ans.samples)}
	a.traced(fragment, m, ans.report, size, err, took)
}

// traced notes an edge, and adds to the member's row of the report what only its
// parent knows: how long it took and, unless the transport counted them, bytes.
func (a *asking) traced(fragment string, m Member, r Report, size ChildReport, err error, took time.Duration) {
	name, tier := m.name(), m.Description.Tier
	row := answerer(name, r)
	by := r.Children[row]
	e := EdgeExplanation{
		Child: name, Tier: tier, Verdict: Asked, Hedged: r.Children[name].Hedged, Cached: by.Cached, Bytes: by.Bytes,
		Series: size.Series, Samples: size.Samples, Time: took, Below: r.Explanation,
	}
	add := ChildReport{Tier: tier, Verdict: Asked, Time: took}
	if e.Bytes == 0 {
		e.Bytes, add.Bytes = size.Bytes, size.Bytes
	}
	if err != nil {
		e.Failed, e.Late = err.Error(), errors.Is(err, ErrLate)
	}
	a.trace.note(fragment, e)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.report.Add(row, add)
}

// answerer returns whose row an answer belongs to: that of the member's name or, if
// that is of a replica in whose place another one answered, the other's.
func answerer(name string, r Report) string {
	if r.Children[name].Verdict != Replaced {
		return name
	}
	set, _, _ := strings.Cut(name, "/replica=")
	by := name
	for other, c := range r.Children {
		if c.Verdict == Asked && strings.HasPrefix(other, set+"/replica=") && (by == name || other < by) {
			by = other
		}
	}
	return by
}

// matrixBytes is roughly what an answer takes in memory, if it was not merged
// before its end.
func matrixBytes(m promql.Matrix) int64 {
	n := 0
	for _, s := range m {
		n += int(s.Metric.ByteSize()) + 16*len(s.Floats)
		for _, h := range s.Histograms {
			n += 8 + h.H.Size()
		}
	}
	return int64(n)
}

// trail is what a Mixer notes of one request over all attempts at it. It is not
// safe for concurrent use.
type trail struct {
	begin                       time.Time
	attempt                     time.Time // when the latest began
	queued, plan, wasted, total time.Duration
	replans                     []string
	series, samples             int64
	// residual is kept as text, since the engine changes what it evaluates.
	residual string
	e        *execution // the latest attempt; nil if there was none
	// live is told of each attempt as it begins; it may be nil.
	live *watch
}

// planned notes that an attempt begins.
func (t *trail) planned(e *execution, took time.Duration) {
	t.e, t.plan, t.attempt, t.residual = e, took, time.Now(), ""
	t.live.see(t, &e.ask.trace)
	if _, whole := e.plan.wholeQuery(); !whole {
		t.residual = residualText(e.plan.Residual)
	}
}

// again notes that the latest attempt was given up.
func (t *trail) again(nm *notMergeable) {
	t.wasted += t.plan + time.Since(t.attempt)
	t.replans = append(t.replans, residualName(nm.fragment.ID)+": "+nm.why)
}

// done notes the end, and what the answer is.
func (t *trail) done(v parser.Value) {
	t.total = time.Since(t.begin)
	t.series, t.samples = sizeOf(v)
}

// sizeOf counts the series and samples of a value.
func sizeOf(v parser.Value) (series, samples int64) {
	switch v := v.(type) {
	case promql.Matrix:
		return int64(len(v)), pointsOf(v)
	case promql.Vector:
		return int64(len(v)), int64(len(v))
	case promql.Scalar, promql.String:
		return 1, 1
	}
	return 0, 0
}

// Evaluation is how the evaluation of a query went, in one tier.
type Evaluation struct {
	// Queued is the time waited for a turn, Planned that for the plan, Total all
	// of the tier's time; it is zero while the query is evaluated.
	Queued, Planned, Total time.Duration
	// Replans counts the plans that were given up, Fragments those of the last
	// one's fragments.
	Replans, Fragments int
}

// follow keeps how a query went, for Evaluation and Explanation.
func (s *ReportSink) follow(t *trail) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trail = t
}

// Evaluation tells how the query went whose reports the sink collects, once a
// Mixer has evaluated it.
func (s *ReportSink) Evaluation() Evaluation {
	t := s.last()
	if t == nil || t.e == nil {
		return Evaluation{}
	}
	return Evaluation{Queued: t.queued, Planned: t.plan, Total: t.total, Replans: len(t.replans), Fragments: len(t.e.plan.Fragments)}
}

// Explanation returns the explanation of the query whose reports the sink
// collects, or nil if no Mixer has evaluated it. If it was not asked to be
// explained, what happened in the tiers below is only in the Report.
func (s *ReportSink) Explanation() *Explanation {
	if s == nil {
		return nil
	}
	if x := s.Report().Explanation; x != nil {
		return x
	}
	t := s.last()
	if t == nil || t.e == nil {
		return nil
	}
	x := t.explanation()
	x.Aligned = s.Report().Aligned
	return x
}

func (s *ReportSink) last() *trail {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trail
}
