package e2e_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql/promqltest"
)

// A port that is taken is told with the flag that names it.
func TestProcessTakenPort(t *testing.T) {
	processes(t)
	lis, err := net.Listen("tcp", anyPort)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lis.Close() })
	taken, bin, dir := lis.Addr().String(), pando(t), t.TempDir()
	for flag, args := range map[string][]string{
		"--web.listen-address":          {"leaf", "--zone=eu", "--cluster=eu-1", "--storage.tsdb.path=" + dir, "--web.listen-address=" + taken},
		"--web.listen-address=" + taken: {"zone", "--zone=eu", "--storage.path=" + dir, "--web.listen-address=" + taken, "--grpc.listen-address=" + anyPort},
		"--grpc.listen-address":         {"root", "--storage.path=" + dir, "--web.listen-address=" + anyPort, "--grpc.listen-address=" + taken},
	} {
		r := run(t, bin, args...)
		if r.code == 0 {
			t.Errorf("%q: exit code 0", args)
		}
		if err := mentions([]string{r.errOut}, flag, taken, "address already in use"); err != nil {
			t.Errorf("%q: %v", args, err)
		}
	}
	for _, args := range [][]string{
		{"leaf", "--web.listen-address=" + anyPort, "--storage.tsdb.path=" + dir}, // no identity
		{"leaf", "--zone=eu", "--cluster=eu-1", "--parent=nowhere", "--storage.tsdb.path=" + dir, "--web.listen-address=" + anyPort},
		{"zone", "--nonsense"},
		{"query"},
		{"nonsense"},
	} {
		if r := run(t, bin, args...); r.code == 0 || !strings.Contains(r.errOut, "pando: ") {
			t.Errorf("%q: exit code %d, %q", args, r.code, r.errOut)
		}
	}
}

const (
	goodConfig = "scrape_configs: [{job_name: a, static_configs: [{targets: ['127.0.0.1:1']}]}]\n"
	badConfig  = "scrape_configs: [{job_name: a, scrape_interval: never}]\n"
)

// pando check config says what a leaf would.
func TestProcessCheckConfig(t *testing.T) {
	processes(t)
	if r := run(t, pando(t), "check", "config", writeFile(t, "good.yml", goodConfig)); r.code != 0 || !strings.Contains(r.out, "1 scrape config") {
		t.Errorf("a good file: exit code %d, %s%s", r.code, r.out, r.errOut)
	}
	rules := writeFile(t, "rules.yml", "groups: [{name: g, rules: [{record: a, expr: 'sum('}]}]\n")
	for name, text := range map[string]string{
		"interval": badConfig, "unknown field": "nonsense: 1\n", "no yaml": "\t{",
		"bad rule": fmt.Sprintf("rule_files: [%q]\n", rules),
	} {
		file := writeFile(t, "bad.yml", text)
		r := run(t, pando(t), "check", "config", file)
		if r.code != 1 || !strings.Contains(r.errOut, file) {
			t.Errorf("%s: exit code %d, %s%s", name, r.code, r.out, r.errOut)
		}
	}
	if r := run(t, pando(t), "check", "config", "/nonexistent.yml"); r.code == 0 {
		t.Error("a missing file is good")
	}
}

// A configuration file is reloaded upon SIGHUP and by HTTP; a bad one changes
// nothing and is told.
func TestProcessReload(t *testing.T) {
	processes(t)
	file := writeFile(t, "prometheus.yml", goodConfig)
	leaf := startLeaf(t, freeAddress(t), "eu", "eu-1", "--config.file="+file)
	set := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// inForce waits until the leaf's configuration has all words.
	inForce := func(words ...string) {
		t.Helper()
		eventually(t, 60*time.Second, func() error {
			a, err := call(leaf.http, "/api/v1/status/config", nil)
			if err != nil {
				return err
			}
			return mentions([]string{string(a.Data)}, words...)
		})
	}
	reload := func() (int, string) {
		t.Helper()
		res, err := caller.Post(leaf.http+"/-/reload", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var b strings.Builder
		_ = res.Write(&b)
		return res.StatusCode, b.String()
	}
	inForce("job_name: a")
	set(strings.Replace(goodConfig, "job_name: a", "job_name: b", 1))
	if err := leaf.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	inForce("job_name: b")
	set(badConfig)
	if err := leaf.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, 60*time.Second, func() error {
		return mentions([]string{leaf.log.String()}, "not reloaded", "never")
	})
	inForce("job_name: b")
	if code, text := reload(); code/100 == 2 || mentions([]string{text}, "never") != nil {
		t.Errorf("reload of a bad file: %d %s", code, text)
	}
	inForce("job_name: b")
	set(strings.Replace(goodConfig, "job_name: a", "job_name: c", 1))
	if code, text := reload(); code != http.StatusOK {
		t.Errorf("reload of a good file: %d %s", code, text)
	}
	inForce("job_name: c")
}

