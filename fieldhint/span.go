package fieldhint

import (
	"fmt"
	"math"
	"math/bits"
)

// Span is the time from From on and before To, in milliseconds. A To of
// math.MaxInt64 means that it does not end; the zero Span is empty.
type Span struct{ From, To int64 }

// always is all of time.
var always = Span{math.MinInt64, math.MaxInt64}

// overlaps reports whether any of the times from mint to maxt, both included, is
// in the span.
func (s Span) overlaps(mint, maxt int64) bool {
	return s.From <= maxt && (mint < s.To || s.To == math.MaxInt64)
}

// last is the last millisecond of the span.
func (s Span) last() int64 {
	if s.To == math.MaxInt64 {
		return s.To
	}
	return s.To - 1
}

// Layout says how a Set divides time into sections: the current one, which does
// not end, and eras before Start, the first Window long, each further one twice
// as long as the one before, the last without beginning. All is in milliseconds.
type Layout struct {
	// Start is the start of a window. Layouts that differ in Current alone have
	// the same eras, and make sections of the same generation.
	Start int64
	// Window is the length of the first era.
	Window int64
	// Current is the beginning of the current section: the time, not after
	// Start, before which no sample will come. It may be math.MinInt64. It is
	// rounded down, so that sets with much the same bounds have the same spans.
	Current int64
}

const (
	maxEra = 20 // the number of the last era: with 2 h, it ends 240 years ago

	// A set of sections is a bit mask: the current one, then the eras.
	currentBit = 1
	allBits    = 1<<(maxEra+2) - 1
)

// Validate reports what cannot be used.
func (l Layout) Validate() error {
	switch {
	case l.Window < 1000:
		return fmt.Errorf("field hint layout: window of %d ms: use at least a second", l.Window)
	case l.Current > l.Start:
		return fmt.Errorf("field hint layout: the current section begins at %d, after the window's start %d", l.Current, l.Start)
	}
	return nil
}

// round moves the beginning of the current section back to a whole 24th of the
// window before Start.
func (l Layout) round() Layout {
	if l.Current == math.MinInt64 {
		return l
	}
	grain := uint64(max(l.Window/24, 1))
	back := (uint64(l.Start) - uint64(l.Current) + grain - 1) / grain * grain
	if back > uint64(l.Start)-1<<63 {
		l.Current = math.MinInt64
		return l
	}
	l.Current = l.Start - int64(back)
	return l
}

// era returns the number of the era in which a time before Start is.
func (l Layout) era(t int64) int {
	windows := (uint64(l.Start-1) - uint64(t)) / uint64(l.Window)
	return min(bits.Len64(windows+1)-1, maxEra)
}

// span returns the span of an era.
func (l Layout) span(era int) Span {
	s := Span{From: l.before(uint64(1)<<(era+1) - 1), To: l.before(uint64(1)<<era - 1)}
	if era == maxEra {
		s.From = math.MinInt64
	}
	return s
}

// before returns the time some windows before Start.
func (l Layout) before(windows uint64) int64 {
	hi, lo := bits.Mul64(windows, uint64(l.Window))
	if hi != 0 || lo > uint64(l.Start)-1<<63 {
		return math.MinInt64
	}
	return l.Start - int64(lo)
}

// sections returns the sections that a series must be in that has samples in
// spans: of the time from l.Current on the current one, of what is before the
// eras.
func (l Layout) sections(spans []Span) (mask uint32) {
	for _, s := range spans {
		if s.To <= s.From {
			continue
		}
		if s.last() >= l.Current {
			mask |= currentBit
		}
		if s.From >= l.Current {
			continue
		}
		for era := l.era(min(s.last(), l.Current-1)); era <= l.era(s.From); era++ {
			mask |= 1 << (era + 1)
		}
	}
	return mask
}

// contiguous fills the gaps in a set of sections.
func contiguous(mask uint32) uint32 {
	if mask == 0 {
		return 0
	}
	return uint32(1)<<bits.Len32(mask) - uint32(1)<<bits.TrailingZeros32(mask)
}
