// Package leaf owns the series of one cluster: it scrapes, is written to,
// evaluates rules, keeps samples in an unmodified Prometheus TSDB, and answers
// for them as a querytree.Child.
//
//	cfg := leaf.DefaultConfig()
//	cfg.Identity.Labels = labels.FromStrings("zone", "eu", "cluster", "eu-1")
//	cfg.DataDir, cfg.ConfigFile = "data", "prometheus.yml"
//	l, err := leaf.Open(cfg, leaf.Deps{Logger: logger, Registerer: reg})
//	if err != nil {
//		return err
//	}
//	defer l.Close()
//	http.Handle("/api/v1/write", l.WriteHandler())
//	go serve(l.Child())
//	return l.Run(ctx)
//
// # Identity
//
// Every series that the leaf serves, by whatever way, carries the labels of its
// identity, and no series can carry others of these names:
//
//   - The identity labels are not stored. They are attached when series are
//     read, and matchers on them are decided without asking the TSDB.
//   - A label of the same name on a series that is scraped or written is stored
//     as exported_<name>, as Prometheus does for labels that conflict with
//     those of a scrape target.
//   - What a rule read from the leaf and writes back loses the identity labels
//     instead, and gets them again when it is read.
//   - Series of a data directory or block that something else has written, and
//     that have stored labels of these names, are renamed when they are read.
//     This is slower, as such an answer has to be sorted again, and only done
//     where such labels are in reach of a query.
//
// Answers are sorted by the full label set, with each label set at most once.
//
// # What it does not do
//
// It does not send samples elsewhere: the sections remote_write, remote_read
// and tracing of the configuration file have no effect. It listens on no port;
// the process it runs in serves its handlers, its Child and its HTTP API, for
// which APIParts has the parts.
package leaf
