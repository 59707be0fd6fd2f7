package e2e_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pandometrics/pando/gitops/gittest"
	"github.com/pandometrics/pando/gitops/rollouts"
)

// The first configuration of a leaf with a control loop in it is one that this leaf
// cannot open with, for a reason that only the leaf knows. The loop goes on without it
// until a commit mends that; the next start has it. The same configuration later, to a
// leaf that runs, is refused, and the leaf goes on with what it had.
func TestProcessGitopsLeafRefusesTheFirst(t *testing.T) {
	processes(t)
	repo := gittest.New(t)
	loopAt, dir := freeAddress(t), t.TempDir()
	root := startRoot(t, "--rollouts.loop=http://"+loopAt)
	const global = "global: {scrape_interval: 1s, evaluation_interval: 1s%s}\n"
	contradicts, fits := fmt.Sprintf(global, ", external_labels: {env: test}"), fmt.Sprintf(global, "")
	repo.Commit(
		"planet.yaml", fmt.Sprintf(gitopsLeafPlanet, loopAt), "prometheus.yml", contradicts,
		"scrape/pando.yml", gitopsLeafScrape, "rules/leaf/rules.yml", recording("first"),
	)
	args := leafFlags(t, root.grpc, "eu", "eu-1", "--external-label=env=prod",
		"--gitops.git.url="+repo.URL, "--gitops.git.allow-http", "--gitops.root.url="+root.http,
		"--gitops.interval=1s", "--gitops.rollout.interval=1s", "--gitops.rollout.confirm-timeout=5s", "--gitops.patience=2m", "--gitops.state.path="+filepath.Join(dir, "state"),
		"--gitops.deliver.path="+filepath.Join(dir, "config"), "--gitops.web.listen-address="+loopAt)
	p := launch(t, "leaf", pando(t), append(args, "--web.listen-address="+anyPort)...)
	eventually(t, 60*time.Second, func() error {
		if err := mentions([]string{p.log.String()}, "the leaf does not open with revision", `external label env="test" contradicts`); err != nil {
			return fmt.Errorf("the leaf says nothing of its refusal: %w", err)
		}
		return nil
	})
	select {
	case <-p.done:
		t.Fatalf("it ended before there was anything else to begin with: %v\n%s", p.err, p.log)
	default:
	}

	second := repo.Commit("prometheus.yml", fits, "rules/leaf/rules.yml", recording("second"))
	select {
	case <-p.done:
	case <-time.After(60 * time.Second):
		t.Fatalf("a commit that mends it does not help:\n%s", p.log)
	}
	if p.err == nil {
		t.Error("it ended as if all were well: nothing would start it again")
	}
	leaf := tierAt(t, anyPort, "", args...)
	becomes(t, 60*time.Second, root.http, `count(second{cluster="eu-1",env="prod"})`, 1)
	isAt(t, 60*time.Second, root.http, rollouts.Idle, second)

	third := repo.Commit("prometheus.yml", contradicts, "rules/leaf/rules.yml", recording("third"))
	becomes(t, 60*time.Second, root.http, `count(pando_config_rejected_timestamp_seconds{revision="`+third+`"} > 0)`, 1)
	eventually(t, 60*time.Second, func() error {
		r := run(t, pando(t), "rollout", "history", "--server=http://"+loopAt)
		if r.code != 0 || !strings.Contains(r.out, `external label env="test" contradicts`) || !strings.Contains(r.out, third[:12]) {
			return fmt.Errorf("history ends with %d: %s%s", r.code, r.out, r.errOut)
		}
		return nil
	})
	becomes(t, 60*time.Second, root.http, `count(second)`, 1)
	if v, err := vector(root.http, `last_over_time({__name__=~"first|third"}[1h])`); err != nil || len(v) > 0 {
		t.Errorf("rules of a refused revision were evaluated: %v %v", v, err)
	}
	if text, err := page(leaf.http + "/api/v1/status/config"); err != nil || strings.Contains(text, "env: test") {
		t.Errorf("the refused configuration is in effect (%v): %s", err, text)
	}
}
