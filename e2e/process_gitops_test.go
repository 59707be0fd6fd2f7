package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pandometrics/pando/gitops/gittest"
	"github.com/pandometrics/pando/querytree/treehttp"
)

// gitopsPlanet is two clusters in two waves; of the loops' and the leaves'
// addresses each cluster has its own, as labels.
const gitopsPlanet = `apiVersion: pando/v1
zones: [{name: eu}]
clusters:
  - {name: eu-1, zone: eu, labels: {stage: canary, loop: "%s", leaf: "%s"}}
  - {name: eu-2, zone: eu, labels: {stage: production, loop: "%s", leaf: "%s"}}
waves:
  - {name: canary, select: ['{stage="canary"}'], bake: 3s, gates: [configuration-loads, nothing-is-broken]}
  - {name: rest}
gates:
  - {name: configuration-loads, expr: min(pando_leaf_config_last_reload_successful) or vector(1)}
  - {name: nothing-is-broken, expr: (count(broken) or vector(0)) == bool 0}
allow: {discovery: [static]}
`

const gitopsScrape = `scrape_configs:
  - job_name: pando-gitops
    static_configs: [{targets: ["${label:loop}"]}]
  - job_name: leaf
    static_configs: [{targets: ["${label:leaf}"]}]
`

func recording(name string) string {
	return fmt.Sprintf("groups:\n  - name: g\n    rules:\n      - {record: %s, expr: vector(1)}\n", name)
}

// gitopsCluster is the loop and the leaf of one cluster.
type gitopsCluster struct {
	name, loopAt, leafAt, dir string
	loop, leaf                *process
}

// startLeaf starts the leaf as soon as its first configuration is delivered.
func (c *gitopsCluster) startLeaf(t *testing.T, root *process) {
	t.Helper()
	file := filepath.Join(c.dir, "current", "leaf", "prometheus.yml")
	eventually(t, 60*time.Second, func() error { _, err := os.Stat(file); return err })
	c.leaf = tierAt(t, c.leafAt, "", leafFlags(t, root.grpc, "eu", c.name, "--config.file="+file)...)
}

