package kube

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pandometrics/pando/gitops"
)

// initialPrefix begins the hashes of what was not delivered; those of revisions
// are hexadecimal.
const initialPrefix = "initial-"

// maxInitialFiles bounds a folder of one's own; a ConfigMap cannot hold as many.
const maxInitialFiles = 1000

// fetch pulls what was delivered. A workload that has never had anything
// delivered gets the folder that it was installed with, if there is one: a leaf
// is to scrape from the first minute, its control loop above all. Who has loaded
// a revision once does not return to that folder, whoever removed the revision.
func (f *Follower) fetch(ctx context.Context) (*gitops.Bundle, error) {
	b, err := f.pull(ctx)
	if !errors.Is(err, ErrNothingDelivered) || f.initial == "" {
		return b, err
	}
	if f.current != nil && !strings.HasPrefix(f.current.Hash, initialPrefix) {
		return nil, err
	}
	return readInitial(f.initial, f.folder)
}

// readInitial makes a bundle of the files of a folder, such as a ConfigMap that is
// mounted. Files that a tier's flags name and that are not there are empty.
func readInitial(dir, folder string) (*gitops.Bundle, error) {
	files := emptyFiles(folder)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read the initial configuration: %w", err)
	}
	if len(entries) > maxInitialFiles {
		return nil, fmt.Errorf("read the initial configuration: %d files in %s are more than the %d that are allowed", len(entries), dir, maxInitialFiles)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") { // where a mounted ConfigMap keeps its versions
			continue
		}
		name := filepath.Join(dir, e.Name())
		if info, err := os.Stat(name); err == nil && info.IsDir() {
			continue
		}
		if files[path.Join(folder, e.Name())], err = os.ReadFile(name); err != nil {
			return nil, fmt.Errorf("read the initial configuration: %w", err)
		}
	}
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		_, _ = fmt.Fprintf(h, "%d %s %d ", len(name), name, len(files[name])) // hashes take everything
		_, _ = h.Write(files[name])
	}
	hash := initialPrefix + hex.EncodeToString(h.Sum(nil)[:16])
	b := &gitops.Bundle{Revision: hash, Hash: hash, Files: files}
	return b, b.Validate()
}

// emptyFiles are those that every revision has for a tier, without anything in them.
func emptyFiles(folder string) map[string][]byte {
	empty := map[string]string{"prometheus.yml": "global: {}\n", "rollups.yml": "rollups: []\n", limitsFile: "{}\n"}
	if folder == "leaf" {
		empty["aggregations.yml"] = "rules: []\n"
	}
	out := make(map[string][]byte, len(empty))
	for name, text := range empty {
		out[path.Join(folder, name)] = []byte(text)
	}
	return out
}

// notSaidError says that a revision has nothing for a tier that runs: for it,
// nothing was delivered yet.
type notSaidError struct{ commit, folder string }

// Error implements error.
func (e *notSaidError) Error() string {
	return fmt.Sprintf("fetch configuration: revision %.12s has no folder %s: this cluster is not said to run it", e.commit, e.folder)
}

// Is makes it an ErrNothingDelivered.
func (e *notSaidError) Is(target error) bool { return target == ErrNothingDelivered }
