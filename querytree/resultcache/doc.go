// Package resultcache keeps the answers to range queries, so that a dashboard
// that is refreshed costs the steps that are new, and splits long ranges by
// time, so that their parts are evaluated side by side.
//
//	c, err := resultcache.New(resultcache.Config{Bytes: 64 << 20, Split: 24 * time.Hour, Parallelism: 2})
//	m, err := querytree.NewMixer(querytree.MixerConfig{Cache: c, …})
//
// An answer is kept as extents: the steps from one time to another of one query
// on one grid. A request takes from them what it can and asks the tree for the
// steps in between.
//
// The invariant: an answer from the cache is one that the tree gave, whole,
// about times that its children had said were settled, and of which no tier below has said since that
// it changed. So, for the values that a user sees, the cache is as if it were
// not there, but for the second or so that news of a change takes on its way up.
// The PromQL annotations of kept steps near the ones asked for may be told with
// them.
//
// What it does not do: I/O, and instant queries. It has no clock but the one
// that it is given.
package resultcache
