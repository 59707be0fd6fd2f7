package rollup

import (
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/promql/parser"
)

// refusal says why an expression cannot be kept, and what can instead.
type refusal struct{ why, instead string }

func (r refusal) Error() string {
	if r.instead == "" {
		return r.why
	}
	return r.why + "; " + r.instead
}

func refuse(instead, why string, args ...any) error {
	return refusal{why: fmt.Sprintf(why, args...), instead: instead}
}

// seriesWise are the functions that give at most one series for one series, and
// look at no label of it.
var seriesWise = []string{
	"abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "avg_over_time", "ceil", "changes", "clamp", "clamp_max", "clamp_min",
	"cos", "cosh", "count_over_time", "day_of_month", "day_of_week", "day_of_year", "days_in_month", "deg", "delta", "deriv",
	"double_exponential_smoothing", "exp", "first_over_time", "floor", "histogram_avg", "histogram_count", "histogram_stddev",
	"histogram_stdvar", "histogram_sum", "hour", "idelta", "increase", "irate", "last_over_time", "ln", "log10", "log2",
	"mad_over_time", "max_over_time", "min_over_time", "minute", "month", "predict_linear", "present_over_time", "quantile_over_time",
	"rad", "rate", "resets", "round", "sgn", "sin", "sinh", "sqrt", "stddev_over_time", "stdvar_over_time", "sum_over_time", "tan",
	"tanh", "timestamp", "ts_of_first_over_time", "ts_of_last_over_time", "ts_of_max_over_time", "ts_of_min_over_time", "year",
}

// floatForFloat are those of them that give a float exactly where there is one,
// and none where there is not.
var floatForFloat = []string{
	"abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "clamp_max", "clamp_min", "cos", "cosh", "day_of_month", "day_of_week",
	"day_of_year", "days_in_month", "deg", "exp", "floor", "hour", "ln", "log10", "log2", "minute", "month", "rad", "round", "sgn", "sin",
	"sinh", "sqrt", "tan", "tanh", "year",
}

// keepNames are those that leave the metric name.
var keepNames = []string{"first_over_time", "last_over_time"}

// ofClock are functions of no series.
var ofClock = []string{"time", "start", "end", "step", "range", "vector"}

// functionRefused says why a function that is not series-wise is refused.
func functionRefused(name string) error {
	switch {
	case name == "histogram_quantile" || name == "histogram_quantiles" || name == "histogram_fraction":
		return refuse("keep the sum of buckets below it, sum by (le, ...) (rate(..._bucket[5m])), or of native histograms, sum by (...) (rate(...[5m])), from which it is computed exactly",
			"%s() looks at all buckets of a histogram at a time", name)
	case strings.HasPrefix(name, "label_"):
		return refuse("group by labels that the series have", "%s() writes labels", name)
	case strings.HasPrefix(name, "absent"):
		return refuse("keep a count, which is absent where nothing is", "%s() is of what is not there, which no aggregate of a part can tell", name)
	case strings.HasPrefix(name, "sort"):
		return refuse("leave it out: an aggregate has no order", "%s() orders series", name)
	case name == "scalar":
		return refuse("keep the aggregate within it", "scalar() looks at all series at a time")
	case name == "info":
		return refuse("group by labels that the series themselves have", "info() joins labels of other series")
	case slices.Contains(ofClock, name):
		return refuse("use a selector, and numbers", "%s() is of the query or of the clock, not of series", name)
	default:
		return refuse("", "%s() is not known to give one series for one series", name)
	}
}

// operators that can be aggregated further.
var operators = []parser.ItemType{parser.SUM, parser.MIN, parser.MAX, parser.COUNT, parser.GROUP, parser.AVG}

// operatorRefused says why an aggregation that cannot be aggregated further is
// refused.
func operatorRefused(op parser.ItemType) error {
	const buckets = "keep the sum by (le) of a histogram's buckets, or of native histograms, and compute the quantile of that"
	switch op {
	case parser.TOPK, parser.BOTTOMK:
		return refuse("keep the sum, min or max by what it chooses among; a query may choose from that", "%s chooses among all series, so that the choices of parts do not make that of the whole", op)
	case parser.LIMITK, parser.LIMIT_RATIO:
		return refuse("keep the aggregate of all series", "%s takes a sample of series", op)
	case parser.QUANTILE:
		return refuse(buckets, "quantiles of parts do not make that of the whole")
	case parser.STDDEV, parser.STDVAR:
		return refuse("keep the sum, the count, and the sum of squares, sum by (...) (... ^ 2)", "%s of parts does not make that of the whole", op)
	case parser.COUNT_VALUES:
		return refuse("keep the count, or count by (...) (... == 1) for a value of interest", "count_values makes labels of values")
	default:
		return refuse("", "%s of parts does not make that of the whole", op)
	}
}
