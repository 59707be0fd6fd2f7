// Package aggregate sums up series before they are stored: rules drop labels
// such as pod or instance from the series that they match, and what is stored is
// one series for each group that is left.
//
//	rules, err := aggregate.Load("aggregations.yml", scrapeInterval)
//	…
//	a, err := aggregate.Open(aggregate.Config{Dir: "data/aggregate", Rules: rules}, aggregate.Deps{Out: db, Stored: last})
//	…
//	defer a.Close()
//	in := a.Appendable(db, db) // give this to what scrapes and receives
//	err = a.Run(ctx)           // stores the outputs
//
// # What an output is
//
// At each multiple T of a rule's interval, once Delay has passed since, one sample
// with timestamp T is stored for each group:
//
//   - Of counters (and of native histograms) the running total of the increases
//     of all inputs. What an input's samples say is the difference to the one
//     before, or the whole value after a reset: if it is lower, or if its start
//     timestamp is after the sample before. The first sample of an input adds
//     nothing, unless its start timestamp tells that the input began after the
//     rule did and no longer ago than inputs are remembered: then all of it. So the
//     total over any time is exact, whatever comes, goes and comes back.
//   - Of gauges the sum, min, max, avg or count over the last samples of all inputs
//     that have one of the last Staleness before T and no stale marker after it.
//
// When a group has no such input, its output ends with a stale marker. Samples of
// an input are put in order before they are taken in, for as long as Delay
// allows; what is older than what was taken in already is left out and counted,
// as a TSDB without out-of-order window does.
//
// # The invariant
//
// State is what the journal says (see journal.go): whatever a sender was told is
// taken in is in it. It is a sequence of events that, when replayed, give the same
// state to the bit. So after a kill a total is what it was, and outputs that had
// not been stored yet are. If state is lost all the same, with a power cut for
// instance, totals go on from the last stored output: increases may be missing,
// but there is no reset and no spike.
//
// # What it does not do
//
// It stores nothing itself: outputs go to Deps.Out. It keeps no exemplars of inputs
// that are dropped. A series is the input of one rule only, the first that matches.
package aggregate
