// Package treerpc makes any querytree.Child a gRPC service and any connection
// a querytree.Child: it is the link between a child and its parent.
//
// Children dial, parents never do. A child keeps one TCP or TLS connection to
// every replica of its parent; on it runs a yamux session, and on streams of
// the session plain gRPC runs both ways: the child calls Attach to introduce
// itself and to send descriptions and field hints, the parent calls Exec,
// Select and the rest to ask it. So a cluster needs no inbound port and a
// parent no service discovery.
//
// The parent:
//
//	srv, err := treerpc.NewServer(treerpc.ServerConfig{
//		Logger:   logger,
//		Self:     mixer.Describe,
//		Registry: registry, // is handed every connection as a Child
//	})
//	...
//	err = srv.Serve(ctx, listener)
//
// The child:
//
//	link, err := treerpc.NewLink(treerpc.LinkConfig{
//		Logger:  logger,
//		Child:   leaf,
//		Parents: []string{"zone-eu.example.org:9095"},
//	})
//	...
//	err = link.Run(ctx)
//
// Guaranteed: what a child answers arrives unchanged, to the last bit of every
// NaN, or there is an error; an answer never ends early in silence. Whatever a
// peer sends costs at most that peer its request or its connection: it is
// never a panic, and never an allocation out of proportion to the bytes
// received. A slow reader holds back its child, not this process' memory. A
// request to a connection that is down fails at once.
//
// Not done here: deciding who may be a child (a Registry does), hedging, soft
// deadlines and merging (the Mixer does), understanding field hints (their
// frames are opaque), and authentication beyond TLS.
package treerpc
