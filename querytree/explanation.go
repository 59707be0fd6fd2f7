package querytree

import "time"

// Explanation is what one tier did, or would do, with one request, with what
// its children did below. It is made of plain data: its JSON is what the HTTP
// API shows, and what travels between tiers.
type Explanation struct {
	// Name and Tier are those of the tier's Identity.
	Name string `json:"name"`
	Tier string `json:"tier"`
	// Query is the request's, on the grid of Start, End and Step, all in
	// milliseconds; Step is zero for an instant.
	Query string   `json:"query"`
	Start int64    `json:"start"`
	End   int64    `json:"end"`
	Step  int64    `json:"step"`
	Ops   []string `json:"ops,omitempty"`
	// Residual is what the tier evaluates itself over the answers to the
	// fragments; empty if the only fragment is the answer, and on a leaf.
	Residual string `json:"residual,omitempty"`
	// Fragments are what the children were asked.
	Fragments []FragmentExplanation `json:"fragments,omitempty"`
	// Cuts are the parts of the query that were not pushed down, and why.
	Cuts []Cut `json:"cuts,omitempty"`
	// Unrolled are the aggregations that no rollup of the tier answers although
	// there is one of the same metric, and why.
	Unrolled []Cut `json:"unrolled,omitempty"`
	// Aligned tells of a range query that asked for its times to be moved to where
	// rollups have points; nil of others, and of what children are asked.
	Aligned *Alignment `json:"aligned,omitempty"`
	// Replans say why earlier plans of the same query were given up.
	Replans []string `json:"replans,omitempty"`
	// Cache tells what came from the cache: "hit", "miss", "partial" or why it
	// was not used; empty if the tier has none.
	Cache string `json:"cache,omitempty"`
	// Queued is the time waited for a turn, Planned that for the plan, and
	// Total all of the tier's time; they are zero unless evaluated.
	Queued  time.Duration `json:"queuedNs,omitempty"`
	Planned time.Duration `json:"plannedNs,omitempty"`
	Total   time.Duration `json:"totalNs,omitempty"`
	// Wasted is the part of Total that went into plans that were given up.
	Wasted time.Duration `json:"wastedNs,omitempty"`
	// Series and Samples count the answer.
	Series  int64 `json:"series"`
	Samples int64 `json:"samples"`
	// Truncated says what was left out because the whole was too large to
	// travel: what the children say of themselves first. Empty if nothing was.
	Truncated string `json:"truncated,omitempty"`
}

// FragmentExplanation is one fragment of a plan.
type FragmentExplanation struct {
	ID string `json:"id"`
	// Kind says how answers are put together: "concat", "partial sum", "guard"
	// for what must have no result, "raw" for raw series that are pulled.
	Kind  string `json:"kind"`
	Query string `json:"query"`
	// Start, End and Step are the fragment's own grid; of raw series, Start and
	// End bound the samples, and Step is zero.
	Start int64    `json:"start"`
	End   int64    `json:"end"`
	Step  int64    `json:"step"`
	Ops   []string `json:"ops,omitempty"`
	// Why is the rule by which the fragment was pushed down.
	Why string `json:"why,omitempty"`
	// Children has a row for each child that was considered, those that were
	// asked first. Pruned counts the others by verdict, also those for which
	// there was no room.
	Children []EdgeExplanation `json:"children"`
	Pruned   map[Verdict]int   `json:"pruned,omitempty"`
	// Note says what was left out of the fragment's explanation.
	Note string `json:"note,omitempty"`
	// Rollup has some of the steps; children were asked for the others.
	Rollup *RollupUse `json:"rollup,omitempty"`
}

// EdgeExplanation is what one child had to do with one fragment.
type EdgeExplanation struct {
	Child   string  `json:"child"`
	Tier    string  `json:"tier"`
	Verdict Verdict `json:"verdict"`
	// Evidence is the matcher or the time by which it was pruned.
	Evidence string `json:"evidence,omitempty"`
	// Empty is the kind of the selector by which a child was asked that turned
	// out to hold nothing of it: its field hint could not tell.
	Empty   SelectorKind `json:"empty,omitempty"`
	Failed  string       `json:"failed,omitempty"`
	Late    bool         `json:"late,omitempty"`
	Hedged  bool         `json:"hedged,omitempty"`
	Cached  bool         `json:"cached,omitempty"`
	Bytes   int64        `json:"bytes,omitempty"`
	Series  int64        `json:"series,omitempty"`
	Samples int64        `json:"samples,omitempty"`
	// Time is from the request to the end of the answer.
	Time time.Duration `json:"timeNs,omitempty"`
	// Below is what the child says of itself.
	Below *Explanation `json:"below,omitempty"`
}

// Cut is a part of a query that was not pushed down.
type Cut struct {
	Expr string `json:"expr"`
	Why  string `json:"why"`
}
