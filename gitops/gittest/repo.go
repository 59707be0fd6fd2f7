// Package gittest serves real git repositories to tests: git's own http-backend
// behind an HTTP server that can be made to fail.
//
// It needs the git binary, and reads no configuration of the host.
package gittest

import (
	"bytes"
	"encoding/hex"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// Repo is a bare repository that is served, and a work tree to fill it from.
type Repo struct {
	// URL is where it is served.
	URL string
	// Dir is the bare repository, Work the work tree.
	Dir, Work string
	// Requests counts those that were answered.
	Requests atomic.Int64
	// Middleware may be set to answer in the server's place.
	Middleware atomic.Pointer[func(next http.Handler) http.Handler]

	t   testing.TB
	env []string
}

// New makes an empty repository with the branch main, and serves it until the
// test ends.
func New(t testing.TB) *Repo {
	t.Helper()
	root := t.TempDir()
	r := &Repo{Dir: filepath.Join(root, "planet.git"), Work: filepath.Join(root, "work"), t: t}
	r.env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "HOME="+root,
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.org", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.org")
	r.run(root, nil, "init", "-q", "--bare", "-b", "main", r.Dir)
	r.run(root, nil, "init", "-q", "-b", "main", r.Work)
	r.Git("remote", "add", "origin", r.Dir)
	r.Git("config", "core.compression", "1")
	srv := httptest.NewServer(r.handler())
	t.Cleanup(srv.Close)
	r.URL = srv.URL + "/planet.git"
	return r
}

// handler runs git http-backend for each request.
func (r *Repo) handler() http.Handler {
	path, err := exec.LookPath("git")
	if err != nil {
		r.t.Fatal(err)
	}
	backend := &cgi.Handler{Path: path, Args: []string{"http-backend"}, Env: []string{
		"GIT_PROJECT_ROOT=" + filepath.Dir(r.Dir), "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
	}}
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.Requests.Add(1)
		if m := r.Middleware.Load(); m != nil {
			(*m)(backend).ServeHTTP(w, q)
			return
		}
		backend.ServeHTTP(w, q)
	})
}

// Answer makes f answer in the server's place; nil gives it back.
func (r *Repo) Answer(f func(next http.Handler, w http.ResponseWriter, q *http.Request)) {
	if f == nil {
		r.Middleware.Store(nil)
		return
	}
	m := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { f(next, w, q) })
	}
	r.Middleware.Store(&m)
}

// run runs git in dir.
func (r *Repo) run(dir string, stdin []byte, args ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Env, cmd.Stdin = dir, r.env, bytes.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		r.t.Fatalf("git %.200s: %v\n%.2000s", strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// Git runs git in the work tree, and returns what it prints.
func (r *Repo) Git(args ...string) string { r.t.Helper(); return r.run(r.Work, nil, args...) }

// Bare runs git in the bare repository with an input.
func (r *Repo) Bare(stdin []byte, args ...string) string {
	r.t.Helper()
	return r.run(r.Dir, stdin, args...)
}

// Write writes a file of the work tree.
func (r *Repo) Write(name, content string) {
	r.t.Helper()
	file := filepath.Join(r.Work, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// Commit writes files given as name and content in turn, commits all of the
// work tree, pushes it, and returns the commit's hash.
func (r *Repo) Commit(files ...string) string {
	r.t.Helper()
	message := "change"
	for i := 0; i+1 < len(files); i += 2 {
		r.Write(files[i], files[i+1])
		message += " " + files[i]
	}
	r.Git("add", "-A")
	r.Git("commit", "-q", "--allow-empty", "-m", message)
	return r.Push()
}

// Push pushes the work tree's branch, by force, and returns its hash.
func (r *Repo) Push() string {
	r.t.Helper()
	r.Git("push", "-q", "--force", "origin", "HEAD:main")
	return r.Git("rev-parse", "HEAD")
}

// Entry is one of a tree that git itself would not write.
type Entry struct{ Mode, Name, Hash string }

// Blob stores a file, and returns its hash.
func (r *Repo) Blob(content string) string {
	r.t.Helper()
	return r.Bare([]byte(content), "hash-object", "-w", "--stdin")
}

// Tree stores a tree of entries, unchecked, and returns its hash.
func (r *Repo) Tree(entries ...Entry) string {
	r.t.Helper()
	var data []byte
	for _, e := range entries {
		sum, err := hex.DecodeString(e.Hash)
		if err != nil {
			r.t.Fatal(err)
		}
		data = append(append(data, e.Mode+" "+e.Name+"\x00"...), sum...)
	}
	return r.Bare(data, "hash-object", "-t", "tree", "-w", "--stdin", "--literally")
}

// CommitTree makes main name a commit of a tree, without parents if none are
// given, and returns the commit's hash.
func (r *Repo) CommitTree(tree string, parents ...string) string {
	r.t.Helper()
	args := []string{"commit-tree", tree, "-m", "a tree"}
	for _, p := range parents {
		args = append(args, "-p", p)
	}
	hash := r.Bare(nil, args...)
	r.Bare(nil, "update-ref", "refs/heads/main", hash)
	return hash
}
