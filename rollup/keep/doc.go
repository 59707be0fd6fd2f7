// Package keep makes the points of rollup rules, keeps them, and answers queries
// from them: the same at a leaf, a zone and the root.
//
//	store, err := keep.Open(keep.StoreConfig{Dir: dir, Tier: rollup.Zone, Rules: rules})
//	c, err := keep.NewCollector(keep.CollectorConfig{Store: store, Source: mixer, …})
//	go c.Run(ctx)
//	mixerConfig.Rewriter = store.Rewriter(…)
//
// The invariant: a point can be read only once all of it has been written, and
// all who owe a part of it have delivered; or, if somebody has been gone for
// longer than the operator waits, as a point that says who was missing. So at no
// time can a value be read that is not the point's final one, until the samples
// that it was made of change.
//
// What it does not do: decide which expressions rules may have, and which
// queries they answer (package rollup); plan queries (querytree).
package keep