// A commit reaches the first wave, bakes, and reaches the next, through loops,
// leaves and a root that are processes, and a real git server. Then commits that
// must not: one of broken YAML, and one whose gate fails.
func TestProcessGitops(t *testing.T) {
	processes(t)
	repo := gittest.New(t)
	root := startRoot(t)
	clusters := make([]*gitopsCluster, 2)
	for i := range clusters {
		clusters[i] = &gitopsCluster{name: fmt.Sprintf("eu-%d", i+1), loopAt: freeAddress(t), leafAt: freeAddress(t), dir: t.TempDir()}
	}
	secret := writeFile(t, "secret", "a secret of webhooks")
	repo.Commit(
		"planet.yaml", fmt.Sprintf(gitopsPlanet, clusters[0].loopAt, clusters[0].leafAt, clusters[1].loopAt, clusters[1].leafAt),
		"prometheus.yml", "global: {scrape_interval: 1s, evaluation_interval: 1s}\n",
		"scrape/pando.yml", gitopsScrape,
		"rules/leaf/rules.yml", recording("first"),
	)
	for _, c := range clusters {
		c.loop = tierAt(t, c.loopAt, "", "gitops", "--cluster="+c.name, "--git.url="+repo.URL, "--git.allow-http", "--root.url="+root.http,
			"--interval=2s", "--rollout.interval=1s", "--rollout.confirm-timeout=10s", "--state.path="+t.TempDir(), "--deliver.path="+c.dir,
			"--workload=leaf=http://"+c.leafAt, "--webhook.secret-file="+secret)
	}
	for _, c := range clusters {
		c.startLeaf(t, root)
	}
	becomes(t, 60*time.Second, root.http, `count(first)`, 2)
	becomes(t, 60*time.Second, root.http, `count(count by (revision) (pando_config_loaded_timestamp_seconds))`, 1)

	repo.Commit("rules/leaf/rules.yml", recording("second"))
	started := time.Now()
	becomes(t, 60*time.Second, root.http, `count(second{cluster="eu-1"})`, 1)
	if v, err := vector(root.http, `second{cluster="eu-2"}`); err != nil || len(v) > 0 {
		t.Errorf("the second wave has it at the same time: %v %v", v, err)
	}
	becomes(t, 60*time.Second, root.http, `count(second)`, 2)
	t.Logf("the second wave runs it %v after the commit", time.Since(started))

	bin := pando(t)
	good := repo.Git("rev-parse", "HEAD")
	eventually(t, 60*time.Second, func() error { return runsEverywhere(root.http, good, "eu-1", "eu-2") })
	repo.Commit("rules/leaf/rules.yml", "groups: [\n")
	exported := map[string]map[string]bool{} // labels by metric, of the loops
	export := func() {
		t.Helper()
		for _, c := range clusters {
			if err := exports(c.loop.http, exported); err != nil {
				t.Fatal(err)
			}
		}
	}
	eventually(t, 60*time.Second, func() error {
		r := run(t, bin, "rollout", "status", "--server="+clusters[1].loop.http)
		if r.code != 3 || !strings.Contains(r.out, "stalled") || !strings.Contains(r.out, "rules/leaf/rules.yml:") || !strings.Contains(r.out, "runs       "+good[:12]) {
			return fmt.Errorf("status ends with %d: %s%s", r.code, r.out, r.errOut)
		}
		return nil
	})

	export()

	// The loop of the first wave is killed while the bad revision is on its way.
	bad := repo.Commit("rules/leaf/rules.yml", recording("broken"))
	becomes(t, 60*time.Second, root.http, `count(broken{cluster="eu-1"})`, 1)
	clusters[0].loop.kill()
	clusters[0].loop = clusters[0].loop.again()
	becomes(t, 60*time.Second, root.http, `count(pando_config_rejected_timestamp_seconds{revision="`+bad+`"}) > 0`, 1)
	becomes(t, 60*time.Second, root.http, `count(second)`, 2)
	if v, err := vector(root.http, `last_over_time(broken{cluster="eu-2"}[1h])`); err != nil || len(v) > 0 {
		t.Errorf("the second wave has had the bad revision: %v %v", v, err)
	}
	eventually(t, 60*time.Second, func() error {
		r := run(t, bin, "rollout", "history", "--server="+clusters[0].loop.http)
		if r.code != 0 || !strings.Contains(r.out, `gate "nothing-is-broken" of wave "canary" fails`) || !strings.Contains(r.out, bad[:12]) {
			return fmt.Errorf("history ends with %d: %s%s", r.code, r.out, r.errOut)
		}
		return nil
	})

	// A pause at one cluster stops the other, and ends.
	if r := run(t, bin, "rollout", "pause", "--server="+clusters[1].loop.http, "--why=a fair"); r.code != 0 {
		t.Fatalf("pause ends with %d: %s", r.code, r.errOut)
	}
	becomes(t, 60*time.Second, root.http, `max(pando_config_paused)`, 1)
	export()
	if n := readsExported(t, filepath.Join(mixinDir, ofDelivery), exported); n < 6 {
		t.Errorf("only %d metrics of alerts were looked at", n)
	}
	third := repo.Commit("rules/leaf/rules.yml", recording("third"))
	eventually(t, 60*time.Second, func() error {
		r := run(t, bin, "rollout", "status", "--server="+clusters[0].loop.http)
		if !strings.Contains(r.out, "paused by cluster eu-2") || !strings.Contains(r.out, third[:12]) {
			return fmt.Errorf("status: %s", r.out)
		}
		return nil
	})
	if r := run(t, bin, "rollout", "resume", "--server="+clusters[1].loop.http); r.code != 0 {
		t.Fatalf("resume ends with %d: %s", r.code, r.errOut)
	}
	becomes(t, 60*time.Second, root.http, `count(third)`, 2)
	for _, c := range clusters {
		c.loop.stop(syscall.SIGTERM, 10*time.Second)
	}
}

// runsEverywhere reports whether a tier tells that clusters, and they alone, run a
// revision.
func runsEverywhere(base, revision string, clusters ...string) error {
	text, err := page(base + "/pando/api/v1/config")
	if err != nil {
		return err
	}
	var list treehttp.ConfigList
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return fmt.Errorf("%w: %s", err, text)
	}
	var got []string
	for _, c := range list.Clusters {
		if c.Revision == revision && c.Since > 0 {
			got = append(got, c.Cluster)
		}
	}
	if !slices.Equal(got, clusters) || len(list.Clusters) != len(clusters) || len(list.Warnings) > 0 {
		return fmt.Errorf("revision %s: %s", revision, text)
	}
	return nil
}