// pando query writes answers in all formats, and its exit code tells whole,
// partial and failed apart.
func TestProcessQueryCommand(t *testing.T) {
	processes(t)
	root := startRoot(t)
	zone := startZone(t, root.grpc, "--zone=eu")
	var leaves []*process
	now := time.Now()
	for i, cluster := range []string{"eu-1", "eu-2"} {
		l := startLeaf(t, zone.grpc, "eu", cluster)
		write(t, l, pt(float64(i+1), "__name__", "steady", "quote", `a"b,c`))
		leaves = append(leaves, l)
	}
	becomes(t, 60*time.Second, root.http, `sum(steady)`, 3)
	query := func(code int, args ...string) ran {
		t.Helper()
		r := run(t, pando(t), append([]string{"query", "--server", root.http}, args...)...)
		if r.code != code {
			t.Errorf("pando query %q: exit code %d, want %d\n%s%s", args, r.code, code, r.out, r.errOut)
		}
		return r
	}
	if r := query(0, "-o", "json", "steady"); !json.Valid([]byte(r.out)) || !strings.Contains(r.out, `"eu-2"`) {
		t.Errorf("json: %s", r.out)
	}
	if r := query(0, "-o", "csv", "steady"); len(strings.Split(strings.TrimSpace(r.out), "\n")) != 3 || !strings.Contains(r.out, `"a""b,c"`) {
		t.Errorf("csv: %s", r.out)
	}
	if r := query(0, "steady"); mentions([]string{r.out}, "CLUSTER", "eu-1", "eu-2", `a"b,c`) != nil {
		t.Errorf("table: %s", r.out)
	}
	loads(t, query(0, "-o", "promql", "--start", seconds(now.Add(-30*time.Second)), "--end", seconds(now.Add(30*time.Second)), "--step", "5s", "steady").out)
	if r := query(0, "-o", "promql", "steady"); !strings.Contains(r.out, `steady{`) {
		t.Errorf("promql: %s", r.out)
	}
	if r := query(0, "--stats", "steady"); mentions([]string{r.errOut}, "zone=eu,cluster=eu-1") != nil {
		t.Errorf("stats: %s", r.errOut)
	}
	query(1, "steady +")
	if r := run(t, pando(t), "query", "--server", "http://"+freeAddress(t), "1"); r.code != 1 || !strings.Contains(r.errOut, "connection refused") {
		t.Errorf("no server: exit code %d, %s", r.code, r.errOut)
	}
	if r := run(t, pando(t), "tree", "--server", root.http); r.code != 0 || mentions([]string{r.out}, "zone=eu", "eu-1", "eu-2") != nil {
		t.Errorf("tree: exit code %d, %s%s", r.code, r.out, r.errOut)
	}

	leaves[1].kill()
	eventually(t, 60*time.Second, func() error {
		r := run(t, pando(t), "query", "--server", root.http, "steady")
		if r.code != 3 {
			return fmt.Errorf("exit code %d", r.code)
		}
		return mentions([]string{r.errOut + r.out}, "warning", "zone=eu,cluster=eu-2", "eu-1")
	})
	query(1, "--strict", "steady")
	query(3, "--partial", "steady")
	query(0, `steady{cluster="eu-1"}`) // it is whole without the other leaf
}

// loads checks that Prometheus' own tests can load a block of samples.
func loads(t *testing.T, block string) {
	t.Helper()
	if !strings.HasPrefix(block, "load ") {
		t.Errorf("not a load block: %s", block)
		return
	}
	promqltest.LoadedStorage(t, block).Close()
}

// The completion script is one that the shell accepts.
func TestProcessCompletion(t *testing.T) {
	processes(t)
	r := run(t, pando(t), "completion", "bash")
	if r.code != 0 || !strings.Contains(r.out, "complete ") {
		t.Fatalf("exit code %d: %s%s", r.code, r.out, r.errOut)
	}
	if b := run(t, tool(t, "bash"), "-n", writeFile(t, "completion.bash", r.out)); b.code != 0 || b.errOut != "" {
		t.Errorf("bash -n: exit code %d, %s", b.code, b.errOut)
	}
}
