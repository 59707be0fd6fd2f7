package gitops

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/pandometrics/pando/gitops/wave"
)

// State is what a loop remembers over restarts. It is written as a whole,
// before the step that it announces and after the one that it records:
//
//	STATE/state.json      this
//	STATE/bundles/REV     what was rendered of the revisions that State names
//	STATE/lock            held by the loop
type State struct {
	// Version is of the format: 1.
	Version int    `json:"version"`
	Cluster string `json:"cluster"`

	// Running is what the workload has confirmed.
	Running     string    `json:"running,omitempty"`
	RunningHash string    `json:"runningHash,omitempty"`
	RunningAt   time.Time `json:"runningAt,omitzero"`
	// Pending is being delivered, or was when the loop ended.
	Pending *Pending `json:"pending,omitempty"`
	// Began: nothing had ever run here when this loop delivered first.
	Began bool `json:"began,omitempty"`
	// Partial: a delivery was given up for another, which may have left a part of
	// itself at the workload.
	Partial bool `json:"partial,omitempty"`
	// Newest is the newest revision that was verified and valid.
	Newest *Seen `json:"newest,omitempty"`
	// Good are revisions that proved themselves here, newest first.
	Good []string `json:"good,omitempty"`
	// Rejected are those that this cluster does not want, newest first.
	Rejected []Rejection `json:"rejected,omitempty"`
	// Heard are rejections of other clusters: they hold when those fall silent.
	Heard []Rejection `json:"heard,omitempty"`
	// Waves are those by which the next revision is rolled out: of what runs.
	Waves []wave.Wave `json:"waves,omitempty"`

	// Paused, Promoted and Pinned are commands.
	Paused   bool   `json:"paused,omitempty"`
	Promoted string `json:"promoted,omitempty"`
	Pinned   string `json:"pinned,omitempty"`

	Memory  wave.Memory `json:"memory"`
	History []Event     `json:"history,omitempty"`
}

// clone copies all of it, the way that a restart does.
func (s *State) clone() (*State, error) {
	data, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("copy state of the control loop: %w", err)
	}
	out := &State{}
	if err := json.Unmarshal(data, out); err != nil {
		return nil, fmt.Errorf("copy state of the control loop: %w", err)
	}
	return out, nil
}

// Pending is a delivery under way.
type Pending struct {
	Revision string `json:"revision"`
	Hash     string `json:"hash"`
	// Since is when it began, Why says why.
	Since time.Time `json:"since"`
	Why   string    `json:"why"`
	// Back: it is a return to an earlier revision.
	Back bool `json:"back,omitempty"`
	// Handed: it was given to the deliverer, which may have written some of it.
	Handed bool `json:"handed,omitempty"`
	// Reached: the workload has begun with it, and was not done when asked.
	Reached bool `json:"reached,omitempty"`
	// Newest was the newest revision when it began.
	Newest string `json:"newest,omitempty"`
}

// Seen is a revision of the repository.
type Seen struct {
	Revision string    `json:"revision"`
	Ref      string    `json:"ref"`
	When     time.Time `json:"when"`
	Author   string    `json:"author,omitempty"`
	Subject  string    `json:"subject,omitempty"`
	Signer   string    `json:"signer,omitempty"`
	// Base is what it was shown to descend from.
	Base string `json:"base,omitempty"`
	// Waves are those that it declares.
	Waves []wave.Wave `json:"waves,omitempty"`
}

// Rejection is a revision that is not wanted, and why.
type Rejection struct {
	Revision string    `json:"revision"`
	Why      string    `json:"why"`
	At       time.Time `json:"at"`
}

// Event is a line of the history.
type Event struct {
	At       time.Time `json:"at"`
	Revision string    `json:"revision,omitempty"`
	// What happened: seen, advance, running, rollback, rejected, good, command,
	// superseded.
	What string `json:"what"`
	Why  string `json:"why,omitempty"`
}

