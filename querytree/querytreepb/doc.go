// Package querytreepb is the wire contract between a child and its parent,
// generated from tree.proto, which explains every message.
//
// The services are symmetric to the connection, not to the dialling: the child
// dials, and then serves Tree to its parent, which serves Parent to it.
//
// Nothing but treerpc imports this package: wire types stay at the edge, and
// the rest of the program speaks querytree's and Prometheus' types. The
// messages are not validated by themselves; treerpc does that, for whatever a
// peer may send.
package querytreepb

//go:generate ./generate.sh
