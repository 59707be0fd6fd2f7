package gitops

import (
	"context"
	"encoding/json"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// textDiffer tells the texts of both revisions.
type textDiffer struct{ asked int }

func (d *textDiffer) Diff(_ context.Context, from, to fs.FS, cluster string) (json.RawMessage, error) {
	d.asked++
	a, err := fs.ReadFile(from, "config")
	if err != nil {
		return nil, err
	}
	b, err := fs.ReadFile(to, "config")
	if err != nil {
		return nil, err
	}
	return json.Marshal([]string{string(a), string(b), cluster})
}

// The loop tells of commits, and of what differs between two, and asks the
// repository no more often than it has to.
func TestArchive(t *testing.T) {
	p := newPlanet(t, "a")
	a := p.loops[0]
	differ := &textDiffer{}
	a.loop.deps.Differ = differ
	one := p.repo.Commit("config", "one")
	two := p.repo.Commit("config", "two")
	p.pass(time.Minute)
	srv := httptest.NewServer(a.loop.Handler(HTTPConfig{}))
	defer srv.Close()
	ask := func(path string, status int, into any) {
		t.Helper()
		resp, err := http.Get(srv.URL + Path + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != status {
			t.Fatalf("%s: status %d, want %d", path, resp.StatusCode, status)
		}
		if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
			t.Fatal(err)
		}
	}
	var c Commits
	ask("/commits", 200, &c)
	before := p.repo.Requests.Load()
	ask("/commits", 200, &c)
	if len(c.Commits) != 2 || c.Commits[0].Revision != two || c.Commits[0].Subject != "change config" || !strings.Contains(c.Commits[0].Author, "Ada") || c.Commits[1].Revision != one || c.Truncated || c.Ref != "refs/heads/main" {
		t.Fatalf("commits %+v, want both", c)
	}
	if n := p.repo.Requests.Load() - before; n != 0 {
		t.Errorf("%d requests for what is known", n)
	}
	three := p.repo.Commit("config", "three")
	p.pass(2 * time.Minute)
	c = Commits{}
	ask("/commits?limit=2", 200, &c)
	if len(c.Commits) != 2 || c.Commits[0].Revision != three || !c.Truncated {
		t.Fatalf("commits %+v, want the two newest of three", c)
	}
	var said Said
	ask("/commits?limit=0", 400, &said)

	for range 2 {
		var d Difference
		ask("/diff?from="+one+"&to="+three+"&cluster=a", 200, &d)
		if string(d.Changes) != `["one","three","a"]` || d.From != one {
			t.Fatalf("difference %+v: %s", d, d.Changes)
		}
	}
	if differ.asked != 1 {
		t.Errorf("compared %d times, want once", differ.asked)
	}
	p.repo.Git("reset", "-q", "--hard", one)
	p.repo.Commit("config", "other")
	ask("/diff?from="+two+"&to="+one, 422, &said)
	if !strings.Contains(said.Error, "not in the history") {
		t.Errorf("a revision that is gone: %q", said.Error)
	}
	var s Status
	ask("?brief=1", 200, &s)
	if s.Running == "" || s.Waves != nil || s.History != nil {
		t.Errorf("brief status %+v", s)
	}
}
