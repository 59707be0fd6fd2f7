package querytree

import (
	"errors"
	"fmt"
	"time"
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
		MaxConcurrent:  20,
		Timeout:        2 * time.Minute,
		ChildDeadline:  30 * time.Second,
	}
}

// Validate reports the first limit that cannot be used.
func (l Limits) Validate() error {
	for _, v := range []struct {
		flag  string
		value int
	}{
		{"query.max-length", l.MaxQueryLength},
		{"query.max-depth", l.MaxQueryDepth},
		{"query.max-samples", l.MaxSamples},
		{"query.max-series", l.MaxSeries},
		{"query.max-concurrency", l.MaxConcurrent},
		{"query.timeout", int(l.Timeout)},
		{"query.child-deadline", int(l.ChildDeadline)},
	} {
		if v.value <= 0 {
			return fmt.Errorf("--%s must be greater than zero", v.flag)
		}
	}
	return nil
}

// lower returns the lower of two limits, zero meaning no limit.
func lower(a, b int) int {
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
	// Flag sets the limit, without its dashes.
	Flag string
	// Limit is the limit, Value what was asked for or reached; zero if unknown.
	Limit, Value int64
	// Tier names the tier that enforced it.
	Tier string
}

// Error names the limit, its value and the flag that changes it.
func (e *LimitError) Error() string {
	s := fmt.Sprintf("%s: limit of %d exceeded", e.What, e.Limit)
	if e.Value > 0 {
		s += fmt.Sprintf(" by %d", e.Value)
	}
	if e.Tier != "" {
		s += " at " + e.Tier
	}
	return s + fmt.Sprintf("; narrow the query, or raise --%s", e.Flag)
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
func (l Limits) CheckQuery(query string) error {
	if len(query) > l.MaxQueryLength {
		return &LimitError{What: "length of the query in bytes", Flag: "query.max-length", Limit: int64(l.MaxQueryLength), Value: int64(len(query))}
	}
	if d := nesting(query, l.MaxQueryDepth); d > l.MaxQueryDepth {
		return &LimitError{What: "nesting of the query", Flag: "query.max-depth", Limit: int64(l.MaxQueryDepth), Value: int64(d)}
	}
	return nil
}

// nesting returns the depth of the nesting of brackets and of runs of unary
// operators, which the parser recurses into as well; it stops counting just
// above limit.
func nesting(q string, limit int) int {
	depth, deepest, unary := 0, 0, 0
	for i := 0; i < len(q); i++ {
		switch c := q[i]; c {
		case ' ', '\t', '\n', '\r':
			continue
		case '"', '\'', '`':
			i = endOfString(q, i)
		case '#':
			for i < len(q) && q[i] != '\n' {
				i++
			}
			continue
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			depth--
		case '+', '-':
			unary++
			deepest = max(deepest, depth+unary)
			continue
		}
		unary = 0
		if deepest = max(deepest, depth); deepest > limit {
			return deepest
		}
	}
	return deepest
}

// endOfString returns the index of the quote that closes the one at i.
func endOfString(q string, i int) int {
	quote := q[i]
	for i++; i < len(q) && q[i] != quote; i++ {
		if q[i] == '\\' && quote != '`' {
			i++
		}
	}
	return i
}
