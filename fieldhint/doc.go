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
// value, that the value contains a trigram, that it starts with a prefix of some
// lengths, that it holds an infix of five or nine characters, that two labels of the
// series have two values, that a label has a value beside another that starts with a
// prefix, and that the metric has a name beside a label that holds an infix. Values have marks before their start and after their end,
// since PromQL's regexps are anchored:
//
//	job="api", ns="pay"  →  has(job)  job="api"  job~"^^a" "^ap" "api" "pi$" "i$$"  job^="api"
//	                        has(ns)   ns="pay"   ns~"^^p" …   pair(job="api", ns="pay")
//	                        job~"^api$"  ns~"^pay$"
//	                        pair(job="api", ns^="")  pair(job="api", ns^="p")  pair(job="api", ns^="pay")  …
//
// A selector becomes a boolean query over such facts. It holds for every set of
// fingerprints to which a matching series contributed:
//
//	{job=~"api|web", pod=~"api-.*"}  →  (pair(job="api", pod^="api") OR pair(job="web", pod^="api") OR unprefixed(job, pod) OR …) AND
//	                                    (job="api" OR job="web" OR unvalued(job)) AND
//	                                    (pod~"^^a" "^ap" "api" "pi-" AND (pod~"^api-" OR uninfixed(pod) OR …) OR long(pod)) AND (pod^="api" OR unprefixed(pod) OR …)
//	{job="api", ns="pay"}            →  (pair(job="api", ns="pay") OR unpaired(job, ns) OR unpaired(*)) AND
//	                                    (job="api" OR unvalued(job)) AND (ns="pay" OR unvalued(ns))
//
// Not all is worth keeping: a Scheme says which kinds of facts a set keeps of the
// series that are added to it, and what it does not keep is a fact itself:
// unvalued(label), unpaired(a, b), unprefixed(label), unprefixed(a, b),
// uninfixed(label), uninfixed(__name__, b), long(label) for trigrams. So a query holds
// whatever the schemes of the children below. Set.Rebuild takes a Census of all
// series and spends the set's Budget on the kinds that rule out most for a byte.
//
// Two facts keep the trigrams honest: long(label) also stands for values that are
// too long to be cut into trigrams, and wide(label) for those that are not ASCII,
// which (?i) compares in ways that trigrams do not foresee. A matcher that
// matches the empty string matches series without the label and asks for
// nothing.
//
// A child offers a Set: logs of its distinct fingerprints, one for each section of
// time. Each parent gets it as a Stream of frames: a snapshot, then whatever is
// added, with heartbeats in between. The parent keeps a Filter for each section of
// each child in an Index, fed by one Feed per connection, and asks it with
// RulesOut: for a selector and the times that it looks at, the query is held
// against the union of the sections that overlap these times. See the example.
//
// Many children are asked together, with RulesOutAll: filters of the same size
// share slabs, where a few words tell of 64 children whether they have a fact.
//
// # Time
//
// A series stands, with all its facts, in every section of whose span it has
// samples; or in the core, which spans all time and holds what is in all sections.
// A leaf makes a new generation of sections of all that it has (Set.Rebuild) when a
// window begins: a current section without end, which takes every new series, and
// eras of the past, each twice as long as the one after it (Layout). So what is
// gone is in one or two eras, and what stays is in the core, once.
//
// # What keeps the invariant while things move
//
//   - A set has a random epoch, and its sections only grow and widen. Frames carry
//     epoch, number and positions, so that a frame lost, repeated or from elsewhere
//     is an error, and an error un-syncs the child until its stream begins anew.
//   - A frame is marked complete only if it brings the parent up to all that the
//     child had at that moment, and the child knew of all its series (SetComplete).
//     Only a complete frame syncs a child, and one that is not un-syncs it.
//   - While a new generation is on its way, the old one takes additions too, and
//     parents rely on it; it is dropped when they have all of the new one. One that
//     was not complete is not relied on.
//   - No sample is older than the current section's beginning: the head refuses it.
//     Before it accepts older ones than before, the section is widened (Set.Widen).
//   - A stream that begins anew is staged in a hint of its own, swapped in when
//     complete. The older hint is in use until then, but its age counts from its own
//     last frame.
//   - A stream that resumes goes on where the parent says that it is (Cursor) only
//     if what the child has before that place has the same sum. Until it has caught
//     up, the child is asked. After a fault, nothing is resumed.
//   - A set that is full says that it is incomplete; a hint beyond its bound is
//     dropped; a child whose format is unknown, or that has to wait until others
//     have sent their snapshots, is un-synced. Each time, the child is asked.
//   - Filters move into slabs and out of them while they take additions; what
//     readers see of a child changes with them. Who asks about many children at
//     once looks at a table of what they saw, and asks those by themselves that
//     show something else by now.
//   - A label that many series share is looked up once, in a cache that compares
//     strings. A hash would do but for two values with equal hashes. Pairs of such
//     labels are known by the numbers that the cache gave them, never twice the same,
//     and pairs with all labels that a run of series has in common by a number of the run.
//   - A parent adds unprefixed(*) for a child that does not say that it knows prefixes,
//     and uninfixed(*) for one that does not say that it knows infixes.
//   - External labels belong in SetConfig.External: a hint of bare series would
//     rule out {zone="eu"}. They make pairs with the labels of each series,
//     whether a series is added with them or without. What a zone adds by Set.Add
//     comes of series that have the zone's labels already.
//   - What a tier holds itself, and no child of it, is told by name alone
//     (Set.SetNames), since series of a name that it holds may come for any time: who
//     has the name is not ruled out, whatever else a selector asks for.
//   - What a tier keeps of a metric itself, older than all series that are there, is told
//     apart from these (Set.AddKept), before it answers anything: who keeps aggregates that
//     have all that a selector asks for is not ruled out, whatever the time.
//   - What a log remembers of series, to be quick, is found by the names of their
//     labels; the log's own bounds on pairs end in unpaired(*), which is true of
//     every log.
//
// # A zone's set
//
// The index of a zone adds what its children send to a Set (IndexConfig.Union),
// which is complete as long as all its children are synced (IndexConfig.OnState,
// Index.Expire). Sections of children that have generation and span in common are
// one section there. It is dropped when no child has it any more, since a child that
// drops its section has sent before what takes its place: so a zone forgets as its
// leaves do, and need not ask them for anything again. It forgets nothing but whole
// sections, since filters cannot be listed: what a leaf that restarts has lost stays
// until all have begun the next window.
//
// # What it does not do
//
// It does no I/O, starts no goroutine, and takes time from its configuration
// only: streams run in their callers' goroutines. It knows combinations of two
// labels only, as far as they are kept, and none of trigrams or of two prefixes:
// several series together may look like a match. Within a section, it does not know time.
package fieldhint
