package querytree

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// Limits bound what queries may cost in one tier. Every tier enforces its own,
// and the lower ones that a parent passed down with the request.
type Limits struct {
	// MaxQueryLength is the longest query accepted, in bytes.
	MaxQueryLength int
	// MaxQueryDepth is the deepest nesting of brackets accepted.
	MaxQueryDepth int
	// MaxSamples is the largest number of samples that one query may hold in
	// memory (Prometheus' --query.max-samples).
	MaxSamples int
	// MaxSeries is the largest number of series that one request may return
	// from a tier.
	MaxSeries int
	// MaxFragments is the largest number of parts of one query that the children
	// are asked at the same time; a query that has more is refused. Zero means 128.
	MaxFragments int
	// MaxBytes is what one query may hold in memory in the tier, MaxTotalBytes
	// what all queries may, both in bytes, as estimated while answers stream in;
	// zero means no limit. Whatever others hold, a query may hold 1 MiB.
	MaxBytes, MaxTotalBytes int64
	// MaxClientBytes is what all queries of one client may hold, so that there is
	// room when another comes; zero means no limit.
	MaxClientBytes int64
	// MaxResponse is the largest answer that one request may get of the tier, in
	// bytes of memory; zero means no limit.
	MaxResponse int64
	// ProcessBytes is the memory that the process may use. If queries drive the
	// heap close to it, the one that holds most is cancelled. Zero means that it
	// is not known: nothing is watched.
	ProcessBytes int64
	// MaxQueue is the number of requests that may wait for their turn, and
	// MaxQueuePerClient that of one client; zero means no limit.
	MaxQueue, MaxQueuePerClient int
	// MaxConcurrent is the number of queries evaluated at the same time; more
	// wait for their turn, until their deadline.
	MaxConcurrent int
	// Timeout is the longest a query may take.
	Timeout time.Duration
	// ChildDeadline is how long a query waits for any one child: the soft
	// deadline, after which it is answered without that child.
	ChildDeadline time.Duration
}

// DefaultLimits are those of an unconfigured tier.
func DefaultLimits() Limits {
	return Limits{
		MaxQueryLength: 16 << 10,
		MaxQueryDepth:  100,
		MaxSamples:     50_000_000,
		MaxSeries:      1_000_000,
		MaxFragments:   maxFragments,
		MaxBytes:       1 << 30,
		MaxTotalBytes:  2 << 30,
		MaxClientBytes: 3 << 29,
		MaxResponse:    512 << 20,
		MaxConcurrent:  20,
		MaxQueue:       2000,
		// A dashboard has a few dozen panels, and several users may share a proxy.
		MaxQueuePerClient: 500,
		Timeout:           2 * time.Minute,
		ChildDeadline:     30 * time.Second,
	}
}

// mostConcurrent is the largest number of queries at the same time that makes sense:
// each has memory of its own.
const mostConcurrent = 100_000

// Validate reports the first limit that cannot be used.
func (l Limits) Validate() error {
	for _, v := range []struct {
		flag  string
		value int
	}{
		{"query.max-length", l.MaxQueryLength},
		{"query.max-depth", l.MaxQueryDepth},
		{flagMaxSamples, l.MaxSamples},
		{flagMaxSeries, l.MaxSeries},
		{"query.max-concurrency", l.MaxConcurrent},
		{flagTimeout, int(l.Timeout)},
		{flagChildDeadline, int(l.ChildDeadline)},
	} {
		if v.value <= 0 {
			return fmt.Errorf("--%s must be greater than zero", v.flag)
		}
	}
	if l.MaxConcurrent > mostConcurrent {
		return fmt.Errorf("--query.max-concurrency must be at most %d", mostConcurrent)
	}
	for _, v := range []struct {
		flag  string
		value int64
	}{
		{flagMaxFragments, int64(l.MaxFragments)},
		{flagMaxBytes, l.MaxBytes},
		{flagMaxTotalBytes, l.MaxTotalBytes},
		{flagMaxClientBytes, l.MaxClientBytes},
		{flagMaxResponse, l.MaxResponse},
		{flagMaxQueue, int64(l.MaxQueue)},
		{flagMaxQueueEach, int64(l.MaxQueuePerClient)},
		{flagProcess, l.ProcessBytes},
	} {
		if v.value < 0 {
			return fmt.Errorf("--%s must not be negative", v.flag)
		}
	}
	return nil
}

