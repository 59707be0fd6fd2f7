package e2e_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/treehttp"
)

// scraping is a leaf's configuration: a target that is the leaf itself, a rule, and
// something secret.
const scraping = `
global: {scrape_interval: 1s}
rule_files: [rules.yml]
scrape_configs:
  - job_name: itself
    basic_auth: {username: user, password: very-secret}
    static_configs: [{targets: ["127.0.0.1:1"]}]
`

// served is what an endpoint answers.
type served struct {
	code   int
	header http.Header
	body   string
}

// get asks an endpoint, for a compressed answer if that is said.
func get(t *testing.T, url, encoding string) served {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if encoding != "" {
		req.Header.Set("Accept-Encoding", encoding)
	}
	res, err := caller.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 32<<20))
	if err != nil {
		t.Fatal(err)
	}
	return served{res.StatusCode, res.Header, string(body)}
}

// below is the URL of a path of a member, asked at a tier.
func below(tier *process, member, path string) string {
	path, query, _ := strings.Cut(path, "?")
	return tier.http + "/pando/api/v1/below" + path + "?member=" + url.QueryEscape(member) + "&" + query
}

// refusal is why there is no answer of a member.
func refusal(t *testing.T, r served) (kind string, data treehttp.BelowFailure) {
	t.Helper()
	a := struct {
		ErrorType, Error string
		Data             *treehttp.BelowFailure
	}{Data: &data}
	if err := json.Unmarshal([]byte(r.body), &a); err != nil || a.Error == "" {
		t.Errorf("%d %.300q: %v", r.code, r.body, err)
	}
	if m := r.header.Get(treehttp.MemberHeader); m != "" {
		t.Errorf("%s is said to be the answer of %s", r.body, m)
	}
	return a.ErrorType, data
}

