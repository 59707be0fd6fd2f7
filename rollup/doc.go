// Package rollup says which aggregates are kept, and which queries they answer.
//
//	rules, err := rollup.Parse(file)
//	matches, misses := rules.Match(n, constants) // n is an aggregation of a query
//
// A rule is an aggregation that can be aggregated further, over an expression
// whose value at a series depends on that series alone:
//
//	sum by (job, code) (rate(http_requests_total[5m]))
//
// Its output at a time is worth keeping, since it answers other aggregations:
// with a coarser grouping, with more matchers on the labels that it keeps, with
// an offset. Rules.Match finds out whether it does.
//
// The invariant: let P(t) be the value of Rule.Text at t (for an average, of
// both Ops), evaluated without annotations but those that Rule.Foretold knows.
// Then the query's value at t is P(t-Match.Offset), filtered by Match.Matchers,
// grouped by Match.Labels, aggregated by Match.Ops, up to the rounding of
// another order of summation, wherever Match.Holds; and its annotations are
// those that the engine gives when it aggregates these points, and Match.Info if
// one of them is a float. A point with other annotations must not be used: a
// group in which floats and histograms are mixed has no sum, but its parts may
// have one.
//
// Native histograms of which one's zero bucket reaches into another's populated
// buckets are added up differently in another order, by the engine too.
//
// What it does not do: no I/O, no clock. It neither evaluates nor stores, and
// whether a query's steps meet those of a rule is for the caller to see. What
// Rule.Instant says holds for queries with the same lookback delta only.
package rollup
