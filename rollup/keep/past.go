package keep

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/pandometrics/pando/querytree"
)

// Past is what a tier has to tell of changes to times that were final, kept in a
// file so that it survives a restart. It is safe for concurrent use.
type Past struct {
	path string

	mu    sync.Mutex
	state pastState
	// pending are numbers of restatements whose changes cannot be seen yet.
	pending map[uint64]bool
	// onStep is told of each step of saving; tests fail there. May be nil.
	onStep func(string) error
	// unsaved: who is away could not be written last time.
	unsaved bool
	// looked is when it was noted last who is away; zero at the start.
	looked moment
	wake   chan struct{}
}

// pastState is the file's content.
type pastState struct {
	// ID names the numbering.
	ID           string
	Restatements []querytree.Restatement
	// Applied is the number of the last one by which points were made void.
	Applied uint64
	// Heard says of each child, by name, how far its restatements are among ours.
	Heard map[string]heard
	// Rules names the kinds of points that were made void by all up to Applied, by rule,
	// distance and how long they are kept.
	Rules []string
	// Left says of those that are not kept any more up to which one they were made
	// void; they may come back.
	Left map[string]uint64
	// Away says since when who is away, in milliseconds.
	Away map[string]int64
	// AwayBy says of those who are no children which child told that they are away.
	AwayBy map[string]string `json:",omitempty"`
}

type heard struct {
	Past   string
	Number uint64
}

// Bounds of what is kept.
const (
	// maxRestatements are told; older ones are told as one.
	maxRestatements = 64
	// maxLeft of those are remembered; of others all is made void if they come back.
	maxLeft = 1000
)

// OpenPast reads the file, or begins one. If there is none although its directory
// holds something, what it said is lost: then all points are to be made again.
func OpenPast(path string) (*Past, error) {
	p := &Past{path: path, pending: map[uint64]bool{}, wake: make(chan struct{}, 1)}
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = p.begin()
	case err == nil:
		if err = json.Unmarshal(data, &p.state); err == nil {
			err = p.state.validate()
		}
		if err != nil {
			err = fmt.Errorf("%w; mend the file, or remove it: then all points of rollups are made again, here and above", err)
		}
	}
	if err == nil {
		err = p.sweep()
	}
	if err != nil {
		return nil, fmt.Errorf("restatements in %q: %w", path, err)
	}
	if p.state.Heard == nil {
		p.state.Heard = map[string]heard{}
	}
	return p, nil
}

// begin begins a file.
func (p *Past) begin() error {
	p.state.ID = rand.Text()
	entries, err := os.ReadDir(filepath.Dir(p.path))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// A file of ours that was being written when the process died says nothing.
	lost := slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return !strings.HasPrefix(e.Name(), filepath.Base(p.path)) })
	if lost {
		p.state = p.state.with(math.MinInt64, math.MaxInt64)
	}
	return p.save(p.state)
}

// validate reports what a file cannot say unless it is damaged.
func (s pastState) validate() error {
	if s.ID == "" {
		return errors.New("no ID")
	}
	last := uint64(0)
	for _, r := range s.Restatements {
		if r.Number <= last || r.Mint > r.Maxt {
			return fmt.Errorf("restatement %d, after %d, is of %d..%d", r.Number, last, r.Mint, r.Maxt)
		}
		last = r.Number
	}
	if s.Applied > last {
		return fmt.Errorf("restatement %d was applied, but there are only %d", s.Applied, last)
	}
	return nil
}

// Restate notes that samples from mint to maxt are about to change although they
// were final. Once it returns, the note is on disk. Seen must be called when the
// change can be seen by queries, or has failed; it is told from then on.
func (p *Past) Restate(mint, maxt int64) (seen func(), err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := p.state.with(mint, maxt)
	if err := p.save(next); err != nil {
		return func() {}, fmt.Errorf("note a change of final samples: %w", err)
	}
	p.state = next
	n := next.last()
	p.pending[n] = true
	return sync.OnceFunc(func() {
		p.mu.Lock()
		delete(p.pending, n)
		p.mu.Unlock()
		p.signal()
	}), nil
}

func (p *Past) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// with returns a state with one more restatement.
func (s pastState) with(mint, maxt int64) pastState {
	s.Restatements = append(slices.Clone(s.Restatements), querytree.Restatement{Number: s.last() + 1, Mint: mint, Maxt: maxt})
	if len(s.Restatements) > maxRestatements {
		a, b := s.Restatements[0], s.Restatements[1]
		s.Restatements = s.Restatements[1:]
		s.Restatements[0] = querytree.Restatement{Number: b.Number, Mint: min(a.Mint, b.Mint), Maxt: max(a.Maxt, b.Maxt)}
	}
	return s
}

func (s pastState) last() uint64 {
	if len(s.Restatements) == 0 {
		return 0
	}
	return s.Restatements[len(s.Restatements)-1].Number
}

