package source_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pandometrics/pando/gitops/gittest"
	"github.com/pandometrics/pando/gitops/source"
)

// A repository that was made here is one for git too, is followed as one that is
// fetched, and refuses the same.
func TestFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data", "planet")
	cfg := source.FolderConfig{Dir: dir, Branch: "main"}
	when := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	err := source.CreateFolder(cfg, source.FirstCommit{
		Files:  map[string][]byte{"planet.yaml": []byte("zones: []\n"), "rules/leaf/a.yml": []byte("groups: []\n")},
		Author: "Pando", Message: "planet: a first one", When: when,
	})
	if err != nil {
		t.Fatal(err)
	}
	git := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
			"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.org", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.org")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("git %v: %v: %s", args, err, stderr.String())
		}
		return strings.TrimSpace(string(out))
	}
	if s := git("status", "--porcelain"); s != "" || git("fsck", "--strict") != "" {
		t.Fatalf("git finds in it: %s", s)
	}
	f, err := source.NewFolder(cfg)
	if err != nil {
		t.Fatal(err)
	}
	first, err := f.Fetch(t.Context(), source.Want{})
	if err != nil || first.Hash != git("rev-parse", "main") || first.Subject != "planet: a first one" || !first.When.Equal(when) {
		t.Fatalf("first revision %+v, error %v", first, err)
	}
	if text, err := fs.ReadFile(first.Files, "rules/leaf/a.yml"); string(text) != "groups: []\n" || err != nil {
		t.Fatalf("file %q, error %v", text, err)
	}
	if _, err := f.Fetch(t.Context(), source.Want{Seen: first.Hash}); !errors.Is(err, source.ErrUnchanged) {
		t.Fatalf("nothing changed: %v", err)
	}
	commit := func(name, text string) string {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		git("add", "-A")
		git("commit", "-q", "-m", "change "+name+"\n\nand why")
		return git("rev-parse", "HEAD")
	}
	second := commit("a", "1")
	third := commit("a", "2")
	git("gc", "-q") // what was packed is read too
	rev, err := f.Fetch(t.Context(), source.Want{Seen: first.Hash, Base: first.Hash})
	if err != nil || rev.Hash != third || rev.Subject != "change a" || rev.Author != "Ada <ada@example.org>" {
		t.Fatalf("third revision %+v, error %v", rev, err)
	}
	if rev, err := f.At(t.Context(), second, first.Hash); err != nil || rev.Hash != second {
		t.Fatalf("second revision %+v, error %v", rev, err)
	}
	h, err := f.Log(t.Context(), 2)
	if err != nil || len(h.Commits) != 2 || h.Commits[0].Hash != third || h.Commits[1].Hash != second || !h.Truncated || h.Ref != "refs/heads/main" {
		t.Fatalf("history %+v, error %v", h, err)
	}
	if c := h.Commits[0]; c.Message != "change a\n\nand why\n" || len(c.Parents) != 1 || c.Parents[0] != second {
		t.Fatalf("commit %+v", c)
	}

	refused := func(what string, reason source.Reason, err error) {
		t.Helper()
		var e *source.Error
		if !errors.As(err, &e) || e.Reason != reason {
			t.Errorf("%s: error %v, want reason %s", what, err, reason)
		}
	}
	git("reset", "-q", "--hard", second)
	_, err = f.Fetch(t.Context(), source.Want{Seen: third, Base: third})
	refused("rewound", source.ReasonRewound, err)
	_, err = f.At(t.Context(), third, "")
	refused("out of the history", source.ReasonRewound, err)
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	git("add", "-A")
	git("commit", "-q", "-m", "link")
	_, err = f.Fetch(t.Context(), source.Want{})
	refused("a link", source.ReasonTree, err)
	elsewhere, err := source.NewFolder(source.FolderConfig{Dir: t.TempDir(), Branch: "main"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = elsewhere.Fetch(t.Context(), source.Want{})
	refused("no repository", source.ReasonNotFound, err)
	if err := source.CreateFolder(cfg, source.FirstCommit{Message: "again"}); err == nil {
		t.Error("a repository was made where one is")
	}
}

// The history of a repository that is fetched is what git log shows.
func TestLog(t *testing.T) {
	r := gittest.New(t)
	r.Commit("a", "1")
	r.Git("checkout", "-q", "-b", "side")
	r.Commit("b", "1")
	r.Git("checkout", "-q", "main")
	r.Commit("c", "1")
	r.Git("merge", "-q", "--no-ff", "-m", "merge", "side")
	r.Push()
	h, err := follow(t, r).Log(t.Context(), 10)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Fields(r.Git("rev-list", "main"))
	if len(h.Commits) != len(want) || h.Truncated || h.Commits[0].Hash != want[0] || len(h.Commits[0].Parents) != 2 || h.Commits[len(want)-1].Hash != want[len(want)-1] {
		t.Fatalf("history %+v, want %v", h, want)
	}
	if h, err = follow(t, r).Log(t.Context(), 2); err != nil || len(h.Commits) != 2 || !h.Truncated {
		t.Fatalf("history %+v, error %v; want two of four", h, err)
	}
}
