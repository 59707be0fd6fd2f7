package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"github.com/pandometrics/pando/gitops"
	gitplanet "github.com/pandometrics/pando/gitops/planet"
	"github.com/pandometrics/pando/gitops/ruletest"
	"github.com/pandometrics/pando/gitops/wave"
)

// maxTold bounds what is told of an invalid revision: the first are to be mended
// first, and pando check planet tells all.
const maxTold = 5

// testTimeout bounds the rule tests of a revision, for whoever commits to one
// planet must not hold up its loops.
const testTimeout = 20 * time.Second

// planetRenderer makes of a revision what one cluster gets. It is where the
// control loop and the repository's format meet.
type planetRenderer struct {
	cluster string
	checked *checkedPlanets
}

// checkedPlanets checks revisions, each once for all loops of a process, and
// keeps the latest.
type checkedPlanets struct {
	// cap is what the repository may name at most.
	cap *gitplanet.Cap

	mu       sync.Mutex
	revision string
	planet   *gitplanet.Planet
	err      error
}

// check returns a planet without errors. All of it is checked, rule tests
// included, with the code of pando check planet.
func (c *checkedPlanets) check(ctx context.Context, revision string, files fs.FS) (*gitplanet.Planet, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if revision != "" && revision == c.revision {
		return c.planet, c.err
	}
	p, problems := gitplanet.Validate(files, gitplanet.CheckOptions{Context: ctx, Tests: ruletest.Runner{}, TestTimeout: testTimeout, Cap: c.cap})
	var err error
	if problems.Failed() || p == nil {
		p, err = nil, firstErrors(problems)
	}
	if ctx.Err() == nil {
		c.revision, c.planet, c.err = revision, p, err
	}
	return p, err
}

// Render implements gitops.Renderer.
func (r planetRenderer) Render(ctx context.Context, revision string, files fs.FS) (*gitops.Bundle, error) {
	p, err := r.checked.check(ctx, revision, files)
	if err != nil {
		return nil, err
	}
	b, err := p.Render(r.cluster)
	if err != nil {
		return nil, fmt.Errorf("render: %w", err)
	}
	out := &gitops.Bundle{Revision: revision, Hash: b.Hash, Files: b.Files, Waves: wavesOf(p)}
	if b.Deploy != nil {
		if out.Deploy, err = json.Marshal(b.Deploy); err != nil {
			return nil, fmt.Errorf("render workloads: %w", err)
		}
	}
	return out, nil
}

// Diff implements gitops.Differ, in the form of pando config diff -o json.
func (planetRenderer) Diff(_ context.Context, from, to fs.FS, cluster string) (json.RawMessage, error) {
	var planets [2]*gitplanet.Planet
	for i, files := range []fs.FS{from, to} {
		var err error
		if planets[i], err = gitplanet.Load(files); err != nil {
			return nil, err
		}
	}
	changes, err := gitplanet.Diff(planets[0], planets[1], cluster)
	if err != nil {
		return nil, err
	}
	return json.Marshal(changes)
}

func firstErrors(problems gitplanet.Problems) error {
	errs := slices.DeleteFunc(slices.Clone(problems), func(p gitplanet.Problem) bool { return p.Severity != gitplanet.Error })
	if more := len(errs) - maxTold; more > 0 {
		return fmt.Errorf("%w\nand %d more", errs[:maxTold], more)
	}
	return errs
}

func wavesOf(p *gitplanet.Planet) []wave.Wave {
	var out []wave.Wave
	for _, w := range p.Waves() {
		gates := make([]wave.Gate, len(w.Gates))
		for i, g := range w.Gates {
			gates[i] = wave.Gate{Name: g.Name, Expr: g.Expr, For: g.For}
		}
		out = append(out, wave.Wave{Name: w.Name, Clusters: w.Clusters, Bake: w.Bake, Gates: gates})
	}
	return out
}
