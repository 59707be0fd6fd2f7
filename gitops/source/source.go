package source

import (
	"context"
	"errors"
	"io/fs"
	"net/url"
	"regexp"
	"time"

	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
)

// Revision is one commit: verified, whole, and in memory.
type Revision struct {
	// Hash is the commit's full name, Ref the reference that named it.
	Hash, Ref string
	// When it was committed, as the committer says.
	When time.Time
	// Author and Subject are for people.
	Author, Subject string
	// Signer is the key whose signature was verified, "" if none was asked for.
	Signer string
	// Files holds plain files and folders only. It is safe for concurrent use.
	Files fs.FS
	// Size is the sum of the files' sizes in bytes.
	Size int64
}

// Want says what a fetch is for.
type Want struct {
	// Seen is the revision that needs not be fetched again: ErrUnchanged is
	// returned if the reference still names it, for the price of one request.
	Seen string
	// Base is the revision that the new one must descend from: the one that was
	// applied last. "" accepts any.
	Base string
}

// Source fetches revisions of one reference of one repository. It keeps
// nothing between fetches, and is safe for concurrent use.
type Source struct {
	cfg Config
	url *url.URL
}

// New returns a source. It opens no connection.
func New(cfg Config) (*Source, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.Limits = cfg.Limits.withDefaults()
	u, err := url.Parse(cfg.URL)
	if err != nil {
		return nil, errors.New("git URL cannot be parsed")
	}
	return &Source{cfg: cfg, url: u}, nil
}

// Fetch returns the revision that the reference names now. Errors are
// ErrUnchanged or an *Error; with an *Error that names a revision, Want.Seen
// may be set to it, so that the same refusal is not paid for again.
func (s *Source) Fetch(ctx context.Context, want Want) (*Revision, error) {
	op := "fetch " + s.what()
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Limits.Timeout)
	defer cancel()
	r, adv, t, err := s.open(ctx)
	if err != nil {
		return nil, s.error(ctx, err, op, "")
	}
	defer r.close()
	if want.Seen != "" && t.commit == want.Seen {
		return nil, ErrUnchanged
	}
	rev, err := s.read(ctx, r, adv, t, want.Base)
	return rev, s.error(ctx, err, op, t.commit)
}

var fullHash = regexp.MustCompile(`^[0-9a-f]{40}$`)

// At returns a revision by its hash, which must be in the history of what the
// reference names now, and descend from base if that is not "". The history is
// asked for no deeper than the limits go.
func (s *Source) At(ctx context.Context, hash, base string) (*Revision, error) {
	op := "fetch " + short(hash) + " of " + s.what()
	if !fullHash.MatchString(hash) {
		return nil, asError(fail(ReasonNotFound, "%.60q is not the full hash of a commit", hash), op, "")
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Limits.Timeout)
	defer cancel()
	r, adv, t, err := s.open(ctx)
	if err != nil {
		return nil, s.error(ctx, err, op, hash)
	}
	defer r.close()
	if t.commit != hash {
		in, err := s.descends(ctx, r, adv, t.commit, hash)
		if err == nil && !in {
			err = fail(ReasonRewound, "it is not in the history of %s, which is at %s", t.ref, short(t.commit))
		}
		if err != nil {
			return nil, s.error(ctx, err, op, hash)
		}
	}
	rev, err := s.readPast(ctx, r, adv, t, hash, base)
	return rev, s.error(ctx, err, op, hash)
}

// what names the reference in errors.
func (s *Source) what() string {
	switch {
	case s.cfg.Branch != "":
		return "branch " + s.cfg.Branch
	case s.cfg.Tag != "":
		return "tag " + s.cfg.Tag
	}
	return "versions " + s.cfg.Semver
}

// error completes an error. What fails since the time is over is said so.
func (s *Source) error(ctx context.Context, err error, op, revision string) error {
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = fail(ReasonTimeout, "it took longer than %s: %w", s.cfg.Limits.Timeout, err)
	}
	return asError(err, op, revision)
}