// Told returns the name of the numbering, and the restatements that parents may
// know of: the tier's own points are void already, and what changed can be seen.
func (p *Past) Told() (id string, out []querytree.Restatement) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.state.Restatements {
		if r.Number > p.state.Applied || p.anyPending(r.Number) {
			break
		}
		out = append(out, r)
	}
	return p.state.ID, out
}

// anyPending reports whether a change up to that number cannot be seen yet.
func (p *Past) anyPending(number uint64) bool {
	for n := range p.pending {
		if n <= number {
			return true
		}
	}
	return false
}

// Hear takes over what children say: the restatements that were not heard of, and
// of a child that was not known all since its first sample, and all that was made
// without waiting for it. Known are the names of all children, including those that
// are missing: one that has been forgotten meanwhile was not waited for. If it is
// nil, none is forgotten.
func (p *Past) Hear(children []querytree.Description, known []string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	next, changed := p.state, false
	if known != nil {
		for name := range next.Heard {
			if slices.Contains(known, name) {
				continue
			}
			if !changed {
				next.Heard, changed = maps.Clone(next.Heard), true
			}
			delete(next.Heard, name)
		}
	}
	mint, maxt := int64(1), int64(0)
	widen := func(from, to int64) {
		if from > to {
			return
		}
		if mint > maxt {
			mint, maxt = from, to
			return
		}
		mint, maxt = min(mint, from), max(maxt, to)
	}
	for _, d := range children {
		if d.Past == "" {
			continue
		}
		last := uint64(0)
		if n := len(d.Restatements); n > 0 {
			last = d.Restatements[n-1].Number
		}
		old, known := next.Heard[d.Name()]
		if known && old.Past == d.Past && old.Number >= last {
			continue
		}
		if !changed {
			next.Heard, changed = maps.Clone(next.Heard), true
		}
		next.Heard[d.Name()] = heard{d.Past, last}
		if !known || old.Past != d.Past {
			from := d.Mint
			if d.Final > 0 {
				from = min(from, d.Final+1)
			}
			widen(from, math.MaxInt64)
			continue
		}
		for _, r := range d.Restatements {
			if r.Number > old.Number {
				widen(r.Mint, r.Maxt)
			}
		}
	}
	if !changed {
		return nil
	}
	if mint <= maxt {
		next = next.with(mint, maxt)
	}
	if err := p.save(next); err != nil {
		return fmt.Errorf("note what children restated: %w", err)
	}
	p.state = next
	return nil
}

// unapplied returns the restatements by which points are to be made void.
func (p *Past) unapplied() (out []querytree.Restatement) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.state.Restatements {
		if r.Number > p.state.Applied && !p.anyPending(r.Number) {
			out = append(out, r)
		}
	}
	return out
}

// applied notes that points are void by restatements up to a number, but for the
// kinds named: those are as if they were not kept, and count again once they are
// void too.
func (p *Past) applied(number uint64, behind []string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := p.state
	if len(behind) > 0 {
		next.Left = map[string]uint64{}
		maps.Copy(next.Left, p.state.Left)
		for _, id := range behind {
			next.Left[id] = p.state.Applied
		}
		next.Rules = slices.DeleteFunc(append([]string{}, p.state.Rules...), func(id string) bool { return slices.Contains(behind, id) })
	}
	next.Applied = number
	if err := p.save(next); err != nil {
		return fmt.Errorf("note which restatements were applied: %w", err)
	}
	p.state = next
	return nil
}

// back returns which rules are kept that were not, and up to which restatement
// their points were made void; zero if that is not known.
func (p *Past) back(rules []string) map[string]uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[string]uint64{}
	if p.state.Rules == nil {
		return out // none was kept
	}
	for _, id := range rules {
		if !slices.Contains(p.state.Rules, id) {
			out[id] = p.state.Left[id]
		}
	}
	return out
}

// since returns the restatements after a number that were applied.
func (p *Past) since(number uint64) (out []querytree.Restatement) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.state.Restatements {
		if number < r.Number && r.Number <= p.state.Applied {
			out = append(out, r)
		}
	}
	return out
}

// keeps notes which rules are kept from now on, whose points are void so far as
// restatements were applied.
func (p *Past) keeps(rules []string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state.Rules != nil && slices.Equal(p.state.Rules, rules) {
		return nil
	}
	next := p.state
	next.Rules, next.Left = append([]string{}, rules...), map[string]uint64{}
	maps.Copy(next.Left, p.state.Left)
	for _, id := range p.state.Rules {
		next.Left[id] = p.state.Applied
	}
	for _, id := range rules {
		delete(next.Left, id)
	}
	for id := range next.Left {
		if len(next.Left) <= maxLeft {
			break
		}
		delete(next.Left, id)
	}
	if err := p.save(next); err != nil {
		return fmt.Errorf("note which rules are kept: %w", err)
	}
	p.state = next
	return nil
}
