package treehttp

import (
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
)

// A stock promtool works against a tier.
func TestPromtool(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatalf("%v; install it with make test-deps", err)
	}
	for name, cfg := range map[string]Config{"leaf": leafLike(t), "zone": zoneLike(t)} {
		srv := httptest.NewServer(build(t, cfg))
		defer srv.Close()
		for _, c := range []struct {
			args string
			want string
		}{
			{"query instant SERVER sum(up@3600)", `{} => 2 @[`},
			{"query range --start=0 --end=60 --step=1m SERVER sum(up)", "{} =>\n2 @[0]\n2 @[60]"},
			{"query series --match=requests --start=0 --end=3600 SERVER", `{__name__="requests", zone="eu"}`},
			{"query labels --start=0 --end=3600 SERVER zone", "eu\nus"},
		} {
			args := strings.Fields(strings.ReplaceAll(c.args, "SERVER", srv.URL))
			out, err := exec.Command(promtool, args...).CombinedOutput()
			if err != nil || !strings.Contains(string(out), c.want) {
				t.Errorf("%s: promtool %s: %v\n%s", name, c.args, err, out)
			}
		}
	}
}
