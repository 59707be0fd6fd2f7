// Package treehttp serves one tier of the tree over HTTP: the Prometheus HTTP
// API, federation, the lifecycle endpoints, and the few endpoints and the page
// that are Pando's own. A leaf, a zone and the root all use it, so that every
// tool that speaks to a Prometheus speaks to any tier.
//
//	h, err := treehttp.New(treehttp.Config{
//		Engine: engine, Queryable: queryable, Describe: mixer.Describe,
//		Metadata: mixer.Metadata, Limits: querytree.DefaultLimits(),
//		Gatherer: reg, Registerer: reg, Logger: logger,
//	})
//	...
//	http.ListenAndServe("127.0.0.1:9090", h)
//
// The API itself is Prometheus' own code (web/api/v1). Around it the package
// adds what a tree needs and Prometheus' interfaces have no place for:
//
//   - Query options become parameters: partial_response=false asks for an error
//     instead of an incomplete answer, hints=off, pushdown=off and nocache=1 switch
//     the accelerators off so that answers can be compared, stats=all or explain=1
//     add the completeness of the answer to data.stats.pando.
//   - Queries too long or nested too deep are refused before they are parsed.
//   - Queries have ids (X-Pando-Query-Id), are listed while they run and for a
//     while after, can be canceled, explained and analysed: docs/api.md.
//   - An answer from which a child is missing has the header "Pando-Partial: true".
//
// The invariant: an answer that carries neither warnings nor that header is
// whole, and pruning never shows in either.
//
// The package does not evaluate, authenticate or listen: the engine, TLS and the
// listener are handed in or put in front of it.
package treehttp
