// Package fieldhint decides which children cannot hold a series that matches a
// selector, so that they need not be asked.
//
// # The invariant
//
// There are no false negatives: a child is ruled out only if none of the series
// that it had when it last spoke matches. Not while hints update, not after a
// restart of either side, not when a filter or a set is full, not for any
// matcher that Prometheus accepts. What is unknown, late or incomplete is asked.
// "When it last spoke" is at most IndexConfig.MaxAge ago, by default 2 s; in
// practice, a new series is known a few milliseconds after it was added.
// Everything here may rule out less than it could; nothing may rule out more.
//
// # How it works
//
// A series is turned into fingerprints, 64-bit hashes of facts about its labels
// (the metric name is the label __name__): that a label is there, that it has a
// value, and that the value contains a trigram. Values have marks before their
// start and after their end, since PromQL's regexps are anchored:
//
//	job="api"  →  has(job)  job="api"  job~"^^a" "^ap" "api" "pi$" "i$$"
//
// A selector becomes a boolean query over such facts. It holds for every set of
// fingerprints to which a matching series contributed:
//
//	{job=~"api|web", pod=~"api-.*"}  →  (job="api" OR job="web") AND
//	                                    (pod~"^^a" "^ap" "api" "pi-" OR long(pod))
//
// Two facts keep the trigrams honest: long(label), for labels of which some
// value is too long to be cut into trigrams, and wide(label), for labels of
// which some value is not ASCII, which (?i) compares in ways that trigrams do
// not foresee. A matcher that matches the empty string matches series without
// the label and asks for nothing.
//
// A child offers a Set: the log of its distinct fingerprints. Each parent gets it
// as a Stream of frames: a snapshot, then whatever is added, with heartbeats in
// between. The parent keeps a bloom Filter per child in an Index, fed by one
// Feed per connection, and asks it with RulesOut. See the example.
//
// # What keeps the invariant while things move
//
//   - A log has a random epoch and only grows. Frames carry epoch and position,
//     so that a frame lost, repeated or from elsewhere is an error, and an error
//     un-syncs the child until it has connected anew.
//   - A frame is marked complete only if it brings the parent up to all that the
//     child had at that moment, and the child knew of all its series (SetComplete).
//     Only a complete frame syncs a child, and one that is not un-syncs it.
//   - A new epoch, or the same one from its start, is staged in a filter of its
//     own and swapped in when complete. The older hint is in use until then, but
//     its age counts from its own last frame.
//   - A set that is full says that it is incomplete; a hint beyond its bound is
//     dropped. Either way the child is asked.
//   - A label that many series share is looked up once, in a cache that compares
//     strings. A hash would do but for two values with equal hashes.
//   - External labels belong in SetConfig.External: a hint of bare series would
//     rule out {zone="eu"}.
//
// # A zone's set
//
// A zone adds what its children send to a Set of its own (IndexConfig.Forward),
// and is complete as long as all its children are synced (IndexConfig.OnState,
// Index.Expire). The union only grows: bloom filters cannot be listed, so the
// zone cannot tell what a child's new epoch no longer holds. What is left over
// costs precision, never correctness. To shed it, for instance when the set is
// much larger than its children's logs together (ChildStats.Fingerprints), a zone
//
//  1. calls Set.StartRebuild, after which additions go to the old log and a new one;
//  2. calls Index.RequestResync, after which Feed.NeedsResync is true of every
//     child until it has sent its whole log again, by StreamOptions.Restart or
//     over a new connection;
//  3. calls Rebuild.Commit when Index.Resynced is true.
//
// The children's exact logs are thus kept in one place, the children; keeping
// copies in the zone would cost six times the memory of its filters.
//
// # What it does not do
//
// It does no I/O, starts no goroutine, and takes time from its configuration
// only: streams run in their callers' goroutines. It does not know which
// combinations of labels occur: labels are independent facts, so that two series
// together may look like a match. It does not know time: a series that is gone
// stays until a rebuild.
package fieldhint
