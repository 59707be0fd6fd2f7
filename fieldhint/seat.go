package fieldhint

import (
	"slices"
	"sync"
	"sync/atomic"
)

// slabs brings layers of the same geometry together, 64 to a slab. What there is
// to do is put in a queue by whoever finds that it must be done, and done by
// whoever comes by and holds no lock.
type slabs struct {
	// idle is the number of bytes of slabs that belong to no layer.
	idle atomic.Int64

	mu      sync.Mutex
	waiting map[geometry][]*seat
	full    [][]*seat // to be joined in a slab
	doomed  []*slab   // to be taken apart
}

// geometry is what layers of one slab have in common. That they are of the same
// span is not needed, but good: they are dropped at much the same time.
type geometry struct {
	blocks uint64
	hashes uint8
	span   Span
}

// seat is a layer's place among others.
type seat struct {
	child *child
	layer *layer // under child.mu
	// filter is whose layer it is.
	filter *Filter
	of     geometry

	// Under slabs.mu:
	slab  *slab // nil until it sits
	state seatState
}

type seatState uint8

const (
	seatWaiting seatState = iota
	seatJoining
	seatTaken
	seatGone
)

// offer has the layers of a child's hint wait for others. child.mu must be held.
func (x *slabs) offer(c *child, h *hint) {
	for _, s := range h.sections {
		if s.filter == nil {
			continue
		}
		for _, l := range *s.filter.layers.Load() {
			if l.seat == nil && l.slab == nil && l.blocks <= maxSlabBlocks {
				x.wait(&seat{child: c, filter: s.filter, layer: l, of: geometry{l.blocks, l.hashes, s.span}})
			}
		}
	}
}

func (x *slabs) wait(s *seat) {
	s.layer.seat = s
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.waiting == nil {
		x.waiting = map[geometry][]*seat{}
	}
	all := append(x.waiting[s.of], s)
	if len(all) < slabColumns {
		x.waiting[s.of] = all
		return
	}
	delete(x.waiting, s.of)
	for _, s := range all {
		s.state = seatJoining
	}
	x.full = append(x.full, all)
}

// release gives up the seats of a filter that is dropped. The child's mu must be
// held.
func (x *slabs) release(f *Filter) {
	if f == nil {
		return
	}
	for _, l := range *f.layers.Load() {
		if l.seat != nil {
			x.leave(l.seat)
			l.seat = nil
		}
	}
}

func (x *slabs) leave(s *seat) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch s.state {
	case seatWaiting:
		left := slices.DeleteFunc(x.waiting[s.of], func(other *seat) bool { return other == s })
		if x.waiting[s.of] = left; len(left) == 0 {
			delete(x.waiting, s.of)
		}
	case seatTaken:
		s.slab.live--
		x.idle.Add(s.bytes())
		x.judge(s.slab)
	}
	s.state = seatGone
}

// judge has a slab be taken apart that few are left in. mu must be held.
func (x *slabs) judge(s *slab) {
	if s.finished && !s.doomed && s.live < leastLive {
		s.doomed = true
		x.doomed = append(x.doomed, s)
	}
}

func (s *seat) bytes() int64 { return int64(s.of.blocks) * blockWords * 8 }

// work does all that is to be done, and reports whether there was anything. No
// lock of a child may be held.
func (x *slabs) work() (worked bool) {
	for {
		x.mu.Lock()
		var full []*seat
		var doomed *slab
		if n := len(x.full); n > 0 {
			full, x.full = x.full[n-1], x.full[:n-1]
		} else if n := len(x.doomed); n > 0 {
			doomed, x.doomed = x.doomed[n-1], x.doomed[:n-1]
		}
		x.mu.Unlock()
		switch {
		case full != nil:
			x.join(full)
		case doomed != nil:
			x.part(doomed)
		default:
			return worked
		}
		worked = true
	}
}

// join makes a slab of 64 layers. Additions go to the layers until their turn
// comes, and are noted: so what the slab has missed is added then.
func (x *slabs) join(seats []*seat) {
	from := make([]*plate, len(seats))
	for i, s := range seats {
		from[i] = x.start(s, seatJoining)
	}
	made := newSlab(from, seats[0].of.blocks)
	x.idle.Add(slabColumns * seats[0].bytes())
	for i, s := range seats {
		if from[i] != nil {
			to := plate{words: made.words, blocks: s.of.blocks, hashes: s.of.hashes, slab: made, column: uint8(i)}
			x.sit(s, to)
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	made.finished = true
	x.judge(made)
}

// start notes what is added to a seat's layer from now on, and returns where the
// layer is; nil if the seat is not in that state any more.
func (x *slabs) start(s *seat, in seatState) *plate {
	s.child.mu.Lock()
	defer s.child.mu.Unlock()
	if !x.is(s, in) {
		return nil
	}
	s.layer.moving = true
	return &s.layer.plate
}

func (x *slabs) is(s *seat, state seatState) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return s.state == state
}

// sit moves a layer into a slab.
func (x *slabs) sit(s *seat, to plate) {
	c := s.child
	c.mu.Lock()
	defer c.mu.Unlock()
	x.mu.Lock()
	if s.state != seatJoining {
		x.mu.Unlock()
		return
	}
	s.state, s.slab = seatTaken, to.slab
	to.slab.live++
	to.slab.seats[to.column] = s
	x.mu.Unlock()
	x.idle.Add(-s.bytes())
	s.move(to)
}

// move puts a layer elsewhere, where what it had when moving was set is already.
// The view of the child changes with it, before anything is added to the new
// place, so that nobody looks for that in the old one. child.mu must be held.
func (s *seat) move(to plate) {
	old := s.layer
	moved := &layer{plate: to, capacity: old.capacity, n: old.n, seat: s}
	var room [1 + maxHashes]uint64
	for _, fp := range old.journal {
		moved.add(appendLocations(room[:0], fp))
	}
	s.filter.replace(old, moved)
	s.layer = moved
	if v := s.child.view.Load(); v != nil {
		if w := v.moved(&old.plate, &moved.plate); w != v {
			s.child.show(w)
		}
	}
}

// part gives the layers that are left in a slab memory of their own, and has
// them wait for others.
func (x *slabs) part(from *slab) {
	x.mu.Lock()
	seats := from.seats
	x.mu.Unlock()
	for i, s := range seats {
		if s == nil || x.start(s, seatTaken) == nil {
			seats[i] = nil
		}
	}
	words := from.apart()
	for i, s := range seats {
		if s != nil {
			x.stand(s, plate{words: words[i], blocks: s.of.blocks, hashes: s.of.hashes})
		}
	}
	x.idle.Add(-int64(len(from.words)) * 8)
}

// stand moves a layer out of a slab.
func (x *slabs) stand(s *seat, to plate) {
	c := s.child
	c.mu.Lock()
	defer c.mu.Unlock()
	x.mu.Lock()
	gone := s.state != seatTaken
	if !gone {
		s.state, s.slab.seats[s.layer.column], s.slab = seatWaiting, nil, nil
	}
	x.mu.Unlock()
	if gone {
		return
	}
	x.idle.Add(s.bytes())
	s.move(to)
	x.wait(s)
}
