package treehttp

import (
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/pandometrics/pando/querytree"
)

// Bounds of the record of recent queries.
const (
	maxPastQueries = 1000
	maxPastBytes   = 16 << 20
	// maxPastRecord is the most that one of them may take; of larger ones the
	// explanation and the rows of children are dropped, and of the children that failed
	// all but a few.
	maxPastRecord = maxPastBytes / 8
	// maxFewFailed is how many children that failed are named of those all the same,
	// maxFewReason how much is said of why each of them did.
	maxFewFailed = 20
	maxFewReason = 128
	// maxErrorBytes bounds the errors that are kept and logged.
	maxErrorBytes = 1 << 10
)

// errCanceledByUser is why the context of a query ended that someone canceled.
var errCanceledByUser = errors.New("canceled over the API")

// queryStore holds the active queries, the latest of the others, and the worst of
// each hour before those: bounded together in number and in bytes. It is safe for
// concurrent use.
type queryStore struct {
	maxCount, maxBytes, maxRecord int

	mu     sync.Mutex
	active map[string]*queryRun
	past   []pastQuery // oldest first
	worst  worstQueries
	bytes  int               // of past
	served map[string]uint64 // queries by the rollup rule that had a part in them
}

// maxServedRules bounds the names of rules that queries are counted for.
const maxServedRules = 10_000

type pastQuery struct {
	QueryRecord
	bytes int
}

func newQueryStore() *queryStore {
	return &queryStore{maxCount: maxPastQueries, maxBytes: maxPastBytes, maxRecord: maxPastRecord, active: map[string]*queryRun{}, served: map[string]uint64{}}
}

// begin adds an active query. An id that an active query has is not given to a
// second one: canceling the one would cancel the other. It gets another.
func (s *queryStore) begin(run *queryRun) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.active[run.row.ID] != nil {
		run.row.ID = randomID()
	}
	s.active[run.row.ID] = run
}

// end makes an active query a past one.
func (s *queryStore) end(rec QueryRecord) {
	rec.Error = clip(rec.Error, maxErrorBytes)
	rules := servedRules(rec)
	n := recordBytes(rec)
	if n > s.maxRecord {
		rec = withoutDetails(rec)
		n = recordBytes(rec)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.active, rec.ID)
	for _, rule := range rules {
		if _, known := s.served[rule]; known || len(s.served) < maxServedRules {
			s.served[rule]++
		}
	}
	s.past = append(s.past, pastQuery{rec, n})
	s.bytes += n
	s.shrink()
}

// shrink brings the past queries within their bounds: the oldest go, but for those
// that were the worst of their hour. Those have a quarter of the room at most.
func (s *queryStore) shrink() {
	drop := 0
	over := func() bool {
		return len(s.past)-drop+len(s.worst.kept) > s.maxCount || s.bytes+s.worst.bytes > s.maxBytes
	}
	for drop < len(s.past) && over() {
		old := s.past[drop]
		s.bytes -= old.bytes
		s.past[drop] = pastQuery{}
		drop++
		s.worst.add(old)
		s.worst.shrink(s.maxCount/worstShare, s.maxBytes/worstShare)
	}
	s.past = s.past[drop:]
}

// withoutDetails is a record without what may be large in it.
func withoutDetails(rec QueryRecord) QueryRecord {
	rec.Explanation, rec.CriticalPath, rec.Explained = nil, nil, false
	if rec.Completeness != nil {
		c := *rec.Completeness
		c.Children, c.PrunedBy = nil, nil
		c.Failed, c.Unnamed = fewFailed(c.Failed), c.Unnamed+max(0, len(c.Failed)-maxFewFailed)
		rec.Completeness = &c
	}
	return rec
}

// fewFailed is so many of the children that failed as a record without details names:
// that something was missing, and where, is what is asked for first.
func fewFailed(failed []FailedChild) []FailedChild {
	few := slices.Clone(failed[:min(len(failed), maxFewFailed)])
	for i := range few {
		few[i].Reason = clip(few[i].Reason, maxFewReason)
	}
	return few
}

// servedRules are the rules of rollups that had a part in an answer, each once.
func servedRules(rec QueryRecord) []string {
	if rec.Completeness == nil || rec.State != QueryFinished || rec.Kind == "explain" {
		return nil
	}
	var rules []string
	for _, u := range rec.Completeness.Rollups {
		if u.Steps > 0 && !slices.Contains(rules, u.Rule) {
			rules = append(rules, u.Rule)
		}
	}
	return rules
}

// tellServed writes into rules how many queries each had a part in.
func (s *queryStore) tellServed(rules []RollupStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range rules {
		rules[i].Queries = s.served[rules[i].Name]
	}
}

// cancel cancels an active query, and reports whether there is one of that id.
func (s *queryStore) cancel(id string) bool {
	s.mu.Lock()
	run := s.active[id]
	s.mu.Unlock()
	if run == nil {
		return false
	}
	run.cancel(errCanceledByUser)
	return true
}

// run returns an active query, or nil.
func (s *queryStore) run(id string) *queryRun {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.active[id]
}

// runs returns the active queries.
func (s *queryStore) runs() []*queryRun {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*queryRun
	for _, run := range s.active {
		out = append(out, run)
	}
	return out
}

// find returns the newest past query of an id.
func (s *queryStore) find(id string) (QueryRecord, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, list := range [][]pastQuery{s.past, s.worst.kept} {
		for _, q := range slices.Backward(list) {
			if q.ID == id {
				return q.QueryRecord, true
			}
		}
	}
	return QueryRecord{}, false
}

// rows returns the past queries, newest first.
func (s *queryStore) rows() []QueryRow {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]QueryRow, 0, len(s.past)+len(s.worst.kept))
	for _, list := range [][]pastQuery{s.past, s.worst.kept} {
		for _, q := range slices.Backward(list) {
			out = append(out, q.QueryRow)
		}
	}
	return out
}

// recordBytes is roughly what a record takes in memory.
func recordBytes(r QueryRecord) int {
	n := 500 + 64*len(r.Options) + len(r.ID) + len(r.Query) + len(r.Client) + len(r.Error)
	if c := r.Completeness; c != nil {
		n += 200
		for _, row := range c.Children {
			n += 200 + len(row.Name) + len(row.Failed) + len(row.Evidence)
		}
		for _, f := range c.Failed {
			n += 64 + len(f.Name) + len(f.Reason)
		}
		for _, p := range c.PrunedBy {
			n += 64 + len(p.Evidence)
		}
	}
	return n + 128*len(r.CriticalPath) + explanationBytes(r.Explanation)
}

func explanationBytes(x *querytree.Explanation) int {
	if x == nil {
		return 0
	}
	n := 300 + len(x.Query) + len(x.Residual) + len(x.Truncated)
	for _, c := range x.Cuts {
		n += 32 + len(c.Expr) + len(c.Why)
	}
	for _, r := range x.Replans {
		n += 16 + len(r)
	}
	for _, f := range x.Fragments {
		n += 200 + len(f.Query) + len(f.Why) + len(f.Note)
		for _, e := range f.Children {
			n += 200 + len(e.Child) + len(e.Evidence) + len(e.Failed) + explanationBytes(e.Below)
		}
	}
	return n
}

// clip shortens what is too long, at a character's boundary.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
