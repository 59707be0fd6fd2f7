package source_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/pandometrics/pando/gitops/gittest"
	"github.com/pandometrics/pando/gitops/source"
)

// follow returns a source of a repository's branch main.
func follow(t *testing.T, r *gittest.Repo, change ...func(*source.Config)) *source.Source {
	t.Helper()
	c := source.Config{URL: r.URL, Branch: "main", AllowHTTP: true}
	for _, f := range change {
		f(&c)
	}
	s, err := source.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func fetch(t *testing.T, s *source.Source, w source.Want) *source.Revision {
	t.Helper()
	rev, err := s.Fetch(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	return rev
}

// refused checks that an error has a reason, and says a text.
func refused(t *testing.T, err error, reason source.Reason, text string) {
	t.Helper()
	var e *source.Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v, want one for reason %s", err, reason)
	}
	if e.Reason != reason || !strings.Contains(err.Error(), text) {
		t.Fatalf("error of reason %s: %v; want reason %s and text %q", e.Reason, err, reason, text)
	}
}

func TestFetch(t *testing.T) {
	r := gittest.New(t)
	first := r.Commit("planet.yaml", "clusters: []\n", "rules/a/b.yml", "groups: []\n")
	s := follow(t, r)
	rev := fetch(t, s, source.Want{})
	if rev.Hash != first || rev.Ref != "refs/heads/main" || !strings.Contains(rev.Author, "ada@example.org") || rev.Size != 24 {
		t.Fatalf("revision %+v, want %s of main by Ada with 24 bytes", rev, first)
	}
	if err := fstest.TestFS(rev.Files, "planet.yaml", "rules/a/b.yml"); err != nil {
		t.Fatal(err)
	}
	before := r.Requests.Load()
	if _, err := s.Fetch(t.Context(), source.Want{Seen: first}); !errors.Is(err, source.ErrUnchanged) {
		t.Fatalf("error %v, want ErrUnchanged", err)
	}
	if n := r.Requests.Load() - before; n != 1 {
		t.Fatalf("%d requests to learn that nothing changed, want 1", n)
	}
}

// Files cannot be changed through the slice that is handed out.
func TestFilesAreReadOnly(t *testing.T) {
	r := gittest.New(t)
	r.Commit("a", "whole")
	rev := fetch(t, follow(t, r), source.Want{})
	data, err := fs.ReadFile(rev.Files, "a")
	if err != nil {
		t.Fatal(err)
	}
	data[0] = 'X'
	if again, _ := fs.ReadFile(rev.Files, "a"); string(again) != "whole" {
		t.Fatalf("file is %q after a reader wrote to its copy", again)
	}
}

func TestTagsAndVersions(t *testing.T) {
	r := gittest.New(t)
	hashes := map[string]string{}
	for _, v := range []string{"v1.0.0", "v1.2.0", "v1.10.0", "v2.0.0", "latest"} {
		hashes[v] = r.Commit("version", v)
		r.Git("tag", "-a", "-m", "release", v)
	}
	r.Git("push", "-q", "--tags", "origin")
	for ref, want := range map[string]string{"": "v1.2.0", "^1": "v1.10.0", ">=1": "v2.0.0", "~1.2": "v1.2.0"} {
		s := follow(t, r, func(c *source.Config) {
			c.Branch, c.Semver = "", ref
			if ref == "" {
				c.Tag = "v1.2.0"
			}
		})
		if rev := fetch(t, s, source.Want{}); rev.Hash != hashes[want] || rev.Ref != "refs/tags/"+want {
			t.Errorf("%q: got %s (%s), want %s", ref, rev.Ref, rev.Hash, want)
		}
	}
	s := follow(t, r, func(c *source.Config) { c.Branch, c.Semver = "", ">3" })
	_, err := s.Fetch(t.Context(), source.Want{})
	refused(t, err, source.ReasonNotFound, "no tag in the range")
}

// The newest must descend from what was applied last, over any distance and
// through merges; a rewound or replaced branch is refused.
func TestNeverBack(t *testing.T) {
	for _, filter := range []string{"false", "true"} {
		t.Run("filter="+filter, func(t *testing.T) {
			r := gittest.New(t)
			r.Bare(nil, "config", "uploadpack.allowFilter", filter)
			first := r.Commit("n", "0")
			r.Git("branch", "side")
			for i := range 30 {
				r.Commit("n", fmt.Sprint(i+1))
			}
			applied := r.Git("rev-parse", "HEAD~10")
			r.Git("checkout", "-q", "side")
			r.Write("side", "s")
			r.Git("add", "-A")
			r.Git("commit", "-q", "-m", "side")
			stranger := r.Git("rev-parse", "HEAD")
			r.Git("checkout", "-q", "main")
			r.Git("merge", "-q", "-m", "merge", "side")
			tip := r.Push()
			s := follow(t, r)
			for _, base := range []string{first, applied, stranger, tip, r.Git("rev-parse", "HEAD~1")} {
				if rev := fetch(t, s, source.Want{Base: base}); rev.Hash != tip {
					t.Fatalf("got %s, want %s", rev.Hash, tip)
				}
			}
			r.Git("reset", "-q", "--hard", applied)
			r.Push()
			_, err := s.Fetch(t.Context(), source.Want{Base: tip})
			refused(t, err, source.ReasonRewound, "does not descend")
			// A history of its own, though with the same files.
			r.CommitTree(r.Git("rev-parse", tip+"^{tree}"))
			_, err = s.Fetch(t.Context(), source.Want{Base: applied})
			refused(t, err, source.ReasonRewound, "does not descend")
			// A base that the server never saw.
			_, err = s.Fetch(t.Context(), source.Want{Base: strings.Repeat("ab", 20)})
			refused(t, err, source.ReasonRewound, "does not descend")
		})
	}
}

// A revision of the past can be had by its hash, if it is in the history.
func TestAt(t *testing.T) {
	r := gittest.New(t)
	old := r.Commit("n", "0")
	for i := range 20 {
		r.Commit("n", fmt.Sprint(i+1))
	}
	s := follow(t, r)
	rev, err := s.At(t.Context(), old, "")
	if err != nil {
		t.Fatal(err)
	}
	if data, _ := fs.ReadFile(rev.Files, "n"); string(data) != "0" || rev.Hash != old {
		t.Fatalf("got %q of %s, want 0 of %s", data, rev.Hash, old)
	}
	next := r.Git("rev-parse", "HEAD~3")
	if _, err := s.At(t.Context(), next, old); err != nil {
		t.Fatal(err)
	}
	_, err = s.At(t.Context(), old, next)
	refused(t, err, source.ReasonRewound, "does not descend")
	r.Git("checkout", "-q", "--orphan", "other")
	r.Write("n", "evil")
	r.Git("add", "-A")
	r.Git("commit", "-q", "-m", "other")
	r.Git("push", "-q", "origin", "other")
	_, err = s.At(t.Context(), r.Git("rev-parse", "HEAD"), "")
	refused(t, err, source.ReasonRewound, "not in the history")
	_, err = s.At(t.Context(), "main", "")
	refused(t, err, source.ReasonNotFound, "not the full hash")
}

// Trees that could lead out of a folder, or run something, are refused.
func TestRefusedTrees(t *testing.T) {
	r := gittest.New(t)
	r.Commit("n", "0")
	file := r.Blob("x")
	inner := r.Tree(gittest.Entry{Mode: "100644", Name: "f", Hash: file})
	for _, c := range []struct {
		name string
		tree []gittest.Entry
		says string
	}{
		{"symlink", []gittest.Entry{{Mode: "120000", Name: "l", Hash: r.Blob("/etc/passwd")}}, "symbolic link"},
		{"submodule", []gittest.Entry{{Mode: "160000", Name: "m", Hash: r.Git("rev-parse", "HEAD")}}, "submodule"},
		{"odd mode", []gittest.Entry{{Mode: "100666", Name: "f", Hash: file}}, "mode 100666"},
		{"dots", []gittest.Entry{{Mode: "40000", Name: "..", Hash: inner}}, "not a name"},
		{"dot", []gittest.Entry{{Mode: "40000", Name: ".", Hash: inner}}, "not a name"},
		{"path", []gittest.Entry{{Mode: "100644", Name: "../../etc/passwd", Hash: file}}, "slash"},
		{"absolute", []gittest.Entry{{Mode: "100644", Name: "/etc/passwd", Hash: file}}, "slash"},
		{"backslash", []gittest.Entry{{Mode: "100644", Name: `..\x`, Hash: file}}, "slash"},
		{"git", []gittest.Entry{{Mode: "40000", Name: ".GIT", Hash: inner}}, "git's own"},
		{"ignored characters", []gittest.Entry{{Mode: "40000", Name: ".g\u200cit", Hash: inner}}, "cannot be seen"},
		{"newline", []gittest.Entry{{Mode: "100644", Name: "a\nb", Hash: file}}, "cannot be seen"},
		{"not utf-8", []gittest.Entry{{Mode: "100644", Name: "a\xff", Hash: file}}, "UTF-8"},
		{"dot at the end", []gittest.Entry{{Mode: "100644", Name: "a.", Hash: file}}, "ends in"},
		{"case", []gittest.Entry{{Mode: "100644", Name: "A", Hash: file}, {Mode: "100644", Name: "a", Hash: file}}, "one name"},
		{"unicode", []gittest.Entry{{Mode: "100644", Name: "\u00e9", Hash: file}, {Mode: "100644", Name: "e\u0301", Hash: file}}, "one name"},
		{"twice", []gittest.Entry{{Mode: "100644", Name: "a", Hash: file}, {Mode: "40000", Name: "a", Hash: inner}}, "one name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			hash := r.CommitTree(r.Tree(c.tree...))
			_, err := follow(t, r).Fetch(t.Context(), source.Want{})
			refused(t, err, source.ReasonTree, c.says)
			var e *source.Error
			if errors.As(err, &e); e.Revision != hash || !e.Stalled() {
				t.Fatalf("error names revision %q, stalled %v; want %q, true", e.Revision, e.Stalled(), hash)
			}
		})
	}
}

