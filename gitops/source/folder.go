package source

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	gogit "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	format "github.com/go-git/go-git/v5/plumbing/format/config"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// FolderConfig says which repository on this machine is read.
type FolderConfig struct {
	// Dir is the repository, or any folder of its work tree.
	Dir string
	// Branch is followed.
	Branch string
	// Limits bound what a revision may hold. What is 0 has its default.
	Limits Limits
}

// Validate says what to change.
func (c FolderConfig) Validate() error {
	if c.Dir == "" || c.Branch == "" {
		return errors.New("a repository on this machine needs a folder and a branch")
	}
	return nil
}

// Folder follows a branch of a repository on this machine, for a planet that is
// run by who owns the repository: as of Local, signatures are not looked at. It
// needs no git, keeps nothing, touches nothing, and is safe for concurrent use.
type Folder struct{ cfg FolderConfig }

// NewFolder returns a source. It opens nothing.
func NewFolder(cfg FolderConfig) (*Folder, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.Limits = cfg.Limits.withDefaults()
	return &Folder{cfg}, nil
}

func (f *Folder) ref() string { return "refs/heads/" + f.cfg.Branch }

// open returns the repository and what the branch names.
func (f *Folder) open() (*objects, string, error) {
	repo, err := gogit.PlainOpenWithOptions(f.cfg.Dir, &gogit.PlainOpenOptions{DetectDotGit: true, EnableDotGitCommonDir: true})
	if errors.Is(err, gogit.ErrRepositoryNotExists) {
		return nil, "", fail(ReasonNotFound, "%q is not in a git repository", f.cfg.Dir)
	}
	if err != nil {
		return nil, "", fail(ReasonUnreachable, "open git repository %q: %w", f.cfg.Dir, err)
	}
	ref, err := repo.Reference(plumbing.ReferenceName(f.ref()), true)
	if err != nil {
		return nil, "", fail(ReasonNotFound, "the repository %q has no %s: %w", f.cfg.Dir, f.ref(), err)
	}
	return &objects{repo.Storer}, ref.Hash().String(), nil
}

// Tip returns what the branch names now.
func (f *Folder) Tip() (string, error) {
	_, tip, err := f.open()
	return tip, asError(err, "look at branch "+f.cfg.Branch, "")
}

// Fetch returns the revision that the branch names now. Errors are ErrUnchanged or
// an *Error.
func (f *Folder) Fetch(_ context.Context, want Want) (*Revision, error) {
	op := "read branch " + f.cfg.Branch
	o, tip, err := f.open()
	if err != nil {
		return nil, asError(err, op, "")
	}
	if want.Seen == tip {
		return nil, ErrUnchanged
	}
	rev, err := f.read(o, tip, want.Base)
	return rev, asError(err, op, tip)
}

// At returns a revision by its hash, which must be in the history of the branch,
// and descend from base if that is not "".
func (f *Folder) At(_ context.Context, hash, base string) (*Revision, error) {
	op := "read " + short(hash) + " of branch " + f.cfg.Branch
	if !fullHash.MatchString(hash) {
		return nil, asError(fail(ReasonNotFound, "%.60q is not the full hash of a commit", hash), op, "")
	}
	o, tip, err := f.open()
	if err != nil {
		return nil, asError(err, op, hash)
	}
	in, err := o.reaches(tip, hash)
	if err == nil && !in {
		err = fail(ReasonRewound, "it is not in the history of %s, which is at %s", f.ref(), short(tip))
	}
	if err != nil {
		return nil, asError(err, op, hash)
	}
	rev, err := f.read(o, hash, base)
	return rev, asError(err, op, hash)
}

// Log returns the newest commits of the branch, most of them at most.
func (f *Folder) Log(_ context.Context, most int) (History, error) {
	op := "list branch " + f.cfg.Branch
	o, tip, err := f.open()
	if err != nil {
		return History{}, asError(err, op, "")
	}
	h, err := o.history(tip, most)
	h.Ref = f.ref()
	return h, asError(err, op, tip)
}

// read returns a commit that descends from base.
func (f *Folder) read(o *objects, hash, base string) (*Revision, error) {
	c, err := o.readCommit(hash)
	if err != nil {
		return nil, err
	}
	if base != "" {
		ok, err := o.reaches(hash, base)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, fail(ReasonRewound, "it does not descend from %s, which was applied last: restore the history, or roll back explicitly", short(base))
		}
	}
	content, err := o.readTree(c.tree, f.cfg.Limits)
	if err != nil {
		return nil, err
	}
	rev := &Revision{Hash: hash, Ref: f.ref(), When: c.when, Author: c.author, Subject: c.subject, Files: newFiles(content, c.when)}
	for _, data := range content {
		rev.Size += int64(len(data))
	}
	return rev, nil
}

// FirstCommit says what a new repository begins with.
type FirstCommit struct {
	// Files are by slash-separated path.
	Files map[string][]byte
	// Author is a name, Message what the commit says.
	Author, Message string
	When            time.Time
}

// CreateFolder makes a repository with a work tree and a first commit, where
// nothing is yet. It is there as a whole or not at all.
func CreateFolder(cfg FolderConfig, first FirstCommit) (err error) {
	if err := cfg.Validate(); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(cfg.Dir), 0o755); err != nil {
		return fmt.Errorf("create git repository: %w", err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(cfg.Dir), ".new-")
	if err != nil {
		return fmt.Errorf("create git repository: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(tmp)
		}
	}()
	if err := fill(tmp, cfg.Branch, first); err != nil {
		return fmt.Errorf("create git repository %q: %w", cfg.Dir, err)
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return fmt.Errorf("create git repository: %w", err)
	}
	if err := os.Rename(tmp, cfg.Dir); err != nil {
		return fmt.Errorf("create git repository: %w", err)
	}
	return nil
}

// fill makes a repository in an empty folder.
func fill(dir, branch string, first FirstCommit) error {
	repo, err := gogit.PlainInitWithOptions(dir, &gogit.PlainInitOptions{InitOptions: gogit.InitOptions{DefaultBranch: plumbing.NewBranchReferenceName(branch)}})
	if err != nil {
		return err
	}
	// What git init writes, too: without it, git takes the format for an old one.
	c, err := repo.Config()
	if err != nil {
		return err
	}
	c.Core.RepositoryFormatVersion = format.Version_0
	if err := repo.SetConfig(c); err != nil {
		return err
	}
	work, err := repo.Worktree()
	if err != nil {
		return err
	}
	for name, data := range first.Files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, data, 0o644); err != nil {
			return err
		}
		if _, err := work.Add(name); err != nil {
			return err
		}
	}
	who := &object.Signature{Name: first.Author, Email: "pando@localhost", When: first.When}
	_, err = work.Commit(first.Message, &gogit.CommitOptions{Author: who, Committer: who})
	return err
}
