package fieldhint

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Every time is in the section that the layout says, and eras follow one another
// without gaps.
func TestLayoutCoversAllTime(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 1))
	for _, l := range []Layout{
		{Window: 24 * hour, Current: -hour},
		{Start: 1_700_000_000_000 / (24 * hour) * 24 * hour, Window: 24 * hour, Current: 1_600_000_000_000},
		{Start: 2 * hour, Window: 2 * hour, Current: math.MinInt64},
		{Start: -5000, Window: 1000, Current: -5000},
	} {
		l = l.round()
		if l.span(maxEra).From != math.MinInt64 || l.span(0).To != l.Start {
			t.Errorf("%+v: eras are from %d to %d", l, l.span(maxEra).From, l.span(0).To)
		}
		for era := range maxEra {
			if l.span(era).From != l.span(era+1).To {
				t.Errorf("%+v: gap after era %d", l, era)
			}
		}
		times := []int64{math.MinInt64, l.Start - 1, l.Start, l.Current, math.MaxInt64 - 1}
		for range 1000 {
			times = append(times, l.Start-r.Int64N(1<<(1+r.IntN(61))), l.Start+r.Int64N(1<<50))
		}
		for _, at := range times {
			mask := l.sections([]Span{{at, at + 1}})
			inside := mask&currentBit != 0 && at >= l.Current
			for era := range maxEra + 1 {
				if mask&(1<<(era+1)) != 0 && l.span(era).overlaps(at, at) {
					inside = true
				}
			}
			if !inside || mask&(mask-1) != 0 {
				t.Fatalf("%+v: %d is in sections %b", l, at, mask)
			}
		}
		wide := l.sections([]Span{{l.Start - 100*l.Window, math.MaxInt64}})
		if l.Current > l.Start-50*l.Window && (wide&currentBit == 0 || contiguous(wide) != wide) {
			t.Errorf("%+v: a long span is in sections %b", l, wide)
		}
	}
}

// The beginning of the current section is rounded down, by less than a 24th.
func TestLayoutRounds(t *testing.T) {
	l := Layout{Start: 48 * hour, Window: 24 * hour}
	for current, want := range map[int64]int64{
		48 * hour: 48 * hour, 48*hour - 1: 47 * hour, 47 * hour: 47 * hour, 46*hour + 1: 46 * hour, math.MinInt64: math.MinInt64, math.MinInt64 + 1: math.MinInt64,
	} {
		l.Current = current
		if got := l.round().Current; got != want {
			t.Errorf("%d is rounded to %d, want %d", current, got, want)
		}
	}
	for _, l := range []Layout{{}, {Window: 10}, {Window: hour, Start: 5, Current: 6}} {
		if l.Validate() == nil {
			t.Errorf("%+v is accepted", l)
		}
	}
}
