package dirs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/pandometrics/pando/gitops"
)

// Config says where to deliver to, and who is told.
type Config struct {
	// Base is the folder that holds revisions and the link current. It must be
	// for this deliverer alone.
	Base string
	// Keep is how many revisions stay on the disk besides the current one.
	Keep int
	// Workloads are told to reload, in order, and asked what they have loaded.
	Workloads []Workload
}

// Validate says what to change.
func (c Config) Validate() error {
	if c.Base == "" {
		return errors.New("delivery to a folder needs the folder's name")
	}
	if c.Keep < 0 {
		return fmt.Errorf("delivery to folder %q: it cannot keep %d old revisions", c.Base, c.Keep)
	}
	var errs []error
	for _, w := range c.Workloads {
		errs = append(errs, w.validate())
	}
	return errors.Join(errs...)
}

const (
	currentLink     = "current"
	revisionsFolder = "revisions"
	unfinished      = ".new-" // prefix of folders that have not got their name
)

// Dirs is a Deliverer and Confirmer. It is safe for concurrent use.
type Dirs struct {
	cfg Config
	mu  sync.Mutex
	// fsync is replaced by tests that cut the power.
	fsync func(*os.File) error
}

// Open prepares the folder, and clears away what a crash left half done.
func Open(cfg Config) (*Dirs, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	d := &Dirs{cfg: cfg, fsync: (*os.File).Sync}
	if err := os.MkdirAll(d.revisions(), 0o755); err != nil {
		return nil, fmt.Errorf("prepare folder of configuration: %w", err)
	}
	entries, err := os.ReadDir(d.revisions())
	if err != nil {
		return nil, fmt.Errorf("prepare folder of configuration: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), unfinished) {
			if err := os.RemoveAll(filepath.Join(d.revisions(), e.Name())); err != nil {
				return nil, fmt.Errorf("clear away unfinished configuration: %w", err)
			}
		}
	}
	return d, nil
}

func (d *Dirs) revisions() string { return filepath.Join(d.cfg.Base, revisionsFolder) }

// Deliver implements gitops.Deliverer.
func (d *Dirs) Deliver(ctx context.Context, b *gitops.Bundle) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	before := d.leadsTo()
	name, err := d.put(b)
	if err != nil {
		err = fmt.Errorf("deliver revision %.12s to folder %q: %w", b.Revision, d.cfg.Base, err)
		if d.leadsTo() == before {
			return &gitops.UnwrittenError{Err: err}
		}
		return err
	}
	told, err := d.reload(ctx, b.Hash, d.cfg.Workloads)
	var no *gitops.RefusedError
	if errors.As(err, &no) && before != "" && before != name {
		return errors.Join(err, d.putBack(ctx, before, d.cfg.Workloads[:told]))
	}
	if err != nil {
		return err
	}
	return d.prune(name)
}

// put stores a bundle, and makes current lead to it.
func (d *Dirs) put(b *gitops.Bundle) (name string, err error) {
	if err := b.Validate(); err != nil {
		return "", err
	}
	if name, err = d.store(b.Hash, withRevision(b)); err != nil {
		return "", err
	}
	return name, d.point(name)
}

// reload tells workloads one after another, and says how many were told. Who cannot be
// told does not keep the others on what they have; who refuses does.
func (d *Dirs) reload(ctx context.Context, hash string, workloads []Workload) (told int, err error) {
	var errs []error
	for i, w := range workloads {
		err := w.reload(ctx, hash)
		var no *gitops.RefusedError
		if errors.As(err, &no) {
			return i + 1, err
		}
		errs = append(errs, err)
	}
	return len(workloads), errors.Join(errs...)
}

// putBack makes current lead to what was there before a workload refused what came
// after, and tells those that were told of that: who took it must not run another
// revision than the others until somebody returns, and who refused it may have taken
// parts.
func (d *Dirs) putBack(ctx context.Context, name string, workloads []Workload) error {
	err := d.point(name)
	if err == nil {
		for _, w := range workloads { // all: none keeps the others from it
			err = errors.Join(err, w.reload(ctx, hashOf(name)))
		}
	}
	if err != nil {
		return fmt.Errorf("return to what folder %q had before: %w", d.cfg.Base, err)
	}
	return nil
}

