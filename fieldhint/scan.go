package fieldhint

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/prometheus/prometheus/model/labels"
)

// Bounds of what a scan remembers.
const (
	// plainViews is the number of different sets of sections for which labels
	// are remembered apart. Beyond it, gaps in sets are filled, so that there
	// are at most a few hundred.
	plainViews    = 32
	viewCacheSize = 2048
)

// scan collects the facts of all series, each with the sections that it must be
// in, and then makes the sections of them. It takes about 20 bytes for each
// distinct fact, and for a while as much again for the sections. It is safe for
// concurrent use.
type scan struct {
	set    *Set
	layout Layout
	scheme *Scheme
	marks  *marks
	now    *fpLog // the view of series that are there now

	mu    sync.Mutex
	views map[uint32]*fpLog
}

func (s *Set) newScan(layout Layout, scheme *Scheme) *scan {
	c := &scan{set: s, layout: layout, scheme: scheme, views: map[uint32]*fpLog{}}
	c.marks = &marks{log: newLog(s.cfg.Epoch(), newRoom(s.cfg.MaxFingerprints), 0)}
	c.now = c.view(currentBit)
	return c
}

// add adds a series that has samples in some spans.
func (c *scan) add(lset labels.Labels, spans ...Span) {
	if mask := c.layout.sections(spans); mask != 0 {
		c.view(mask).addSeries(lset)
	}
}

// view returns a log that adds to the marks of all sections of a set.
func (c *scan) view(mask uint32) *fpLog {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.views) >= plainViews {
		mask = contiguous(mask)
	}
	v := c.views[mask]
	if v == nil {
		v = newLog(0, nil, viewCacheSize).keep(c.scheme, c.set.cfg.External)
		v.marks, v.mark = c.marks, mask
		c.views[mask] = v
	}
	return v
}

// end makes a generation of the facts collected. The current section's log is
// given, since it takes additions already. Nothing may be added to the scan any
// more.
func (c *scan) end(g *generation) {
	data := c.marks.union()
	shared := ^uint32(0)
	if data&(data-1) != 0 { // with less than two sections, there is nothing to share
		shared = data
	}
	var logs [maxEra + 2]*fpLog
	logs[0] = g.current.log
	fps := make([]uint64, 0, chunkLen)
	for from := 0; from < c.marks.log.len(); from += chunkLen {
		fps = c.marks.log.read(fps[:0], from, min(from+chunkLen, c.marks.log.len()))
		for i, fp := range fps {
			mask := c.marks.at(from + i)
			if mask&shared == shared {
				g.core.log.insert(fp)
				continue
			}
			for bit := range logs {
				if mask&(1<<bit) == 0 {
					continue
				}
				if logs[bit] == nil {
					c.set.mu.Lock()
					logs[bit] = g.era(bit - 1).log
					c.set.mu.Unlock()
				}
				logs[bit].insert(fp)
			}
		}
	}
	if c.marks.log.full.Load() {
		g.current.log.full.Store(true)
	}
}

// marks is a log of which each fingerprint has a set of sections.
type marks struct {
	log    *fpLog
	mu     sync.Mutex // serializes growth
	chunks atomic.Pointer[[]*markChunk]
}

type markChunk [chunkLen]atomic.Uint32

// add adds sections to those of a fingerprint, and reports whether any is new.
func (m *marks) add(fp uint64, mask uint32) bool {
	at, _, ok := m.log.position(fp)
	if !ok {
		return false
	}
	return m.chunk(int(at >> chunkBits))[at&(chunkLen-1)].Or(mask)&mask != mask
}

func (m *marks) at(i int) uint32 { return m.chunk(i >> chunkBits)[i&(chunkLen-1)].Load() }

func (m *marks) chunk(i int) *markChunk {
	if chunks := m.chunks.Load(); chunks != nil && i < len(*chunks) {
		return (*chunks)[i]
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var chunks []*markChunk
	if old := m.chunks.Load(); old != nil {
		chunks = slices.Clone(*old)
	}
	for len(chunks) <= i {
		chunks = append(chunks, new(markChunk))
	}
	m.chunks.Store(&chunks)
	return chunks[i]
}

// union is the set of all sections that have any fingerprint.
func (m *marks) union() (mask uint32) {
	for i := range m.log.len() {
		mask |= m.at(i)
	}
	return mask
}
