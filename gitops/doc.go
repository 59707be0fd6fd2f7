// Package gitops makes what runs in one cluster match a git repository, one
// verified revision at a time.
//
//	loop, err := gitops.New(gitops.Config{Cluster: "eu-1", StateDir: dir, …}, gitops.Deps{
//		Source: src, Renderer: planet, Deliverer: folder, Confirmer: folder, Fleet: root,
//	})
//	err = loop.Run(ctx)
//
// A turn of the loop is a list of small steps:
//
//	fetch → verify → render and validate → wait for the wave → deliver → confirm → report
//
// What it guarantees:
//
//   - What runs keeps running. Git, the root, the deliverer and the loop itself
//     may be lost, in any order and at any step; the last good revision stays.
//   - A revision is delivered whole or not at all, and only after all of the
//     planet was found valid, and its turn has come (package wave).
//   - A revision that the workload refuses, or does not load in time, is given
//     up for the last good one, and named, to the whole fleet.
//   - It never goes back to an older commit, unless the operator says so, or a
//     revision is rejected.
//
// Each step is announced in the state before it is taken, so that a loop that
// is killed goes on where it was. Errors are of two kinds. Those that may pass
// are tried again; those that need a new commit, or the operator, are stalled.
//
// Loops do not talk to each other. Each exports what its cluster runs as
// metrics, the leaf scrapes them, and every loop asks the root of the tree.
//
// It does not know the format of the repository (package planet does, which
// cmd plugs in as Renderer), nor how configuration gets to a workload (package
// dirs does, for one).
package gitops