// Flags that set limits, as errors name them.
const (
	flagTimeout        = "query.timeout"
	flagChildDeadline  = "query.child-deadline"
	flagMaxSamples     = "query.max-samples"
	flagMaxSeries      = "query.max-series"
	flagMaxFragments   = "query.max-fragments"
	flagMaxBytes       = "query.max-bytes"
	flagMaxTotalBytes  = "query.max-total-bytes"
	flagMaxClientBytes = "query.max-client-bytes"
	flagMaxResponse    = "query.max-response-bytes"
	flagMaxQueue       = "query.max-queue"
	flagMaxQueueEach   = "query.max-queue-per-client"
	flagProcess        = "memory.limit"
)

// paramTimeout stands for a flag where a request sets the limit itself, as the
// parameter timeout of Prometheus' API does.
const paramTimeout = "timeout"

// EngineSamples returns the number of samples that the stock engine may hold for
// one query: it counts 16 bytes as a sample.
func (l Limits) EngineSamples() int {
	if n := l.MaxBytes / pointBytes; n > 0 && n < int64(l.MaxSamples) {
		return int(n)
	}
	return l.MaxSamples
}

// checkResponse refuses an answer that is too large.
func (l Limits) checkResponse(size int64, tier string) error {
	if l.MaxResponse > 0 && size > l.MaxResponse {
		return &LimitError{What: "bytes of one answer", Flag: flagMaxResponse, Limit: l.MaxResponse, Value: size, Tier: tier}
	}
	return nil
}

// maxFragments bounds, unless Limits.MaxFragments does, what one query makes the
// children do at the same time. A dashboard's panel has a handful, and 128 are
// as many different selectors or aggregations.
const maxFragments = 128

// checkFragments refuses a query that would have children asked for too much at
// the same time. Raw series in place of some of it would cost more.
func (l Limits) checkFragments(n int, tier string) error {
	if most := cmp.Or(l.MaxFragments, maxFragments); n > most {
		return tooMany("parts of one query that children are asked", flagMaxFragments, most, n, tier)
	}
	return nil
}

// tooMany says that there are more of something than a limit allows.
func tooMany(what, flag string, limit, n int, tier string) error {
	return &LimitError{What: what, Flag: flag, Limit: int64(limit), Value: int64(n), Tier: tier}
}

// lower returns the lower of two limits, zero meaning no limit.
func lower[N int | int64](a, b N) N {
	if a == 0 || (b != 0 && b < a) {
		return b
	}
	return a
}

// LimitError says that a request was refused or cancelled because it would have
// cost more than a limit allows.
type LimitError struct {
	// What was counted, in words: "series of one request".
	What string
	// Flag sets the limit, without its dashes; "timeout" if the request does.
	Flag string
	// Limit is the limit, Value what was asked for or reached when it was noticed;
	// zero if unknown. Times are in nanoseconds.
	Limit, Value int64
	// Tier names the tier that enforced it.
	Tier string
}

// Error names the limit, its value and the flag that changes it.
func (e *LimitError) Error() string {
	s := fmt.Sprintf("%s: limit of %s exceeded", e.What, e.amount(e.Limit))
	if e.Value > 0 {
		s += " with " + e.amount(e.Value)
	}
	if e.Tier != "" {
		s += " at " + e.Tier
	}
	what := "narrow the query"
	switch e.Flag {
	case flagMaxQueue, flagMaxQueueEach:
		what = "send fewer at a time"
	case flagMaxFragments:
		what = "ask for fewer selectors in one query"
	}
	if e.Flag == paramTimeout {
		return s + "; " + what + ", or ask for a longer timeout"
	}
	return s + fmt.Sprintf("; %s, or raise --%s", what, e.Flag)
}

// ofTime reports whether it is a limit on time.
func (e *LimitError) ofTime() bool {
	return e.Flag == flagTimeout || e.Flag == paramTimeout || e.Flag == flagChildDeadline
}

