package fieldhint

import "slices"

// maxUnions bounds the sections of a zone's set. Children whose sections would be
// more share one that spans all time.
const maxUnions = 64

// unionKey tells which sections of children are one section of their zone's set.
type unionKey struct {
	number int64
	span   Span
}

// joint is a section of a zone's set, kept as long as a child has a part in it.
type joint struct {
	key     unionKey
	section *section
	parts   int
}

// maxUnionRooms is how many generations of children's sections have a bound of their
// own in a zone's set: one that goes and the one that comes after it.
const maxUnionRooms = 2

// unionRoom returns what bounds the joints of one generation. For some hours of a
// day a zone has two whole ones side by side, since its children change from one to
// the next one after the other: with one bound for both, half of it would do.
// Whatever children claim, there are no more than maxUnionRooms.
func (s *Set) unionRoom(number int64) *room {
	if r := s.rooms[number]; r != nil {
		return r
	}
	if len(s.rooms) >= maxUnionRooms {
		return s.newest().room
	}
	r := newRoom(s.cfg.MaxFingerprints)
	s.rooms[number] = r
	return r
}

// leaveRoom forgets the bound of a generation of which there is no joint any more.
func (s *Set) leaveRoom(number int64) {
	for key := range s.unions {
		if key.number == number {
			return
		}
	}
	delete(s.rooms, number)
}

// part is a child's section in the set of its zone. Its methods are safe for
// concurrent use and may be called on nil.
type part struct {
	set   *Set
	joint *joint
}

// open has a child's section take part in the set. A nil set returns nil.
func (s *Set) open(number int64, span Span) *part {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := unionKey{number, span}
	if s.unions[key] == nil && len(s.unions) >= maxUnions {
		key = unionKey{0, always}
	}
	u := s.unions[key]
	if u == nil {
		u = &joint{key: key, section: s.newest().newSectionIn(s.unionRoom(key.number), key.number, key.span, 0)}
		s.unions[key] = u
	}
	u.parts++
	return &part{s, u}
}

// add adds fingerprints of the child's section.
func (p *part) add(fps []uint64) {
	if p == nil {
		return
	}
	l := p.joint.section.log
	p.set.mu.RLock()
	changed := l.insertAll(fps)
	changed = changed || l.full.Load()
	p.set.mu.RUnlock()
	if changed {
		p.set.bell.ring()
	}
}

// widen says that the child's section begins earlier.
func (p *part) widen(from int64) {
	if p != nil && p.joint.section.widen(from) {
		p.set.bell.ring()
	}
}

// close says that the child no longer has the section. It may be called once.
func (p *part) close() {
	if p == nil {
		return
	}
	s, u := p.set, p.joint
	s.mu.Lock()
	defer s.mu.Unlock()
	if u.parts--; u.parts > 0 {
		return
	}
	delete(s.unions, u.key)
	g := s.newest()
	g.sections = slices.DeleteFunc(slices.Clone(g.sections), func(c *section) bool { return c == u.section })
	u.section.log.room.left.Add(int64(u.section.log.len()))
	s.leaveRoom(u.key.number)
	s.bell.ring()
}