// open connects, and finds the reference.
func (s *Source) open(ctx context.Context) (remote, *packp.AdvRefs, tip, error) {
	r, err := s.dial(ctx)
	if err != nil {
		return nil, nil, tip{}, err
	}
	adv, err := r.advertise(ctx)
	if err != nil {
		r.close()
		return nil, nil, tip{}, err
	}
	t, err := s.resolve(adv)
	if err != nil {
		r.close()
		return nil, nil, tip{}, err
	}
	return r, adv, t, nil
}

func (s *Source) dial(ctx context.Context) (remote, error) {
	if s.url.Scheme == "ssh" {
		return newSSHRemote(ctx, s.cfg, s.url)
	}
	return newHTTPRemote(s.cfg, s.url)
}

// read gets the commit that the reference names, without its history.
func (s *Source) read(ctx context.Context, r remote, adv *packp.AdvRefs, t tip, base string) (*Revision, error) {
	o, err := s.get(ctx, r, adv, request{want: t.object, depth: 1})
	if err != nil {
		return nil, err
	}
	var annotated *tag
	if t.object != t.commit {
		if annotated, err = o.readTag(t.object); err != nil {
			return nil, err
		}
		if annotated.target != t.commit {
			return nil, fail(ReasonCorrupt, "%s names another commit than it is said to", t.ref)
		}
	}
	return s.revision(ctx, r, adv, o, t, annotated, base)
}

// readPast gets a commit by its hash. Some servers give out only what a
// reference names; there the history is deepened until it is reached.
func (s *Source) readPast(ctx context.Context, r remote, adv *packp.AdvRefs, t tip, hash, base string) (*Revision, error) {
	if hash == t.commit {
		return s.read(ctx, r, adv, t, base)
	}
	at := tip{ref: t.ref, object: hash, commit: hash}
	o, err := s.get(ctx, r, adv, request{want: hash, depth: 1})
	var e *Error
	for depth := 8; err != nil && errors.As(err, &e) && e.Reason == ReasonNotFound && depth <= 4096; depth *= 8 {
		if o, err = s.get(ctx, r, adv, request{want: t.object, depth: depth}); err == nil && !o.has(hash) {
			err = fail(ReasonNotFound, "the server does not give it out, nor is it among the newest %d", depth)
		}
	}
	if err != nil {
		return nil, err
	}
	return s.revision(ctx, r, adv, o, at, nil, base)
}

func (s *Source) get(ctx context.Context, r remote, adv *packp.AdvRefs, q request) (*objects, error) {
	pack, err := fetchPack(ctx, r, adv, q, s.cfg.Limits.Download)
	if err != nil {
		return nil, err
	}
	return openPack(pack, s.cfg.Limits)
}

// revision verifies a commit and reads its files. The order is from cheap and
// decisive to dear: nobody's files are looked at before the signature.
func (s *Source) revision(ctx context.Context, r remote, adv *packp.AdvRefs, o *objects, t tip, annotated *tag, base string) (*Revision, error) {
	c, err := o.readCommit(t.commit)
	if err != nil {
		return nil, err
	}
	k, err := readKeys(s.cfg)
	if err != nil {
		return nil, err
	}
	signer, err := s.check(k, c, annotated)
	if err != nil {
		return nil, err
	}
	if err := s.checkBase(ctx, r, adv, c, base); err != nil {
		return nil, err
	}
	content, err := o.readTree(c.tree, s.cfg.Limits)
	if err != nil {
		return nil, err
	}
	rev := &Revision{Hash: t.commit, Ref: t.ref, When: c.when, Author: c.author, Subject: c.subject, Signer: signer, Files: newFiles(content, c.when)}
	for _, data := range content {
		rev.Size += int64(len(data))
	}
	return rev, nil
}
