package keep

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/tsdb"
)

const (
	// unusedFor is how long a TSDB stays after the last rule that used it, or for as
	// long as its points are kept if that is less: a rule that was taken out by
	// mistake comes back with its points.
	unusedFor = 7 * 24 * time.Hour
	// minUnused is how long it stays in any case.
	minUnused = time.Hour
	// sweepEvery is how often they are looked for.
	sweepEvery = 10 * time.Minute

	// unusedSuffix names the file that says since when a TSDB is unused, beside its
	// directory, and goneSuffix what is left of one that is being deleted.
	unusedSuffix, goneSuffix = ".unused", ".gone"
)

// SweepUnused deletes the TSDBs of retentions that no rule has had for a week. It
// looks for them now and then only, so that it may be called often.
func (s *Store) SweepUnused() error {
	now := s.cfg.Now()
	s.mu.Lock()
	due := now.Sub(s.swept) >= sweepEvery
	if due {
		s.swept = now
	}
	s.mu.Unlock()
	if !due {
		return nil
	}
	entries, err := os.ReadDir(s.cfg.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, e := range entries {
		name := e.Name()
		if before, ok := strings.CutSuffix(name, goneSuffix); ok && isRetention(before) {
			errs = append(errs, os.RemoveAll(filepath.Join(s.cfg.Dir, name)))
		}
		if e.IsDir() && isRetention(name) {
			errs = append(errs, s.sweep(name, now))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("delete rollups that no rule keeps: %w", err)
	}
	return nil
}

// isRetention reports whether a name is one that open gives to a directory.
func isRetention(name string) bool {
	d, err := model.ParseDuration(name)
	return err == nil && d.String() == name
}

// sweep looks at one TSDB.
func (s *Store) sweep(name string, now time.Time) error {
	d, err := model.ParseDuration(name)
	if err != nil {
		return err
	}
	retention, note := time.Duration(d), filepath.Join(s.cfg.Dir, name+unusedSuffix)
	if s.uses(retention) {
		return removeIfThere(note)
	}
	text, err := os.ReadFile(note)
	if errors.Is(err, fs.ErrNotExist) {
		return os.WriteFile(note, []byte(now.UTC().Format(time.RFC3339)), 0o666)
	}
	if err != nil {
		return err
	}
	since, err := time.Parse(time.RFC3339, string(text))
	if err != nil || since.After(now) { // cut by a crash, or the clock was set
		return os.WriteFile(note, []byte(now.UTC().Format(time.RFC3339)), 0o666)
	}
	if now.Sub(since) < max(min(unusedFor, retention), minUnused) {
		return nil
	}
	gone, err := s.release(name, retention)
	if err != nil || gone == "" {
		return err
	}
	s.cfg.Logger.Info("rollups deleted that no rule has kept for a while", "retention", name, "unused_since", since)
	return errors.Join(os.RemoveAll(gone), removeIfThere(note))
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// uses reports whether a rule has a retention.
func (s *Store) uses(retention time.Duration) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.usesLocked(retention)
}

func (s *Store) usesLocked(retention time.Duration) bool {
	for key := range s.kindsOf(s.rules) {
		if key.keep.For == retention {
			return true
		}
	}
	return false
}

// release closes a TSDB and moves it away, unless a rule uses it again. It returns
// where it is then, empty if it is still in use.
func (s *Store) release(name string, retention time.Duration) (string, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.usesLocked(retention) {
		return "", nil
	}
	if db := s.dbs[retention]; db != nil {
		// Before it is closed, after which it describes fewer metrics.
		s.registered(retention).Unregister(s.metrics[retention])
		delete(s.metrics, retention)
		delete(s.dbs, retention)
		if err := db.Close(); err != nil {
			return "", err
		}
	}
	for key := range s.kept {
		if key.keep.For == retention {
			delete(s.kept, key)
		}
	}
	s.forgetOwed()
	gone := filepath.Join(s.cfg.Dir, name+goneSuffix)
	return gone, os.Rename(filepath.Join(s.cfg.Dir, name), gone)
}

// forgetOwed forgets since when points were owed of rules of which nothing is kept
// any more: should one come back, it is a new one.
func (s *Store) forgetOwed() {
	for id := range s.since {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(s.kept)), func(k keptKey) bool { return k.rule == id }) {
			delete(s.since, id)
		}
	}
}

// registered returns where the metrics of a TSDB are registered.
func (s *Store) registered(retention time.Duration) prometheus.Registerer {
	return prometheus.WrapRegistererWith(prometheus.Labels{"retention": model.Duration(retention).String()}, prometheus.WrapRegistererWithPrefix("pando_rollup_", s.cfg.Registerer))
}

// openTSDB opens a TSDB whose metrics can be taken back: the retention may be used
// again after it was released.
func (s *Store) openTSDB(dir, name string, retention time.Duration, opts *tsdb.Options) (*tsdb.DB, error) {
	own := prometheus.NewRegistry()
	db, err := tsdb.Open(dir, s.cfg.Logger.With("component", "rollups", "retention", name), own, opts, nil)
	if err != nil {
		return nil, fmt.Errorf("open rollups in %q: %w", dir, err)
	}
	if err := s.registered(retention).Register(own); err != nil {
		return nil, errors.Join(fmt.Errorf("rollups in %q: register metrics: %w", dir, err), db.Close())
	}
	s.metrics[retention] = own
	return db, nil
}