// amount writes a value of what was counted.
func (e *LimitError) amount(n int64) string {
	if e.ofTime() {
		return time.Duration(n).String()
	}
	return strconv.FormatInt(n, 10)
}

// Unwrap returns what Prometheus says of a query that took too long, so that it
// is known as such by those who do not know limits: its API, and older tiers.
func (e *LimitError) Unwrap() error {
	if e.ofTime() {
		return promql.ErrQueryTimeout("query execution")
	}
	return nil
}

// Busy reports whether the limit is one of the tier rather than of the request,
// which may be answered at another time, or elsewhere.
func (e *LimitError) Busy() bool {
	switch e.Flag {
	case flagMaxTotalBytes, flagMaxClientBytes, flagProcess, flagMaxQueue, flagMaxQueueEach:
		return true
	}
	return false
}

// IsBusy reports whether err is or wraps a LimitError that is Busy.
func IsBusy(err error) bool {
	var le *LimitError
	return errors.As(err, &le) && le.Busy()
}

// IsLimit reports whether err is or wraps a LimitError.
func IsLimit(err error) bool {
	var le *LimitError
	return errors.As(err, &le)
}

// CheckQuery refuses a query that is too long or nested too deep, before it is
// parsed: Prometheus' parser needs minutes for a few hundred kilobytes of
// brackets, and does not heed deadlines. Brackets in strings and comments are
// not counted.
func (l Limits) CheckQuery(query string) error { return l.CheckQueryAt("", query) }

// CheckQueryAt is CheckQuery in a tier of that name, which the error tells.
func (l Limits) CheckQueryAt(tier, query string) error {
	if len(query) > l.MaxQueryLength {
		return &LimitError{What: "length of the query in bytes", Flag: "query.max-length", Limit: int64(l.MaxQueryLength), Value: int64(len(query)), Tier: tier}
	}
	d, operators := nesting(query, l.MaxQueryDepth)
	if d > l.MaxQueryDepth {
		return &LimitError{What: "nesting of the query", Flag: "query.max-depth", Limit: int64(l.MaxQueryDepth), Value: int64(d), Tier: tier}
	}
	if most := l.MaxQueryDepth * operatorsPerDepth; operators > most {
		return &LimitError{What: "operators of the query, 10 for each level of nesting", Flag: "query.max-depth", Limit: int64(most), Value: int64(operators), Tier: tier}
	}
	return nil
}

// operatorsPerDepth is how many operators a query may have for each level of
// nesting allowed: time to parse and plan grows with the square of their number.
const operatorsPerDepth = 10

// nesting returns how deep a query nests, and how many operators it has. What
// the parser recurses into counts as nesting: brackets, runs of unary operators
// and all powers, which bind to the right. It reads the tokens that the parser
// itself would, and stops just above limit.
func nesting(q string, limit int) (deepest, operators int) {
	depth, unary, powers := 0, 0, 0
	operand := false // the token before ends an operand
	lexer := parser.Lex(q)
	for deepest <= limit && operators <= limit*operatorsPerDepth {
		var it parser.Item
		lexer.NextItem(&it)
		switch t := it.Typ; {
		case t == parser.EOF || t == parser.ERROR:
			return deepest, operators
		case t == parser.COMMENT:
			continue
		case t == parser.LEFT_PAREN || t == parser.LEFT_BRACKET || t == parser.LEFT_BRACE:
			depth, unary, operand = depth+1, 0, false
		case t == parser.RIGHT_PAREN || t == parser.RIGHT_BRACKET || t == parser.RIGHT_BRACE:
			depth, unary, operand = max(0, depth-1), 0, true
		case t == parser.POW:
			powers, unary, operand = powers+1, 0, false
		case (t == parser.ADD || t == parser.SUB) && !operand:
			unary++
		default:
			unary, operand = 0, !t.IsOperator() && t != parser.COMMA
		}
		if it.Typ.IsOperator() {
			operators++
		}
		deepest = max(deepest, depth+unary+powers)
	}
	return deepest, operators
}
