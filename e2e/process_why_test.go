package e2e_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// pando why tells who was asked and who was not, an audit finds no difference,
// and the query log has a line for each query.
func TestProcessWhyCommand(t *testing.T) {
	processes(t)
	log := filepath.Join(t.TempDir(), "queries.log")
	zone := startZone(t, freeAddress(t), "--zone=eu", "--query.log-file="+log)
	one := startLeaf(t, zone.grpc, "eu", "eu-1")
	two := startLeaf(t, zone.grpc, "eu", "eu-2")
	awaitLeaves(t, zone, 2)
	write(t, one, pt(1, "__name__", "up", "job", "api"))
	write(t, two, pt(1, "__name__", "up", "job", "web"))
	becomes(t, 60*time.Second, zone.http, "count(up)", 2)
	why := func(args ...string) ran {
		t.Helper()
		return run(t, pando(t), append([]string{"why", "--server", zone.http}, args...)...)
	}
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"sum(up)"}, []string{"fragment 0, fold sum: sum(up)", "asks leaf zone=eu,cluster=eu-1", "asks leaf zone=eu,cluster=eu-2"}},
		{[]string{"--analyze", `sum(up{cluster="eu-2"})`}, []string{"critical path:", `prunes 1 child by identity label: cluster="eu-2"`}},
		{[]string{"--not", "eu-1", `sum(up{cluster="eu-2"})`}, []string{`did not ask leaf zone=eu,cluster=eu-1, by identity label: cluster="eu-2"`}},
		{[]string{"--not", "eu-2", "sum(up)"}, []string{"asks it", "up: it has 1 series for it"}},
		{[]string{"--audit", "--at", seconds(time.Now()), "sum by (job) (up)"}, []string{"without any of them  the same"}},
		{[]string{"-o", "dot", "sum(up)"}, []string{"digraph query {"}},
	} {
		r := why(c.args...)
		if err := mentions([]string{r.out}, c.want...); r.code != 0 || err != nil {
			t.Errorf("%q: exit code %d, %v\n%s%s", c.args, r.code, err, r.out, r.errOut)
		}
	}
	// A hint prunes as soon as it is complete.
	eventually(t, 60*time.Second, func() error {
		r := why("--analyze", `count(up{job="web"})`)
		return mentions([]string{r.out}, "prunes 1 child by field hint: ", `job="web"`)
	})
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var row struct{ ID, Query, State, Client string }
		if err := json.Unmarshal([]byte(line), &row); err != nil || row.ID == "" || row.Query == "" || row.State == "" || row.Client != "address 127.0.0.1" {
			t.Errorf("query log: %v %q", err, line)
		}
	}
	if n := strings.Count(string(b), "sum by (job) (up)"); n != 6 {
		t.Errorf("the audit's query is in the log %d times, want 6", n)
	}
}