// Bounds of what is remembered.
const (
	maxGood     = 5
	maxRejected = 16
	maxHeard    = 64
	maxHistory  = 100
	maxWhy      = 300
)

// newest is the newest revision that was verified and valid, "" for none.
func (s *State) newest() string {
	if s.Newest == nil {
		return ""
	}
	return s.Newest.Revision
}

// rejected says of revisions why this cluster does not take them.
func (s *State) rejected() map[string]string {
	out := make(map[string]string, len(s.Rejected)+len(s.Heard))
	for _, r := range slices.Concat(s.Heard, s.Rejected) {
		out[r.Revision] = r.Why
	}
	return out
}

// of tells whether a revision is among rejections.
func of(revision string) func(Rejection) bool {
	return func(r Rejection) bool { return r.Revision == revision }
}

// hear remembers what other clusters reject.
func (s *State) hear(rejected map[string]string, at time.Time) {
	for _, r := range slices.Sorted(maps.Keys(rejected)) {
		if slices.ContainsFunc(s.Heard, of(r)) || s.Promoted == r {
			continue
		}
		s.Heard = slices.Insert(s.Heard, 0, Rejection{r, clip(rejected[r]), at})
		s.Heard = s.Heard[:min(len(s.Heard), maxHeard)]
		s.Good = slices.DeleteFunc(s.Good, func(g string) bool { return g == r })
	}
}

func (s *State) reject(revision, why string, at time.Time) {
	if revision == "" || slices.ContainsFunc(s.Rejected, of(revision)) {
		return
	}
	why = clip(why)
	s.Rejected = slices.Insert(s.Rejected, 0, Rejection{revision, why, at})
	s.Rejected = s.Rejected[:min(len(s.Rejected), maxRejected)]
	s.Good = slices.DeleteFunc(s.Good, func(g string) bool { return g == revision })
	s.event(Event{at, revision, "rejected", why})
}

func (s *State) good(revision string, at time.Time) {
	if len(s.Good) > 0 && s.Good[0] == revision {
		return
	}
	s.Good = slices.Insert(slices.DeleteFunc(s.Good, func(g string) bool { return g == revision }), 0, revision)
	s.Good = s.Good[:min(len(s.Good), maxGood)]
	s.event(Event{at, revision, "good", ""})
}

func (s *State) event(e Event) {
	e.Why = clip(e.Why)
	s.History = append(s.History, e)
	s.History = s.History[max(0, len(s.History)-maxHistory):]
}

// clip makes a text fit for the value of a label.
func clip(s string) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) > maxWhy {
		s = strings.ToValidUTF8(s[:maxWhy], "") + "…"
	}
	return s
}

// keeps are the revisions whose bundles are needed.
func (s *State) keeps(revision string) bool {
	return revision == s.Running || slices.Contains(s.Good, revision) || revision == s.Promoted || revision == s.Pinned ||
		s.Pending != nil && revision == s.Pending.Revision || s.Newest != nil && revision == s.Newest.Revision
}

// store keeps a State in a folder.
type store struct {
	dir  string
	lock *os.File
	last []byte
	// crash is called by tests between steps that must be safe to be killed at.
	crash func(point string)
}

const stateVersion = 1

// openStore locks the folder and reads the state, if there is one.
func openStore(dir, cluster string) (*store, *State, error) {
	s := &store{dir: dir, crash: func(string) {}}
	if err := os.MkdirAll(filepath.Join(dir, "bundles"), 0o700); err != nil {
		return nil, nil, fmt.Errorf("open state of the control loop: %w", err)
	}
	var err error
	if s.lock, err = os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, nil, fmt.Errorf("open state of the control loop: %w", err)
	}
	if err := syscall.Flock(int(s.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = s.lock.Close()
		return nil, nil, fmt.Errorf("open state of the control loop: folder %q is used by another loop: %w", dir, err)
	}
	state, err := s.load(cluster)
	if err != nil {
		_ = s.close()
		return nil, nil, err
	}
	return s, state, nil
}

