// Package wave decides when a cluster may take a revision. It is pure: no I/O,
// no clock, no goroutine; the same input gives the same decision.
//
//	d, memory := wave.Decide(in, memory)
//	if len(d.Need) > 0 { // ask these gates, then decide again
//		in.Gates = ask(d.Need)
//		d, memory = wave.Decide(in, memory)
//	}
//	switch d.Do {
//	case wave.Advance, wave.RollBack: // deliver d.To
//	case wave.Wait, wave.Hold:        // d.Why
//	}
//
// Nobody coordinates. Every cluster's loop decides for its own cluster, from
// what the tree tells of the others, which may be late. The rules are such that
// late news delay a wave, and never let a cluster overtake one:
//
//   - A cluster takes a revision only after it has itself seen every cluster of
//     every earlier wave run just that one, for the bake time of the wave before
//     by its own clock, and the gates held. Others' clocks are never compared.
//   - One rollout at a time: the first wave starts a revision only when what the
//     fleet runs is of one revision, rejected ones aside. So a stream of commits
//     is taken in batches, and later waves are not starved.
//   - A revision is new here until it has proved itself, and watched until the next
//     wave has taken it: so long the gates of its wave can have it rejected.
//   - What stops spreads through the tree, what advances does not: a rejection
//     or a pause by any cluster is heeded by all, promotion is for one cluster
//     and comes from its operator.
//   - No answer is no: if the root cannot be asked, or answers for a part of the
//     fleet only, nothing advances. Nothing is rolled back for it either, but for
//     rejections that are heard: see Input.Heard. Only a cluster in which nothing has
//     ever run begins without, see Input.Fresh, and then with what the others run,
//     as far as they can be heard.
//
// It does not know which of two revisions is the newer: the caller refuses to
// go to one that does not descend from what runs, and says so in Input.Older.
package wave
