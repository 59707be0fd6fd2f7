// Package source turns a git repository into one verified revision: a commit
// whose files are held in memory, behind a read-only fs.FS.
//
//	s, err := source.New(source.Config{URL: "https://git.example/planet.git", Branch: "main"})
//	rev, err := s.Fetch(ctx, source.Want{Base: lastApplied})
//	planet, err := parse(rev.Files)
//
// What it guarantees: a Revision that is returned was whole (its files hash to
// its name), was signed by one of the configured keys if there are any,
// descends from Want.Base, and holds only plain files and folders with plain
// names, within the limits. Nothing is ever written to a disk, no hook, filter
// or submodule of the repository is run, and credentials go to no other host
// than that of the URL.
//
// The wire protocol is spoken with go-git's codecs but over connections of our
// own, because each bound has to hold before the memory is spent: the bytes
// that are received, what they inflate to (checked object by object before any
// of them is resolved), and the time it takes.
//
// It keeps no state and does not decide when to fetch; see package gitops.
package source
