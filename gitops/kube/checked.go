package kube

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// checkedFile names the folder of what was checked or loaded last. current leads
// to a revision before it was checked, and a process that is killed then must not
// take it for good.
const checkedFile = "checked"

// checkedFolder returns the folder that was marked last, relative to base, "" if
// there is none.
func (f *Follower) checkedFolder() string {
	text, err := os.ReadFile(filepath.Join(f.base, checkedFile))
	name := strings.TrimSpace(string(text))
	if err != nil || !filepath.IsLocal(name) {
		return ""
	}
	if _, err := os.Stat(filepath.Join(f.base, name)); err != nil {
		return ""
	}
	return name
}

// keep makes the marked folder the newest, so that none that may be refused takes
// its place.
func (f *Follower) keep() {
	if name := f.checkedFolder(); name != "" {
		now := time.Now()
		if err := os.Chtimes(filepath.Join(f.base, name), now, now); err != nil {
			f.logger.Warn("what was loaded last may be cleared away", "err", err)
		}
	}
}

// mark notes that what current leads to is good. Without the note, a later start
// has what current leads to then.
func (f *Follower) mark() {
	to, err := os.Readlink(filepath.Join(f.base, "current"))
	if err != nil || to == f.checkedFolder() {
		return
	}
	if err := writeSynced(f.base, checkedFile, to+"\n"); err != nil {
		f.logger.Warn("not noted which configuration is good", "err", err)
	}
}

// writeSynced replaces a file at once.
func writeSynced(dir, name, text string) error {
	tmp, err := os.OpenFile(filepath.Join(dir, "."+name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = tmp.WriteString(text)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), filepath.Join(dir, name))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", name, err), os.Remove(tmp.Name()))
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
