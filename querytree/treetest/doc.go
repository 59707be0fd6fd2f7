// Package treetest builds trees to test with: leaves in memory, mixers over
// them of any shape, and beside them the oracle, ONE stock Prometheus engine
// over the union of all series.
//
//	p := treetest.New(t, treetest.Config{Leaves: treetest.Clusters("eu", 2, "us", 2)})
//	p.Append(labels.FromStrings("__name__", "up", "zone", "eu", "cluster", "eu-0"), 1000, 1)
//	p.Check(t, treetest.Query{Expr: "sum(up)", Start: 1000})
//
// The invariant that Check checks is the tree's promise: the answer at the
// root equals the oracle's up to the rounding of another summation order. Where it
// does not, the oracle is asked again and again in other orders, and must contradict
// itself there (Reason); what is so accepted is counted, and bounded.
//
// What it does not do: talk gRPC. Config.Connect lets a test put a wire between
// any child and its parent.
package treetest
