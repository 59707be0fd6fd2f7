// Package querytree answers PromQL from a tree of children: what is exact below
// is pushed down, the rest is evaluated here, and what is missing is said.
//
//	leaf, err := querytree.NewLocal(…)       // a Child over a TSDB
//	mixer, err := querytree.NewMixer(…)      // a Child made of Children
//	set, err := mixer.Exec(ctx, querytree.ExecRequest{Query: "sum by (job) (up)", Start: t, End: t})
//
// A Child answers for a part of the tree: a leaf for its cluster, a Mixer for
// all its children, a gRPC connection (treerpc) for whatever is at its other
// end. A query is parsed, pruned, planned, executed and finished:
//
//	prune      which children may hold series of each selector (prune.go)
//	plan       what children evaluate, what stays here (analyze.go, rewrite.go, guard.go)
//	execute    ask the children side by side, merge their answers (fragment.go, pull.go)
//	residual   the stock engine, over what came back (residual.go, gridseries.go)
//
// The invariant: the answer equals that of one Prometheus over the union of the
// children's series, up to the rounding of another order of summation, or it
// has a warning for each child that is missing from it, or it is an error.
//
// What it does not do: it opens no connection, keeps no series, and knows
// nothing of field hints but the Pruner interface. Planning and pruning do no
// I/O and read no clock.
package querytree
