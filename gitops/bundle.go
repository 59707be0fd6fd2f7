package gitops

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/pandometrics/pando/gitops/wave"
)

// Bundle is what one cluster gets of one revision.
type Bundle struct {
	// Revision is the commit that it was rendered from.
	Revision string `json:"revision"`
	// Hash is of the content: bundles of equal hash are the same, and there is
	// nothing to deliver between them. It is one word, fit for a file name.
	Hash string `json:"hash"`
	// Files are the configuration, by slash-separated path in the tier's folder:
	// leaf/prometheus.yml, zone/eu/prometheus.yml.
	Files map[string][]byte `json:"files"`
	// Deploy describes workloads, for deliverers that manage those; opaque here.
	Deploy json.RawMessage `json:"deploy,omitempty"`
	// Waves are those of the whole planet.
	Waves []wave.Wave `json:"waves"`
}

// Limits of a bundle; etcd, for one, takes objects of 1.5 MB.
const (
	maxBundleFiles = 10_000
	maxBundleBytes = 64 << 20
)

// Validate refuses what no deliverer should be given.
func (b *Bundle) Validate() error {
	if b.Revision == "" || b.Hash == "" || len(b.Hash) > 128 || strings.ContainsAny(b.Hash, "/\\. \n") {
		return fmt.Errorf("bundle of revision %q: hash %q is not one word", b.Revision, b.Hash)
	}
	var size int
	for name, data := range b.Files {
		if !fs.ValidPath(name) || name == "." || strings.ContainsAny(name, "\\\x00") || path.Base(name) == RevisionFile {
			return fmt.Errorf("bundle of revision %q: %q cannot be the name of a file", b.Revision, name)
		}
		size += len(data)
	}
	if len(b.Files) > maxBundleFiles || size > maxBundleBytes {
		return fmt.Errorf("bundle of revision %q: %d files of %d bytes, more than the %d of %d that are allowed", b.Revision, len(b.Files), size, maxBundleFiles, maxBundleBytes)
	}
	return wave.Validate(b.Waves)
}

// configFile is what the configuration file of each tier is called.
const configFile = "prometheus.yml"

// Tiers returns the folders with a tier's configuration, such as leaf and
// zone/eu, sorted.
func (b *Bundle) Tiers() []string {
	var out []string
	for name := range b.Files {
		if path.Base(name) == configFile && path.Dir(name) != "." {
			out = append(out, path.Dir(name))
		}
	}
	slices.Sort(out)
	return out
}

// RevisionFile is a file beside the configuration of each tier, which holds the
// bundle's hash; workloads tell in their metrics which one they have loaded.
const RevisionFile = "revision"

// Renderer makes of a revision what this cluster gets, and validates all of
// the planet, not only what this cluster gets: a revision is good as a whole or
// not at all. Errors are final for the revision. It must be a pure function of
// the files.
type Renderer interface {
	Render(ctx context.Context, revision string, files fs.FS) (*Bundle, error)
}

// Deliverer makes a bundle what the workload finds, at once and as a whole, and
// tells the workload to load it. It is idempotent: after a crash it is called
// again with the same bundle, or with another one. It returns a RefusedError if
// the workload says no; all other errors are tried again, for as long as
// UnavailableError, ProgressError and Config say. What failed before anything was
// changed that the workload reads is an UnwrittenError too.
type Deliverer interface {
	Deliver(ctx context.Context, b *Bundle) error
}

// Replacer is implemented by Deliverers that take over what somebody else had made.
// Replace is Deliver of a newer bundle in place of one that has proved itself: what
// that one had taken over, and the newer one does not want, is to be removed. Deliver
// alone leaves it: it ran before, and may be what is returned to.
type Replacer interface {
	Replace(ctx context.Context, b *Bundle) error
}

// Blank is implemented by Deliverers that can tell that nothing was ever
// delivered where they deliver to, without asking the workload: one that waits
// for its first configuration cannot be asked.
type Blank interface {
	Blank(ctx context.Context) (bool, error)
}

// Confirmer asks the workload for the hash of the bundle that it has loaded: ""
// if it has none. An error means that it could not be asked; a MixedError that
// its parts differ, a ProgressError that it is on its way.
type Confirmer interface {
	Loaded(ctx context.Context) (hash string, err error)
}

// RefusedError is the workload's no to a bundle, in its own words.
type RefusedError struct {
	// Workload is who refuses.
	Workload string
	// Message is what it says.
	Message string
}

// Error implements error.
func (e *RefusedError) Error() string { return fmt.Sprintf("%s refuses it: %s", e.Workload, e.Message) }

// refused tells whether a workload said no.
func refused(err error) bool {
	var e *RefusedError
	return errors.As(err, &e)
}