// No limit can be exceeded, whatever form the excess takes.
func TestLimits(t *testing.T) {
	r := gittest.New(t)
	small := source.Limits{Download: 64 << 10, Total: 1 << 20, File: 100 << 10, Files: 50, Depth: 3}
	s := follow(t, r, func(c *source.Config) { c.Limits = small })
	file := r.Blob("x")
	leaf := r.Tree(gittest.Entry{Mode: "100644", Name: "f", Hash: file})
	deep := leaf
	for range 5 {
		deep = r.Tree(gittest.Entry{Mode: "40000", Name: "d", Hash: deep})
	}
	// 30 folders of the one folder of 30 files: few objects, many paths.
	var many, forest []gittest.Entry
	for i := range 30 {
		many = append(many, gittest.Entry{Mode: "100644", Name: fmt.Sprintf("f%02d", i), Hash: file})
	}
	shared := r.Tree(many...)
	for i := range 30 {
		forest = append(forest, gittest.Entry{Mode: "40000", Name: fmt.Sprintf("d%02d", i), Hash: shared})
	}
	random := make([]byte, 90<<10) // does not compress
	for i := range random {
		random[i] = byte((i * 2654435761) >> 13)
	}
	for _, c := range []struct {
		name, tree, says string
	}{
		{"one file", r.Tree(gittest.Entry{Mode: "100644", Name: "f", Hash: r.Blob(strings.Repeat("0", 200<<10))}), "more than the limit"},
		{"deep", deep, "nested deeper"},
		{"forest", r.Tree(forest...), "more than 50 files"},
		{"total", r.Tree(func() (out []gittest.Entry) {
			for i := range 20 {
				out = append(out, gittest.Entry{Mode: "100644", Name: fmt.Sprintf("f%02d", i), Hash: r.Blob(fmt.Sprint(i) + strings.Repeat(fmt.Sprint(i), 45<<10))})
			}
			return out
		}()...), "more than 1048576 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r.CommitTree(c.tree)
			_, err := s.Fetch(t.Context(), source.Want{})
			refused(t, err, source.ReasonTooLarge, c.says)
		})
	}
	t.Run("download", func(t *testing.T) {
		r.Answer(func(next http.Handler, w http.ResponseWriter, q *http.Request) {
			if q.Method == http.MethodGet {
				next.ServeHTTP(w, q)
				return
			}
			w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
			_, _ = w.Write([]byte("0008NAK\n"))
			frame := append([]byte("fff0\x01"), make([]byte, 0xfff0-5)...)
			for q.Context().Err() == nil {
				if _, err := w.Write(frame); err != nil {
					return
				}
			}
		})
		defer r.Answer(nil)
		_, err := s.Fetch(t.Context(), source.Want{})
		refused(t, err, source.ReasonTooLarge, "pack is larger")
	})
}

