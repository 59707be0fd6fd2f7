package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"github.com/pandometrics/pando/gitops/rollouts"
)

// work is the work tree of a planet's repository.
type work struct {
	t   *testing.T
	dir string
}

// git runs git in it, with no configuration of the host.
func (w work) git(args ...string) string {
	w.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = w.dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.org", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.org")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		w.t.Fatalf("git %v: %v: %s", args, err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// commit writes a file, commits it, and returns the commit's hash.
func (w work) commit(name, text string) string {
	w.t.Helper()
	file := filepath.Join(w.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
	w.git("add", "-A")
	w.git("commit", "-q", "-m", "change "+name)
	return w.git("rev-parse", "HEAD")
}

// readJSON reads JSON of a process.
func readJSON(base, path string, into any) error {
	text, err := page(base + path)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(text), into)
}

// overview asks the root how far the newest revision is.
func overview(base string) (rollouts.Overview, error) {
	var o rollouts.Overview
	err := readJSON(base, rollouts.Path, &o)
	return o, err
}

// isAt waits until all of the planet is in a state, with a revision as its target.
func isAt(t *testing.T, within time.Duration, base, state, target string) rollouts.Overview {
	t.Helper()
	var o rollouts.Overview
	eventually(t, within, func() (err error) {
		if o, err = overview(base); err == nil && (o.State != state || target != "" && o.Target != target) {
			err = fmt.Errorf("state %s (%s) of %s, want %s of %s", o.State, o.Doing, o.Target, state, target)
		}
		return err
	})
	return o
}

// A planet that is made by pando dev is configured from git: a commit goes from
// wave to wave, one with a mistake is taken by nobody, one whose gate fails is
// taken back, and all the time the planet answers.
func TestProcessDevGit(t *testing.T) {
	processes(t)
	tool(t, "git")
	dir := t.TempDir()
	dev := startDev(t, dir)
	w := work{t, filepath.Join(dir, "planet")}
	if !strings.Contains(dev.out.String(), w.dir) {
		t.Errorf("where the repository is, %s, is not printed", w.dir)
	}
	isAt(t, 60*time.Second, dev.http, rollouts.Idle, w.git("rev-parse", "HEAD"))
	becomes(t, 60*time.Second, dev.http, `count(up{job="pando",tier="leaf"})`, 2)
	begun := time.Now()

	const ruleFile = "groups:\n  - name: mine\n    rules:\n      - {record: %s, expr: count(up)}\n"
	if err := os.WriteFile(filepath.Join(w.dir, "rules", "root", "mine.yml"), []byte("groups:\n  - name: mine\n    rules: [{record: mine:planet, expr: count(up)}]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	first := w.commit("rules/leaf/mine.yml", fmt.Sprintf(ruleFile, "mine:up"))
	becomes(t, 60*time.Second, dev.http, `count(mine:up{cluster="eu-1"})`, 1)
	if v, err := vector(dev.http, `mine:up{cluster="eu-2"}`); err != nil || len(v) > 0 {
		t.Errorf("the second wave has it at the same time: %v %v", v, err)
	}
	eventually(t, 60*time.Second, func() error {
		o, err := overview(dev.http)
		if err == nil && (len(o.Waves) != 2 || o.Waves[0].State != rollouts.Baking || o.Waves[0].Bakes == nil || o.Waves[1].State != rollouts.Waiting) {
			err = fmt.Errorf("waves %+v, want the first to bake", o.Waves)
		}
		return err
	})
	becomes(t, 60*time.Second, dev.http, `count(mine:up)`, 2)
	becomes(t, 60*time.Second, dev.http, `count(mine:planet)`, 1)
	o := isAt(t, 60*time.Second, dev.http, rollouts.Idle, first)
	if g := o.Waves[0].Gates; len(g) != 2 || g[0].Verdict != "holds" || g[0].Value == nil || g[0].At.IsZero() || o.Waves[0].State != rollouts.Done || o.Running[first] != 2 {
		t.Errorf("after the rollout: %+v", o)
	}

	// Nobody takes what is invalid; it is told which file and line.
	broken := w.commit("rules/leaf/mine.yml", "groups: [\n")
	isAt(t, 60*time.Second, dev.http, rollouts.Refused, first)
	// Each loop looks at the repository when it does.
	eventually(t, 60*time.Second, func() error {
		o, err := overview(dev.http)
		if err == nil && (len(o.Refused) != 1 || o.Refused[0].Revision != broken || !strings.Contains(o.Refused[0].Message, "rules/leaf/mine.yml:") || len(o.Refused[0].Clusters) != 2) {
			err = fmt.Errorf("refused %+v, want %s by both", o.Refused, broken)
		}
		return err
	})

	// The first wave takes it, its gate fails, and it is taken back.
	failing := w.commit("rules/leaf/mine.yml", "groups:\n  - name: mine\n    rules: [{record: mine:up, expr: count(up)}, {record: same, expr: sum by (job) (up), labels: {job: all}}]\n")
	o = isAt(t, 90*time.Second, dev.http, rollouts.Rejected, failing)
	if !slices.ContainsFunc(o.Rejected, func(r rollouts.Rejection) bool {
		return r.Revision == failing && r.Cluster == "eu-1" && strings.Contains(r.Why, `gate "rules-evaluate"`)
	}) || o.Running[first] != 2 {
		t.Errorf("rejected %+v, running %v; want eu-1 to reject %s", o.Rejected, o.Running, failing)
	}

	var commits rollouts.Commits
	if err := readJSON(dev.http, rollouts.Path+"/commits", &commits); err != nil {
		t.Fatal(err)
	}
	var states []string
	for _, c := range commits.Commits {
		states = append(states, c.State)
	}
	if want := []string{"rejected", "past", "running", "past"}; !slices.Equal(states, want) {
		t.Errorf("commits are %v, want %v", states, want)
	}
	if c := commits.Commits[0]; c.Author != "Ada <ada@example.org>" || c.Subject != "change rules/leaf/mine.yml" || c.When.IsZero() {
		t.Errorf("the newest commit is %+v", c)
	}
	var diff struct {
		Changes []struct{ Op, Kind, Tier, Title string } `json:"changes"`
	}
	if err := readJSON(dev.http, rollouts.Path+"/diff?"+url.Values{"from": {first}, "to": {failing}}.Encode(), &diff); err != nil {
		t.Fatal(err)
	}
	if len(diff.Changes) != 1 || diff.Changes[0].Op != "+" || diff.Changes[0].Title != "rule same of group mine" {
		t.Errorf("what differs is %+v", diff.Changes)
	}
	steerDev(t, dev)
	noGaps(t, dev.http, begun)

	// It resumes where it was, and needs no git for that.
	dev.stop(syscall.SIGINT, 15*time.Second)
	dev = startDev(t, dir)
	becomes(t, 60*time.Second, dev.http, `count(mine:up)`, 2)
	isAt(t, 60*time.Second, dev.http, rollouts.Rejected, failing)
	dev.stop(syscall.SIGINT, 15*time.Second)
}

// steerDev pauses and resumes all clusters, from the command line and as a page
// does; a page of another site may not.
func steerDev(t *testing.T, dev *process) {
	t.Helper()
	bin := pando(t)
	if r := run(t, bin, "rollout", "pause", "--server="+dev.http, "--why=a fair"); r.code != 0 || strings.Count(r.out, "paused: ") != 2 {
		t.Fatalf("pause ends with %d: %s%s", r.code, r.out, r.errOut)
	}
	isAt(t, 60*time.Second, dev.http, rollouts.Paused, "")
	if r := run(t, bin, "rollout", "status", "--server="+dev.http); r.code != 0 || !strings.Contains(r.out, "paused     by eu-1, eu-2") {
		t.Errorf("status ends with %d: %s%s", r.code, r.out, r.errOut)
	}
	for origin, want := range map[string]int{"http://evil.example.com": http.StatusForbidden, dev.http: http.StatusOK} {
		req, err := http.NewRequest(http.MethodPost, dev.http+rollouts.Path+"/resume", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Origin", origin)
		resp, err := caller.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("a page of %s gets %d, want %d", origin, resp.StatusCode, want)
		}
	}
	if r := run(t, bin, "rollout", "history", "--server="+dev.http, "--cluster=eu-1"); r.code != 0 || !strings.Contains(r.out, "a fair") {
		t.Errorf("history ends with %d: %s%s", r.code, r.out, r.errOut)
	}
}

// noGaps checks that reloads cost no series: at each second both leaves' were
// there.
func noGaps(t *testing.T, base string, since time.Time) {
	t.Helper()
	until := time.Now()
	a, err := call(base, "/api/v1/query_range", url.Values{
		"query": {`count(up{job="pando",tier="leaf"})`}, "start": {seconds(since)}, "end": {seconds(until)}, "step": {"1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	d, err := a.query()
	if err != nil {
		t.Fatal(err)
	}
	var m model.Matrix
	if err := json.Unmarshal(d.Result, &m); err != nil || len(m) != 1 {
		t.Fatalf("series %v, error %v", m, errors.Join(err, errors.New(a.Error)))
	}
	for _, p := range m[0].Values {
		if p.Value != 2 {
			t.Errorf("%v leaves at %s", p.Value, p.Timestamp.Time())
		}
	}
	if want := int(until.Sub(since).Seconds()); len(m[0].Values) < want-2 {
		t.Errorf("%d points of %d seconds", len(m[0].Values), want)
	}
}

// Without git it is what it was: nothing is to be rolled out.
func TestProcessDevWithoutGit(t *testing.T) {
	processes(t)
	dir := t.TempDir()
	dev := startDev(t, dir, "--no-gitops")
	becomes(t, 60*time.Second, dev.http, `count(count by (cluster) (up))`, 2)
	if _, err := os.Stat(filepath.Join(dir, "planet")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a repository: %v", err)
	}
	if o, err := overview(dev.http); err != nil || o.State != rollouts.Unknown {
		t.Errorf("rollouts %+v, error %v", o, err)
	}
	dev.stop(syscall.SIGINT, 15*time.Second)
}