func (s *store) close() error { return s.lock.Close() } // which unlocks it

func (s *store) load(cluster string) (*State, error) {
	name := filepath.Join(s.dir, "state.json")
	data, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return &State{Version: stateVersion, Cluster: cluster}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read state of the control loop: %w", err)
	}
	state := &State{}
	if err := json.Unmarshal(data, state); err != nil {
		return nil, fmt.Errorf("read state of the control loop: %q is damaged; remove it to begin anew: %w", name, err)
	}
	if state.Version != stateVersion {
		return nil, fmt.Errorf("read state of the control loop: %q has version %d, this program knows %d: use the program that wrote it, or remove it to begin anew", name, state.Version, stateVersion)
	}
	if state.Cluster != cluster {
		return nil, fmt.Errorf("read state of the control loop: %q is of cluster %q, not %q: give each loop a folder of its own", name, state.Cluster, cluster)
	}
	s.last = data
	return state, nil
}

// save writes the state, unless it is what was written last.
func (s *store) save(state *State) error {
	data, err := json.MarshalIndent(state, "", "  ")
	if err != nil {
		return fmt.Errorf("save state of the control loop: %w", err)
	}
	if bytes.Equal(data, s.last) {
		return nil
	}
	if err := s.write(filepath.Join(s.dir, "state.json"), data); err != nil {
		return fmt.Errorf("save state of the control loop: %w", err)
	}
	s.last = data
	return nil
}

// write replaces a file, so that it is there as a whole, the old or the new.
func (s *store) write(name string, data []byte) error {
	tmp := name + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	s.crash("written " + filepath.Base(name))
	if err := os.Rename(tmp, name); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// stored is a bundle on the disk, with a checksum.
type stored struct {
	Sum    string          `json:"sha256"`
	Bundle json.RawMessage `json:"bundle"`
}

func (s *store) bundleFile(revision string) (string, error) {
	if revision == "" || strings.ContainsAny(revision, "/\\.") {
		return "", fmt.Errorf("%q is not the name of a revision", revision)
	}
	return filepath.Join(s.dir, "bundles", revision), nil
}

// keep stores a bundle.
func (s *store) keep(b *Bundle) error {
	name, err := s.bundleFile(b.Revision)
	if err != nil {
		return err
	}
	data, err := json.Marshal(b)
	if err != nil {
		return fmt.Errorf("store bundle: %w", err)
	}
	sum := sha256.Sum256(data)
	if data, err = json.Marshal(stored{hex.EncodeToString(sum[:]), data}); err != nil {
		return fmt.Errorf("store bundle: %w", err)
	}
	if err := s.write(name, data); err != nil {
		return fmt.Errorf("store bundle of revision %.12s: %w", b.Revision, err)
	}
	return nil
}

// bundle reads a bundle; nil if there is none, or none that is whole.
func (s *store) bundle(revision string) *Bundle {
	name, err := s.bundleFile(revision)
	if err != nil {
		return nil
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil
	}
	var st stored
	if json.Unmarshal(data, &st) != nil {
		return nil
	}
	if sum := sha256.Sum256(st.Bundle); hex.EncodeToString(sum[:]) != st.Sum {
		return nil
	}
	b := &Bundle{}
	if json.Unmarshal(st.Bundle, b) != nil || b.Revision != revision {
		return nil
	}
	return b
}

// prune removes bundles that nobody needs.
func (s *store) prune(keeps func(revision string) bool) error {
	entries, err := os.ReadDir(filepath.Join(s.dir, "bundles"))
	if err != nil {
		return fmt.Errorf("clear away bundles: %w", err)
	}
	for _, e := range entries {
		if keeps(e.Name()) {
			continue
		}
		if err := os.Remove(filepath.Join(s.dir, "bundles", e.Name())); err != nil {
			return fmt.Errorf("clear away bundles: %w", err)
		}
	}
	return nil
}
