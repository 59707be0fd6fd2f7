package kube

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pandometrics/pando/gitops"
	"github.com/pandometrics/pando/gitops/dirs"
)

// Follower keeps a folder of the disk like what was delivered for a workload:
//
//	BASE/current/leaf/prometheus.yml
//	BASE/current/leaf/revision
//
// current is a link that is replaced at once; it leads to what the workload has
// loaded, or began with.
type Follower struct {
	pull    func(context.Context) (*gitops.Bundle, error)
	folder  string
	base    string
	initial string // folder to begin with before anything was delivered; "" for none
	dirs    *dirs.Dirs
	timeout time.Duration
	logger  *slog.Logger
	loaded  *prometheus.GaugeVec

	mu      sync.Mutex
	current *gitops.Bundle // nil before the first
	marked  bool           // current was checked or loaded
}

// NotFetchedError says that configuration could not be fetched, which says
// nothing of it.
type NotFetchedError struct{ Err error }

// Error implements error.
func (e *NotFetchedError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *NotFetchedError) Unwrap() error { return e.Err }

// Temporary is true: trying again may help.
func (e *NotFetchedError) Temporary() bool { return true }

// NewFollower opens the folder on the disk. initial, which may be "", is a folder
// with the files that the workload has as long as nothing was ever delivered to it.
func NewFollower(p *Puller, base, initial string, logger *slog.Logger) (*Follower, error) {
	f, err := newFollower(p.Pull, p.folder, base, 3*p.cfg.Timeout, logger)
	if err == nil {
		f.initial = initial
	}
	return f, err
}

func newFollower(pull func(context.Context) (*gitops.Bundle, error), folder, base string, timeout time.Duration, logger *slog.Logger) (*Follower, error) {
	d, err := dirs.Open(dirs.Config{Base: base, Keep: 2})
	if err != nil {
		return nil, err
	}
	f := &Follower{pull: pull, folder: folder, base: base, dirs: d, timeout: timeout, logger: logger}
	f.loaded = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: RevisionMetric,
		Help: "Revision of the configuration that was fetched and loaded: the hash of all that the cluster gets.",
	}, []string{"revision"})
	f.current, err = f.stored()
	return f, err
}

// Register has a registry tell which revision is loaded.
func (f *Follower) Register(reg prometheus.Registerer) error { return reg.Register(f.loaded) }

// stored reads what was marked as good last, or what current leads to if nothing
// was.
func (f *Follower) stored() (*gitops.Bundle, error) {
	from := f.checkedFolder()
	f.marked = from != ""
	if !f.marked {
		from = "current"
	}
	root := os.DirFS(filepath.Join(f.base, from))
	tier, _, _ := strings.Cut(f.folder, "/")
	revision, err := fs.ReadFile(root, path.Join(tier, gitops.RevisionFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what was loaded last: %w", err)
	}
	hash := strings.TrimSpace(string(revision))
	b := &gitops.Bundle{Revision: hash, Hash: hash, Files: map[string][]byte{}}
	err = fs.WalkDir(root, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || path.Base(name) == gitops.RevisionFile {
			return err
		}
		b.Files[name], err = fs.ReadFile(root, name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read what was loaded last: %w", err)
	}
	return b, nil
}

// Start fetches what a workload is to begin with. If it cannot be had, the
// workload begins with what it loaded last; if there is none, Start waits for it
// until ctx ends. check, which may be nil, says whether the workload could load
// it: what it could not is not begun with, if there is something else.
func (f *Follower) Start(ctx context.Context, check func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for wait := 250 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := f.begin(ctx, check)
		if err == nil {
			f.use()
			return nil
		}
		if f.current != nil {
			err = errors.Join(err, f.dirs.Deliver(ctx, f.current)) // what was killed may have left another
			f.logger.Warn("beginning with the configuration that was loaded last", "revision", f.current.Hash, "err", err)
			f.use()
			return nil
		}
		f.logger.Info("waiting for configuration", "err", err)
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return err
		case <-t.C:
		}
	}
}

func (f *Follower) begin(ctx context.Context, check func() error) error {
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	b, err := f.fetch(ctx)
	if err != nil {
		return err
	}
	f.keep()
	if err := f.dirs.Deliver(ctx, b); err != nil {
		return err
	}
	known := f.current != nil && b.Hash == f.current.Hash
	good := known && f.marked
	if !good {
		var err error
		if check != nil {
			err = check()
		}
		if err != nil && f.current != nil && !known {
			return errors.Join(err, f.dirs.Deliver(ctx, f.current))
		}
		good = err == nil // else there is nothing better
	}
	f.current, f.marked = b, good
	if good {
		f.mark()
	}
	return nil
}

// use makes the current revision the one that is told of.
func (f *Follower) use() {
	f.loaded.Reset()
	if f.current != nil {
		f.loaded.WithLabelValues(f.current.Hash).Set(1)
	}
}

// Reload fetches what was delivered, and has load read it from the disk. If load
// fails, the disk holds again what was there before, and the error is load's: the
// configuration is refused. If it could not be fetched, the error is a
// NotFetchedError, and load is not called.
func (f *Follower) Reload(load func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), f.timeout)
	defer cancel()
	b, err := f.fetch(ctx)
	if err != nil {
		return &NotFetchedError{err}
	}
	f.keep()
	if err := f.dirs.Deliver(ctx, b); err != nil {
		return &NotFetchedError{err}
	}
	if err := load(); err != nil {
		return f.back(ctx, err, load)
	}
	f.current, f.marked = b, true
	f.mark()
	f.use()
	return nil
}

// back returns to what was loaded before. It is loaded again, for of what was
// refused some parts may have been taken.
func (f *Follower) back(ctx context.Context, refusal error, load func() error) error {
	if f.current == nil {
		return refusal
	}
	if err := f.dirs.Deliver(ctx, f.current); err != nil {
		return errors.Join(refusal, err)
	}
	if err := load(); err != nil {
		return fmt.Errorf("%w; and what was loaded before cannot be loaded again: %w", refusal, err)
	}
	return refusal
}
