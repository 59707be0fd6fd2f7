package source

import (
	"errors"
	"fmt"

	gogit "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
)

// Local reads a revision of a repository on this machine, with all that is
// refused of one that is fetched, but for signatures, which are not looked at: it
// is the user's own. dir is the repository or any folder of its work tree; revision
// is a commit, branch, tag or what git's own notation makes of them, such as HEAD~1.
// It touches nothing.
func Local(dir, revision string, l Limits) (*Revision, error) {
	repo, err := gogit.PlainOpenWithOptions(dir, &gogit.PlainOpenOptions{DetectDotGit: true, EnableDotGitCommonDir: true})
	if errors.Is(err, gogit.ErrRepositoryNotExists) {
		return nil, fmt.Errorf("%q is not in a git repository", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("open git repository %q: %w", dir, err)
	}
	hash, err := repo.ResolveRevision(plumbing.Revision(revision))
	if err != nil {
		return nil, fmt.Errorf("find revision %q in git repository %q: %w", revision, dir, err)
	}
	o := &objects{repo.Storer}
	c, err := o.readCommit(hash.String())
	if err != nil {
		return nil, asError(err, "read", hash.String())
	}
	content, err := o.readTree(c.tree, l.withDefaults())
	if err != nil {
		return nil, asError(err, "read", hash.String())
	}
	rev := &Revision{Hash: hash.String(), Ref: revision, When: c.when, Author: c.author, Subject: c.subject, Files: newFiles(content, c.when)}
	for _, data := range content {
		rev.Size += int64(len(data))
	}
	return rev, nil
}
