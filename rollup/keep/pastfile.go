package keep

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// Steps of saving, after which tests have the process die.
const (
	stepBegun   = "past begun"   // the new file is there, and empty
	stepWritten = "past written" // and whole, on disk
	stepRenamed = "past renamed" // and in its place
	stepSaved   = "past saved"   // also after a loss of power
)

// save replaces the file, and has it on disk before it returns.
func (p *Past) save(s pastState) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(p.path), 0o777); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(p.path), filepath.Base(p.path)+".*")
	if err != nil {
		return err
	}
	if err := p.step(stepBegun); err != nil {
		return errors.Join(err, f.Close())
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if err := p.step(stepWritten); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), p.path); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if err := p.step(stepRenamed); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(p.path)); err != nil {
		return err
	}
	return p.step(stepSaved)
}

// step tells a test what has been done.
func (p *Past) step(what string) error {
	if p.onStep == nil {
		return nil
	}
	return p.onStep(what)
}

// sweep removes what is left of files that were being written when a process died.
func (p *Past) sweep() error {
	entries, err := os.ReadDir(filepath.Dir(p.path))
	errs := []error{err}
	for _, e := range entries {
		if random, ok := strings.CutPrefix(e.Name(), filepath.Base(p.path)+"."); ok && isDecimal(random) && e.Type().IsRegular() {
			errs = append(errs, removeIfThere(filepath.Join(filepath.Dir(p.path), e.Name())))
		}
	}
	return errors.Join(errs...)
}

// isDecimal reports whether a text is what os.CreateTemp puts in the place of a star.
func isDecimal(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// syncDir has a renamed file be under its new name after a loss of power.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
