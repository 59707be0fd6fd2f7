package planet

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/alecthomas/units"
	"github.com/prometheus/common/model"
	yaml "go.yaml.in/yaml/v3"
)

// Limit is a flag of a tier that a limits file may set.
type Limit struct {
	// Name is that of the flag, without dashes.
	Name string
	// Kind says how it is written.
	Kind LimitKind
	// Mixers says that zones and the root have it, and leaves do not.
	Mixers bool
	// Help says what it bounds.
	Help string
	// Least is the smallest count, number of bytes or time, in nanoseconds, that is
	// accepted: with less, the tier would refuse what control loops ask the root, and no
	// commit could mend that.
	Least int64
}

// LimitKind says how the value of a limit is written.
type LimitKind string

// Kinds of limits. Those that end with OrNone may be zero.
const (
	Count          LimitKind = "count"
	CountOrNone    LimitKind = "count or none"
	Duration       LimitKind = "duration"
	DurationOrNone LimitKind = "duration or none"
	Bytes          LimitKind = "bytes"
	Switch         LimitKind = "switch"
)

// limits lists what a limits file may set, but for what only leaves have.
func limits() []Limit {
	return []Limit{
		{"query.timeout", Duration, false, "Longest time for a query; at least 5s.", int64(5 * time.Second)},
		{"query.max-samples", Count, false, "Most samples of one query; at least 100000.", 100_000},
		{"query.max-series", Count, false, "Most series of one request; at least 10000.", 10_000},
		{"query.max-concurrency", Count, false, "Most queries at the same time.", 0},
		{"query.max-length", Count, false, "Longest query, in bytes; at least 1024.", 1024},
		{"query.max-depth", Count, false, "Deepest nesting of a query; at least 10.", 10},
		{"query.max-fragments", CountOrNone, false, "Most parts of one query that children are asked at the same time; 0 for 128, or at least 16.", 16},
		{"query.low-priority", Switch, false, "Run heavy queries in threads of low priority.", 0},
		{"query.max-queue", CountOrNone, false, "Most requests that wait for their turn; 0 for no limit.", 0},
		{"query.max-queue-per-client", CountOrNone, false, "Most requests of one client that wait for their turn; 0 for no limit.", 0},
		{"query.max-bytes", Bytes, false, "Most memory that one query may hold in this tier; at least 1MiB.", 1 << 20},
		{"query.max-total-bytes", Bytes, false, "Most memory that all queries may hold together; at least 1MiB.", 1 << 20},
		{"query.max-client-bytes", Bytes, false, "Most memory that all queries of one client may hold together; at least 1MiB.", 1 << 20},
		{"query.max-response-bytes", Bytes, false, "Largest answer of this tier to one request; at least 1MiB.", 1 << 20},
		{"query.lookback-delta", Duration, false, "How far back an instant selector looks.", 0},
		{"query.explain-slower-than", DurationOrNone, false, "Keep the explanation of queries that take longer; 0 keeps none.", 0},
		{"query.rollups", Switch, false, "Answer queries from rollups unless they say rollup=off.", 0},
		{"query.align", Switch, false, "Move the times of range queries to where rollups have points.", 0},
		{"query.child-deadline", Duration, true, "How long a query waits for any one child; at least 1s.", int64(time.Second)},
		{"query.partial-response", Switch, true, "Answer without children that fail, with a warning.", 0},
		{"query.hints", Switch, true, "Prune children by field hints.", 0},
		{"query.cache-bytes", CountOrNone, true, "Memory for the answers to range queries; 0 keeps none.", 0},
		{"query.cache-window", DurationOrNone, true, "Age that steps must have to be kept.", 0},
		{"query.split-interval", DurationOrNone, true, "Length of the pieces in which long ranges are evaluated; 0 evaluates them whole.", 0},
		{"query.max-split-parallelism", Count, true, "Most pieces of one query that are evaluated at the same time.", 0},
	}
}

// LimitsOf returns the limits of a tier.
func LimitsOf(tier Tier) []Limit {
	all := limits()
	if tier == Leaf {
		all = slices.DeleteFunc(all, func(l Limit) bool { return l.Mixers })
		all = append(all, Limit{"query.leaf-parallelism", CountOrNone, false, "Idle cores that one query may use; 0 for all.", 0})
	}
	return all
}

// check reports what is wrong with a value.
func (l Limit) check(value string) error {
	switch l.Kind {
	case Count, CountOrNone:
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n < 0 || n == 0 && l.Kind == Count {
			return fmt.Errorf("%s is %s: write a whole number%s", l.Name, shortened(value), positive(l.Kind == Count))
		}
		if n == 0 {
			return nil // none, or that of the tier
		}
		return l.enough(n, strconv.FormatInt(l.Least, 10))
	case Duration, DurationOrNone:
		d, err := model.ParseDuration(value)
		if err != nil || d < 0 || d == 0 && l.Kind == Duration || time.Duration(d) > 100*365*24*time.Hour {
			return fmt.Errorf("%s is %s: write a duration such as 30s%s", l.Name, shortened(value), positive(l.Kind == Duration))
		}
		return l.enough(int64(d), model.Duration(l.Least).String())
	case Bytes:
		n, err := units.ParseBase2Bytes(value)
		if err != nil || n <= 0 {
			return fmt.Errorf("%s is %s: write a size such as 256MiB", l.Name, shortened(value))
		}
		return l.enough(int64(n), units.Base2Bytes(l.Least).String())
	case Switch:
		if value != "true" && value != "false" {
			return fmt.Errorf("%s is %s: write true or false", l.Name, shortened(value))
		}
	}
	return nil
}

// enough refuses a value that is less than least, which is what l.Least is written as.
func (l Limit) enough(value int64, least string) error {
	if value < l.Least {
		return fmt.Errorf("%s is too little: write at least %s, or the tier refuses what control loops ask the root", l.Name, least)
	}
	return nil
}

func positive(yes bool) string {
	if yes {
		return " above zero"
	}
	return ""
}

// ParseLimits reads a limits file as it was rendered for a tier: values by the names
// of flags. The error is of type Problems, and names the lines of file.
func ParseLimits(tier Tier, file string, data []byte) (map[string]string, error) {
	r := newReport()
	out := map[string]string{}
	n := document(file, data, r)
	if n != nil && n.Kind != yaml.MappingNode {
		r.failf(place{file, n.Line, n.Column}, "write flags and their values, such as query.timeout: 2m")
	}
	known := LimitsOf(tier)
	keys(n, func(k, v *yaml.Node) {
		i := slices.IndexFunc(known, func(l Limit) bool { return l.Name == k.Value })
		if i < 0 {
			r.failf(place{file, k.Line, k.Column}, "%s is not a limit of tier %s", shortened(k.Value), tier)
			return
		}
		if err := known[i].check(v.Value); err != nil || v.Kind != yaml.ScalarNode {
			r.failf(place{file, v.Line, v.Column}, "%v", cmp.Or(err, fmt.Errorf("%s is not a single value", k.Value)))
		}
		out[k.Value] = v.Value
	})
	if r.failed() {
		return nil, r.problems()
	}
	return out, nil
}
