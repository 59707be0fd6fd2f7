// Package roster knows the children of a zone or root: who is connected, who
// was and is missing, and who was refused and why.
//
//	r, _ := roster.New(roster.Config{Self: zoneIdentity, Path: "children.json"})
//	entry, err := r.Admit(ctx, description, child, alive) // a child registers
//	members := r.Members()                                // a query takes a snapshot
//	entry.Close(err)                                      // the connection ended
//
// The invariant: a child that was once admitted stays a member, as missing,
// until it is forgotten by the operator or after Config.ForgetAfter, also over
// restarts of its parent if Path is set. So an answer that lacks a child says
// so, and no two connected members have the same identity.
//
// What it does not do: talk to anyone. Connections are made elsewhere.
package roster
