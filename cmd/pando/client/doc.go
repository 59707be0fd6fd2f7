// Package client is what the commands "pando query", "pando why", "pando who-has"
// and "pando tree" do: ask a tier over its HTTP API and write the answer for
// people or for programs.
//
//	code := client.Query(ctx, client.QueryOptions{
//		Server: "http://127.0.0.1:9090", Expr: "sum by (zone) (up)", Format: client.Table,
//	}, os.Stdout, os.Stderr)
//
// The result goes to stdout; warnings, statistics and errors go to stderr, so
// that stdout can be piped on. The exit code tells an incomplete answer from a
// whole one: it is Partial whenever the tier said that something is missing.
// "pando check rollups" is here too, since it may ask how large a rule is.
//
// It works against any Prometheus too, and does not evaluate PromQL itself.
package client
