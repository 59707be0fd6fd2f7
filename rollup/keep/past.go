package keep

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
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
	wake    chan struct{}
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
}

type heard struct {
	Past   string
	Number uint64
}

// maxRestatements bounds those that are told; older ones are told as one.
const maxRestatements = 64

// OpenPast reads the file, or begins one.
func OpenPast(path string) (*Past, error) {
	p := &Past{path: path, pending: map[uint64]bool{}, wake: make(chan struct{}, 1)}
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		p.state.ID = rand.Text()
		err = p.save(p.state)
	case err == nil:
		err = json.Unmarshal(data, &p.state)
	}
	if err != nil {
		return nil, fmt.Errorf("restatements in %q: %w", path, err)
	}
	if p.state.Heard == nil {
		p.state.Heard = map[string]heard{}
	}
	return p, nil
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
// the whole past of a child that was not known. Known says from when on there is
// something that could be wrong.
func (p *Past) Hear(children []querytree.Description) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	next, changed := p.state, false
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
			next.Heard, changed = cloneHeard(next.Heard), true
		}
		next.Heard[d.Name()] = heard{d.Past, last}
		if !known || old.Past != d.Past {
			widen(d.Mint, d.Final)
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

func cloneHeard(m map[string]heard) map[string]heard {
	out := make(map[string]heard, len(m)+1)
	for k, v := range m {
		out[k] = v
	}
	return out
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

// applied notes that points are void by restatements up to a number.
func (p *Past) applied(number uint64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := p.state
	next.Applied = number
	if err := p.save(next); err != nil {
		return fmt.Errorf("note which restatements were applied: %w", err)
	}
	p.state = next
	return nil
}

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
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), p.path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
