// Package planet is the format of the repository that describes a planet: its
// zones and clusters, what is scraped, which rules, rollups, aggregations and
// limits there are, and in which waves a change goes out.
//
//	p, err := planet.Load(fsys)           // every file parsed; the error is a list of Problems
//	problems := p.Check(planet.CheckOptions{})
//	bundle, err := p.Render("eu-1")       // the files of one cluster
//	waves := p.Waves()                    // each cluster in exactly one of them
//
// A repository has layers: the top folder, zones/NAME and clusters/NAME. There is
// one rule by which they are merged: whatever has a name (a job, a rule group, a
// limit …) is replaced as a whole by what has the same name in a later layer, and
// removed by it with delete: true or null.
//
// The invariants: what Render gives depends on nothing but the files and the
// cluster's name; equal bundles have equal hashes; and if Load and Check have
// nothing to say, Prometheus' own parsers accept every file of every bundle. The
// only thing put into files is identity: ${cluster}, ${zone} and ${label:NAME},
// in values, never in keys or structure.
//
// What it does not do: no network, no clock, no disk but the fs.FS it is given.
// What it reads is not trusted: names, sizes, counts and nesting are bounded, and
// nothing that a file says makes a leaf read files or ask hosts that planet.yaml
// does not allow. A Planet is never changed: it may be used by several goroutines
// at once.
package planet