// leadsTo returns the name of the folder that current leads to, "" for none.
func (d *Dirs) leadsTo() string {
	to, err := os.Readlink(filepath.Join(d.cfg.Base, currentLink))
	if err != nil {
		return ""
	}
	return filepath.Base(to)
}

// hashOf returns the hash that a folder is named by.
func hashOf(name string) string {
	hash, _, _ := strings.Cut(name, ".")
	return hash
}

// withRevision adds a file with the hash beside each tier's configuration.
func withRevision(b *gitops.Bundle) map[string][]byte {
	out := make(map[string][]byte, len(b.Files)+1)
	for name, data := range b.Files {
		out[name] = data
	}
	for _, tier := range b.Tiers() {
		out[path.Join(tier, gitops.RevisionFile)] = []byte(b.Hash + "\n")
	}
	return out
}

// store writes a folder, and returns its name. If one of that name is there
// already and holds the same, it is used; if it was tampered with, it is left
// to who may still read it, and another one is made.
func (d *Dirs) store(hash string, files map[string][]byte) (string, error) {
	for i := range 100 {
		name := hash
		if i > 0 {
			name += "." + strconv.Itoa(i)
		}
		dir := filepath.Join(d.revisions(), name)
		if _, err := os.Lstat(dir); errors.Is(err, os.ErrNotExist) {
			return name, d.create(dir, files)
		} else if err != nil {
			return "", err
		}
		if same(dir, files) {
			return name, nil
		}
	}
	return "", fmt.Errorf("folder %q holds a hundred altered copies of %s: remove them", d.revisions(), hash)
}

// create writes a folder under another name, and renames it when all of it is
// on the disk.
func (d *Dirs) create(dir string, files map[string][]byte) (err error) {
	tmp, err := os.MkdirTemp(d.revisions(), unfinished)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(tmp)
		}
	}()
	root, err := os.OpenRoot(tmp) // whatever the names say, it stays in there
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	folders := map[string]bool{".": true}
	for name, data := range files {
		if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
			return err
		}
		for f := path.Dir(name); f != "."; f = path.Dir(f) {
			folders[f] = true
		}
		if err := d.write(root, name, data); err != nil {
			return err
		}
	}
	for f := range folders {
		if err := d.syncDir(filepath.Join(tmp, filepath.FromSlash(f))); err != nil {
			return err
		}
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	if err := os.Rename(tmp, dir); err != nil {
		return err
	}
	return d.syncDir(d.revisions())
}

func (d *Dirs) write(root *os.Root, name string, data []byte) error {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return errors.Join(err, f.Close())
	}
	return errors.Join(d.fsync(f), f.Close())
}

func (d *Dirs) syncDir(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.fsync(f), f.Close())
}

// point makes current lead to a revision, by one rename.
func (d *Dirs) point(name string) error {
	link := filepath.Join(d.cfg.Base, currentLink)
	to := filepath.Join(revisionsFolder, name)
	if now, err := os.Readlink(link); err == nil && now == to {
		return nil
	}
	next := filepath.Join(d.cfg.Base, unfinished+currentLink)
	if err := os.Remove(next); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Symlink(to, next); err != nil {
		return err
	}
	if err := os.Rename(next, link); err != nil {
		return err
	}
	return d.syncDir(d.cfg.Base)
}

// same tells whether a folder holds just these files.
func same(dir string, files map[string][]byte) bool {
	n := 0
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		want, ok := files[name]
		if !ok || !e.Type().IsRegular() {
			return fs.ErrExist
		}
		n++
		data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		if err == nil && !bytes.Equal(data, want) {
			err = fs.ErrInvalid
		}
		return err
	})
	return err == nil && n == len(files)
}

// prune removes the oldest revisions.
func (d *Dirs) prune(current string) error {
	entries, err := os.ReadDir(d.revisions())
	if err != nil {
		return fmt.Errorf("clear away old configuration: %w", err)
	}
	type old struct {
		name string
		at   int64
	}
	var olds []old
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || e.Name() == current {
			continue
		}
		olds = append(olds, old{e.Name(), info.ModTime().UnixNano()})
	}
	slices.SortFunc(olds, func(a, b old) int { return int(max(-1, min(1, b.at-a.at))) })
	for i := d.cfg.Keep; i < len(olds); i++ {
		if err := os.RemoveAll(filepath.Join(d.revisions(), olds[i].name)); err != nil {
			return fmt.Errorf("clear away old configuration: %w", err)
		}
	}
	return nil
}