// A repository of 100 MB is refused by what its pack says, not by what it costs.
func TestHundredMegabytes(t *testing.T) {
	r := gittest.New(t)
	r.Write("zeros", strings.Repeat("0", 100<<20)) // 100 kB on the wire
	r.Commit()
	_, err := follow(t, r).Fetch(t.Context(), source.Want{})
	refused(t, err, source.ReasonTooLarge, "more than 67108864 bytes")
}

func TestUnreachable(t *testing.T) {
	r := gittest.New(t)
	r.Commit("a", "a")
	s := follow(t, r)
	answer := func(status int) {
		r.Answer(func(_ http.Handler, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
	}
	for status, reason := range map[int]source.Reason{
		500: source.ReasonServer, 503: source.ReasonServer, 429: source.ReasonServer, 404: source.ReasonNotFound,
		401: source.ReasonDenied, 403: source.ReasonDenied, 418: source.ReasonProtocol, 200: source.ReasonProtocol,
	} {
		answer(status)
		_, err := s.Fetch(t.Context(), source.Want{})
		refused(t, err, reason, "")
		var e *source.Error
		errors.As(err, &e)
		if want := status == 401 || status == 403 || status == 418 || status == 200; e.Stalled() != want {
			t.Errorf("HTTP status %d: stalled %v, want %v", status, e.Stalled(), want)
		}
	}
	r.Answer(func(_ http.Handler, _ http.ResponseWriter, q *http.Request) { <-q.Context().Done() })
	hasty := follow(t, r, func(c *source.Config) { c.Limits.Timeout = 300 * time.Millisecond })
	_, err := hasty.Fetch(t.Context(), source.Want{})
	refused(t, err, source.ReasonTimeout, "longer than 300ms")
	r.Answer(func(_ http.Handler, _ http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) })
	_, err = s.Fetch(t.Context(), source.Want{})
	refused(t, err, source.ReasonUnreachable, "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.Fetch(ctx, source.Want{})
	refused(t, err, source.ReasonUnreachable, "canceled")
}

// An answer that ends in its middle is no revision.
func TestTruncated(t *testing.T) {
	r := gittest.New(t)
	r.Commit("a", strings.Repeat("abc", 1000))
	for n := 1; n < 400; n += 23 {
		r.Answer(func(next http.Handler, w http.ResponseWriter, q *http.Request) {
			rec := httptest.NewRecorder()
			next.ServeHTTP(rec, q)
			w.Header().Set("Content-Type", rec.Header().Get("Content-Type"))
			body := rec.Body.Bytes()
			if q.Method == http.MethodPost {
				body = body[:min(n, len(body)-1)]
			}
			_, _ = w.Write(body)
		})
		if rev, err := follow(t, r).Fetch(t.Context(), source.Want{}); err == nil {
			t.Fatalf("cut to %d bytes it gives revision %v", n, rev)
		}
	}
}

func secret(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// Credentials go to the host of the URL and nowhere else, and are in no error.
func TestCredentials(t *testing.T) {
	r := gittest.New(t)
	r.Commit("a", "a")
	const password = "hunter2-very-secret"
	s := follow(t, r, func(c *source.Config) {
		c.UsernameFile, c.PasswordFile = secret(t, "ada\n"), secret(t, password+"\n")
	})
	r.Answer(func(next http.Handler, w http.ResponseWriter, q *http.Request) {
		if user, pass, ok := q.BasicAuth(); !ok || user != "ada" || pass != password {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, q)
	})
	fetch(t, s, source.Want{})
	_, err := follow(t, r).Fetch(t.Context(), source.Want{})
	refused(t, err, source.ReasonDenied, "refuses the credentials")

	var asked atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { asked.Add(1) }))
	defer other.Close()
	// The same address by another name is another host.
	elsewhere := strings.Replace(other.URL, "127.0.0.1", "localhost", 1)
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		for _, status := range []int{301, 302, 307, 308} {
			r.Answer(func(next http.Handler, w http.ResponseWriter, q *http.Request) {
				if q.Method == method {
					http.Redirect(w, q, elsewhere+q.URL.RequestURI(), status)
					return
				}
				next.ServeHTTP(w, q)
			})
			_, err := s.Fetch(t.Context(), source.Want{})
			refused(t, err, source.ReasonRedirect, "redirects")
			if strings.Contains(err.Error(), password) {
				t.Fatalf("error tells the password: %v", err)
			}
		}
	}
	if n := asked.Load(); n != 0 {
		t.Fatalf("another host was asked %d times", n)
	}
	// A renamed repository on the same host is followed.
	r.Answer(func(next http.Handler, w http.ResponseWriter, q *http.Request) {
		if strings.HasPrefix(q.URL.Path, "/old.git/") {
			http.Redirect(w, q, "/planet.git"+strings.TrimPrefix(q.URL.RequestURI(), "/old.git"), http.StatusMovedPermanently)
			return
		}
		next.ServeHTTP(w, q)
	})
	fetch(t, follow(t, r, func(c *source.Config) { c.URL = strings.Replace(r.URL, "planet.git", "old.git", 1) }), source.Want{})
}

