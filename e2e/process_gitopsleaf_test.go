package e2e_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pandometrics/pando/gitops/gittest"
	"github.com/pandometrics/pando/gitops/rollouts"
)

const gitopsLeafPlanet = `apiVersion: pando/v1
zones: [{name: eu}]
clusters: [{name: eu-1, zone: eu, labels: {loop: "%s"}}]
waves: [{name: all, bake: 1s}]
allow: {discovery: [static, dns]}
`

const gitopsLeafScrape = `scrape_configs:
  - job_name: pando-gitops
    static_configs: [{targets: ["${label:loop}"]}]
`

// A leaf runs the control loop of its cluster itself: it starts with what the
// loop delivers, takes commits without HTTP between the two, and is told of at
// the root. What the loop's flags do not allow, the repository cannot name.
func TestProcessGitopsInLeaf(t *testing.T) {
	processes(t)
	repo := gittest.New(t)
	loopAt, dir := freeAddress(t), t.TempDir()
	root := startRoot(t, "--rollouts.loop=http://"+loopAt)
	repo.Commit(
		"planet.yaml", fmt.Sprintf(gitopsLeafPlanet, loopAt), "prometheus.yml", "global: {scrape_interval: 1s, evaluation_interval: 1s}\n",
		"scrape/pando.yml", gitopsLeafScrape, "rules/leaf/rules.yml", recording("first"), "limits/leaf.yml", "query.max-length: 1234\n",
	)
	leaf := startLeaf(t, root.grpc, "eu", "eu-1", "--gitops.git.url="+repo.URL, "--gitops.git.allow-http", "--gitops.root.url="+root.http,
		"--gitops.interval=2s", "--gitops.rollout.interval=1s", "--gitops.rollout.confirm-timeout=10s", "--gitops.state.path="+filepath.Join(dir, "state"),
		"--gitops.deliver.path="+filepath.Join(dir, "config"), "--gitops.web.listen-address="+loopAt, "--gitops.allow.discovery=static")
	becomes(t, 60*time.Second, root.http, `count(first{cluster="eu-1"})`, 1)
	if text, err := page(leaf.http + "/api/v1/status/flags"); err != nil || !strings.Contains(text, `"query.max-length":"1234"`) {
		t.Errorf("limits were not read: %v %s", err, text)
	}
	second := repo.Commit("rules/leaf/rules.yml", recording("second"))
	becomes(t, 60*time.Second, root.http, `count(second{cluster="eu-1"})`, 1)
	o := isAt(t, 60*time.Second, root.http, rollouts.Idle, second)
	if len(o.Waves) != 1 || o.Waves[0].Clusters[0].Loop != rollouts.Answers {
		t.Errorf("the root tells %+v", o)
	}
	third := repo.Commit("limits/leaf.yml", "query.max-length: 1100\n")
	isAt(t, 60*time.Second, root.http, rollouts.Idle, third)
	if _, err := vector(leaf.http, strings.Repeat("1+", 600)+"1"); err == nil || !strings.Contains(err.Error(), "query.max-length") {
		t.Errorf("limits were not read again: %v", err)
	}
	repo.Commit("scrape/more.yml", "scrape_configs: [{job_name: more, dns_sd_configs: [{names: [a.example.com], type: A, port: 80}]}]\n")
	o = isAt(t, 60*time.Second, root.http, rollouts.Refused, third)
	if !strings.Contains(o.Doing, "--allow.discovery") {
		t.Errorf("it is refused for %q", o.Doing)
	}
	leaf.kill()
	leaf = leaf.again()
	becomes(t, 60*time.Second, root.http, `count(second{cluster="eu-1"})`, 1)
	isAt(t, 60*time.Second, root.http, rollouts.Refused, third)
	leaf.stop(syscall.SIGTERM, 15*time.Second)
}
