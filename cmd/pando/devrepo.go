package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pandometrics/pando/demo"
	"github.com/pandometrics/pando/gitops"
	gitplanet "github.com/pandometrics/pando/gitops/planet"
	"github.com/pandometrics/pando/gitops/source"
)

// devRepository is the git repository that a planet on this machine is configured
// from.
type devRepository struct {
	// folder is it, if it is on this machine; else there is a url.
	folder, url string
	from        gitops.Source
	// tip says what the followed branch names, at next to no cost; nil if it cannot.
	tip func() (string, error)
	// planet says which tiers there are.
	planet *gitplanet.Planet
}

// devBranch is followed if the user does not say otherwise.
const devBranch = "main"

// targetsFolder has what the demo's jobs scrape, below the data directory.
func (f *devFlags) targetsFolder() (string, error) {
	dir, err := filepath.Abs(f.dataDir)
	if err != nil {
		return "", fmt.Errorf("--data-dir: %w", err)
	}
	return filepath.Join(dir, "targets"), nil
}

// openRepository opens the user's repository, or else the planet's own, which is
// created the first time.
func openRepository(ctx context.Context, f *devFlags) (*devRepository, error) {
	r := &devRepository{}
	limits := source.Limits{Timeout: 20 * time.Second}
	if strings.Contains(f.repository, "://") {
		s, err := source.New(source.Config{URL: f.repository, Branch: f.branch, AllowHTTP: true, Limits: limits})
		if err != nil {
			return nil, fmt.Errorf("--planet.repository: %w", err)
		}
		r.url, r.from = f.repository, s
	} else {
		if err := r.openFolder(f, limits); err != nil {
			return nil, err
		}
	}
	var err error
	r.planet, err = newestValid(ctx, r.from)
	return r, err
}

func (r *devRepository) openFolder(f *devFlags, limits source.Limits) error {
	cfg := source.FolderConfig{Dir: f.repository, Branch: f.branch, Limits: limits}
	if cfg.Dir == "" {
		cfg.Dir = filepath.Join(f.dataDir, "planet")
		if err := createRepository(cfg, f); err != nil {
			return fmt.Errorf("--data-dir: %w", err)
		}
	}
	folder, err := source.NewFolder(cfg)
	if err != nil {
		return fmt.Errorf("--planet.repository: %w", err)
	}
	if r.folder, err = filepath.Abs(cfg.Dir); err != nil {
		return fmt.Errorf("--planet.repository: %w", err)
	}
	r.from, r.tip = folder, folder.Tip
	return nil
}

// createRepository makes the planet's own repository, if there is none yet.
func createRepository(cfg source.FolderConfig, f *devFlags) error {
	if _, err := os.Stat(cfg.Dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	targets, err := f.targetsFolder()
	if err != nil {
		return err
	}
	files := demo.Repository(demo.RepositoryOptions{Clusters: demo.Places(f.zones, f.leaves), Interval: time.Duration(f.interval), Targets: targets})
	return source.CreateFolder(cfg, source.FirstCommit{
		Files: files, Author: "Pando", Message: "planet: zones, clusters, waves, and what is scraped\n\nWritten by pando dev. README.md tells what to try.\n", When: time.Now(),
	})
}

// maxInvalid is how far back a valid commit is looked for.
const maxInvalid = 50

// newestValid returns the planet of the newest commit that has one: somebody may
// have made a mistake before the last stop.
func newestValid(ctx context.Context, from gitops.Source) (*gitplanet.Planet, error) {
	rev, err := from.Fetch(ctx, source.Want{})
	if err != nil {
		return nil, fmt.Errorf("--planet.repository: %w", err)
	}
	p, problems := gitplanet.Validate(rev.Files, gitplanet.CheckOptions{Context: ctx})
	if p != nil && !problems.Failed() {
		return p, nil
	}
	wrong := fmt.Errorf("the repository has no valid planet; revision %.12s: %w", rev.Hash, firstErrors(problems))
	past, ok := from.(interface {
		Log(ctx context.Context, most int) (source.History, error)
	})
	if !ok {
		return nil, wrong
	}
	h, err := past.Log(ctx, maxInvalid)
	if err != nil {
		return nil, errors.Join(wrong, err)
	}
	for _, c := range h.Commits {
		rev, err := from.At(ctx, c.Hash, "")
		if err != nil {
			continue
		}
		if p, problems := gitplanet.Validate(rev.Files, gitplanet.CheckOptions{Context: ctx}); p != nil && !problems.Failed() {
			return p, nil
		}
	}
	return nil, wrong
}

// places are the clusters of the planet.
func (r *devRepository) places() []demo.Place {
	var out []demo.Place
	for _, c := range r.planet.Clusters() {
		out = append(out, demo.Place{Zone: c.Zone, Cluster: c.Cluster})
	}
	return out
}

// says is where to find it, for people.
func (r *devRepository) says() string {
	if r.folder != "" {
		return r.folder
	}
	return r.url
}