func TestValidate(t *testing.T) {
	for says, c := range map[string]source.Config{
		"holds a password":    {URL: "https://ada:secret@h/p", Branch: "main"},
		"holds a user":        {URL: "https://ada@h/p", Branch: "main"},
		"plain http":          {URL: "http://h/p", Branch: "main"},
		"scheme \"file\"":     {URL: "file://h/p", Branch: "main"},
		"scheme \"ext\"":      {URL: "ext://sh/-c", Branch: "main"},
		"lacks a host":        {URL: "https:///p", Branch: "main"},
		"cannot be parsed":    {URL: "https://h:%zz/p", Branch: "main"},
		"known hosts":         {URL: "ssh://git@h/p", Branch: "main"},
		"exactly one":         {URL: "https://h/p", Branch: "main", Tag: "v1"},
		"not the name":        {URL: "https://h/p", Branch: "a..b"},
		"range of versions":   {URL: "https://h/p", Semver: "about two"},
		"no keys of signers":  {URL: "https://h/p", Branch: "main", Verify: "commit"},
		"branch is followed":  {URL: "https://h/p", Branch: "main", Verify: "tag", SSHKeyFiles: []string{"k"}},
		"not both":            {URL: "https://h/p", Branch: "main", BearerTokenFile: "a", UsernameFile: "b", PasswordFile: "c"},
		"client certificate ": {URL: "https://h/p", Branch: "main", CertFile: "a"},
	} {
		err := c.Validate()
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: error %v, want one that says %q", c, err, says)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("error tells the password: %v", err)
		}
	}
}
