package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/prometheus/common/model"

	"github.com/pandometrics/pando/demo"
	gitplanet "github.com/pandometrics/pando/gitops/planet"
	"github.com/pandometrics/pando/gitops/ruletest"
)

// The repository that pando dev writes is valid, whatever the planet's shape, with
// each cluster in a wave, and the first in the first.
func TestDevRepositoryIsValid(t *testing.T) {
	for _, shape := range [][2]int{{1, 1}, {1, 2}, {2, 1}, {2, 3}, {4, 2}} {
		t.Run(fmt.Sprint(shape), func(t *testing.T) {
			places := demo.Places(shape[0], shape[1])
			files := fstest.MapFS{}
			for name, data := range demo.Repository(demo.RepositoryOptions{Clusters: places, Interval: 5 * time.Second, Targets: "/data/targets"}) {
				files[name] = &fstest.MapFile{Data: data}
			}
			p, problems := gitplanet.Validate(files, gitplanet.CheckOptions{Tests: ruletest.Runner{}})
			if problems.Failed() {
				t.Fatal(problems)
			}
			n := 0
			for _, w := range p.Waves() {
				n += len(w.Clusters)
				if len(w.Gates) != 2 || w.Bake != 30*time.Second {
					t.Errorf("wave %+v, want two gates and half a minute", w)
				}
			}
			if first := p.Waves()[0].Clusters; n != len(places) || n > 1 && (len(first) != 1 || first[0] != places[0].Cluster) {
				t.Errorf("%d clusters in waves, %v in the first; want %d, and one", n, first, len(places))
			}
			b, err := p.Render(places[0].Cluster)
			if err != nil {
				t.Fatal(err)
			}
			conf := string(b.Files["leaf/prometheus.yml"])
			for _, want := range []string{"/data/targets/" + places[0].Cluster + "/" + demo.PodsFile, "job_name: node", "job_name: pando-gitops"} {
				if !strings.Contains(conf, want) {
					t.Errorf("the first leaf's configuration lacks %s", want)
				}
			}
			for _, tier := range []string{"zone/" + places[0].Zone, "root"} {
				if b.Files[tier+"/prometheus.yml"] == nil {
					t.Errorf("the first cluster does not host %s", tier)
				}
			}
		})
	}
}

// A planet whose newest commit is a mistake starts from the one before.
func TestDevRepositoryAfterMistake(t *testing.T) {
	dir := t.TempDir()
	f := &devFlags{dataDir: dir, branch: devBranch, zones: 1, leaves: 2, interval: model.Duration(5 * time.Second)}
	r, err := openRepository(t.Context(), f)
	if err != nil || len(r.places()) != 2 {
		t.Fatalf("new repository: %v, error %v", r, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "planet", "planet.yaml"), []byte("zones: ["), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("git", "-C", filepath.Join(dir, "planet"), "-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false", "commit", "-q", "-a", "-m", "a mistake")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	f.leaves = 3 // counts no more
	r, err = openRepository(t.Context(), f)
	if err != nil || len(r.places()) != 2 {
		t.Fatalf("after a mistake: %v, error %v; want the planet before it", r, err)
	}
	f.repository = t.TempDir()
	if _, err := openRepository(t.Context(), f); err == nil || !strings.Contains(err.Error(), "not in a git repository") {
		t.Errorf("a folder without a repository: %v", err)
	}
}
