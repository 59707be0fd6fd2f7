// Package relay passes read-only status requests down the tree: from the tier that
// a user asks to the member that the request names, along the connections that are
// there, and the member's own answer back up.
//
//	r, err := relay.New(relay.Config{Describe: t.Describe, Members: t.Roster.Members, …})
//	link := …LinkConfig{Child: r.Child(t.Mixer)}       // parents may ask
//	r.Serve(handler)                                   // what this tier answers itself
//	r.Status(ctx, querytree.StatusRequest{Member: "zone=eu,cluster=eu-1", Path: "/api/v1/targets"}, …)
//
// The invariant: a request is one of querytree.StatusPaths in every tier that it
// reaches, whatever the tier above says; the answer is the member's own, whole, or
// there is a *querytree.StatusError that says why not and who says so. What
// requests take has bounds of its own, and is never taken from queries: slots, time
// and bytes.
//
// What it does not do: listen, dial, cache, merge the answers of several members, or
// pass on anything that changes something.
package relay