// The status of any member is read at the root, as at the member's own address,
// through tiers that it dialled itself; and if it cannot be, it is said why.
func TestProcessBelow(t *testing.T) {
	processes(t)
	root := startRoot(t)
	zone := startZone(t, root.grpc, "--zone=eu", "--config.file="+tierConfig(t, "zone", ""))
	config := tierConfig(t, "leaf", "")
	if err := os.WriteFile(config, []byte(scraping), 0o600); err != nil {
		t.Fatal(err)
	}
	a := startLeaf(t, zone.grpc, "eu", "a", "--config.file="+config)
	startLeaf(t, zone.grpc, "eu", "b", "--no-web.status-to-parents")
	awaitLeaves(t, root, 2)
	write(t, a, pt(1, "__name__", "x"))
	eventually(t, 60*time.Second, func() error { // it has discovered its target, and told of its sample
		tree, err := treeOf(root.http)
		if err != nil || len(tree.Children) != 1 || len(tree.Children[0].Children) != 2 || tree.Children[0].Children[0].Maxt.IsZero() {
			return errors.Join(fmt.Errorf("no sample yet: %+v", tree), err)
		}
		if r := get(t, a.http+"/api/v1/targets?state=active", ""); !strings.Contains(r.body, "itself") {
			return errors.New(r.body)
		}
		return nil
	})
	const nameA, nameB = "zone=eu,cluster=a", "zone=eu,cluster=b"

	t.Run("as it is", func(t *testing.T) {
		for _, path := range append(querytree.StatusPaths(), "/api/v1/targets?state=active&scrapePool=itself", "/api/v1/rules?type=record", "/api/v1/metadata?limit=x") {
			path = strings.Replace(path, "<id>", "none", 1)
			for _, m := range []struct {
				name string
				at   *process
			}{{nameA, a}, {"zone=eu", zone}, {"root", root}} {
				direct, through := get(t, m.at.http+path, "identity"), get(t, below(root, m.name, path), "identity")
				if direct.code != through.code || direct.header.Get("Content-Type") != through.header.Get("Content-Type") || through.header.Get(treehttp.MemberHeader) != m.name {
					t.Errorf("%s of %s: %d %v %.300s, directly %d %v", path, m.name, through.code, through.header, through.body, direct.code, direct.header)
				}
				if !json.Valid([]byte(through.body)) || strings.Contains(through.body, "very-secret") {
					t.Errorf("%s of %s: %.2000s", path, m.name, through.body)
				}
				if unchanging(path) && direct.body != through.body {
					t.Errorf("%s of %s: %.1000s\ndirectly: %.1000s", path, m.name, through.body, direct.body)
				}
			}
		}
		for path, want := range map[string]string{
			"/api/v1/targets": `"scrapePool":"itself"`, "/api/v1/status/config": "job_name: itself", "/api/v1/rules": `"name":"leaf:twice"`,
			"/api/v1/status/flags": `"web.status-to-parents":"true"`, "/api/v1/status/tsdb": `"headStats"`, "/pando/api/v1/config": `"revision":"abc123"`,
		} {
			if got := get(t, below(root, nameA, path), ""); got.code != 200 || !strings.Contains(got.body, want) {
				t.Errorf("%s: %d %s", path, got.code, got.body)
			}
		}
	})

	t.Run("compressed", func(t *testing.T) {
		r := get(t, below(root, nameA, "/api/v1/status/config"), "gzip")
		z, err := gzip.NewReader(bytes.NewReader([]byte(r.body)))
		if err != nil || r.header.Get("Content-Encoding") != "gzip" {
			t.Fatal(err, r.header)
		}
		plain, err := io.ReadAll(z)
		if err != nil || string(plain) != get(t, a.http+"/api/v1/status/config", "identity").body {
			t.Errorf("%s %v", plain, err)
		}
	})

	t.Run("refused and unknown", func(t *testing.T) {
		for _, tc := range []struct {
			member, path string
			code         int
			kind, about  string
		}{
			{nameB, "/api/v1/targets", 403, "member_refuses", nameB},
			{"zone=eu,cluster=c", "/api/v1/targets", 404, "member_unknown", "zone=eu,cluster=c"},
			{"zone=us,cluster=a", "/api/v1/targets", 404, "member_unknown", "zone=us,cluster=a"},
			{nameA, "/api/v1/query?query=up", 404, "path_not_allowed", nameA},
			{nameA, "/-/reload", 404, "path_not_allowed", nameA},
		} {
			r := get(t, below(root, tc.member, tc.path), "")
			if kind, data := refusal(t, r); r.code != tc.code || kind != tc.kind || data.Member != tc.about || data.At == "" {
				t.Errorf("%s of %s: %d %s", tc.path, tc.member, r.code, r.body)
			}
		}
		_, data := refusal(t, get(t, below(root, "zone=eu,cluster=c", "/api/v1/targets"), ""))
		if err := mentions(data.Near, nameA, nameB); err != nil {
			t.Error(err)
		}
	})

	t.Run("tree", func(t *testing.T) {
		tree, err := treeOf(root.http)
		if err != nil {
			t.Fatal(err)
		}
		z := tree.Children[0]
		got := fmt.Sprint(tree.Self.Readable, z.Readable, z.Revision, z.Children[0].Readable, z.Children[0].Revision, z.Children[1].Readable, z.Children[1].Unreadable)
		if want := fmt.Sprint(true, true, "abc123", true, "abc123", false, "refused"); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if age := tree.At.Sub(z.Children[0].Maxt); age > time.Minute || age < -time.Minute {
			t.Errorf("answered at %v, newest sample %v", tree.At, z.Children[0].Maxt)
		}
	})

	// A leaf that stands still costs its own request; once it is gone, that is said.
	if err := a.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	r := get(t, below(root, nameA, "/api/v1/targets"), "")
	if kind, data := refusal(t, r); r.code != http.StatusGatewayTimeout || kind != "member_slow" || data.Member != nameA {
		t.Errorf("%d %s", r.code, r.body)
	}
	a.kill()
	eventually(t, 60*time.Second, func() error {
		if r := get(t, below(root, nameA, "/api/v1/targets"), ""); r.code == http.StatusServiceUnavailable {
			if kind, data := refusal(t, r); kind != "member_missing" || data.Member != nameA || data.At != "zone=eu" || time.Since(data.Since) > time.Minute {
				t.Errorf("%s", r.body)
			}
			return nil
		}
		return errors.New("it is not missed yet")
	})
}

// unchanging reports whether two answers of a path, one after the other, are the same.
func unchanging(path string) bool {
	for _, p := range []string{"/config", "/flags", "/buildinfo", "/scrape_pools", "/metadata?", "/alertmanagers", "/walreplay", "/relabel_steps", "/queries/none"} {
		if strings.Contains(path, p) && !strings.HasPrefix(path, "/pando/api/v1/config") {
			return true
		}
	}
	return false
}
