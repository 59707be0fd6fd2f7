package fieldhint

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// Additions that come while layers are turned around, into a slab and out of it,
// are there afterwards.
func TestLayersMoveWithWhatComesMeanwhile(t *testing.T) {
	p := newParent(t, IndexConfig{})
	var sets []*Set
	var links []*link
	for i := range slabColumns - 1 { // one more, and they would share a slab
		s := leafSet(t, 64, fmt.Sprint(i))
		s.SetComplete()
		sets, links = append(sets, s), append(links, connect(t, s, p, fmt.Sprint(i)))
		links[i].flow()
	}
	add := func(what string) {
		for i, s := range sets {
			s.AddSeries(labels.FromStrings("pod", fmt.Sprintf("%s-%d", what, i)))
			links[i].flow()
		}
	}
	expect := func(when string, known ...string) {
		t.Helper()
		for i := range sets {
			for _, what := range known {
				p.expect(t, when, fmt.Sprint(i), fmt.Sprintf(`!pod="%s-%d"`, what, i))
			}
			p.expect(t, when, fmt.Sprint(i), `pod="never"`)
		}
	}

	x := &p.slabs
	if len(x.waiting) != 1 {
		t.Fatalf("%d kinds of layers wait, want 1", len(x.waiting))
	}
	for of, seats := range x.waiting {
		delete(x.waiting, of)
		var from []*plate
		for _, s := range seats {
			s.state = seatJoining
			from = append(from, x.start(s, seatJoining))
		}
		made := newSlab(from, of.blocks)
		add("joining")
		for i, s := range seats {
			x.sit(s, plate{words: made.words, blocks: of.blocks, hashes: of.hashes, slab: made, column: uint8(i)})
		}
		expect("in a slab", "joining")
		add("in")
		expect("added to in a slab", "joining", "in")

		for _, s := range seats {
			x.start(s, seatTaken)
		}
		words := made.apart()
		add("parting")
		for i, s := range seats {
			x.stand(s, plate{words: words[i], blocks: of.blocks, hashes: of.hashes})
		}
		expect("out of the slab", "joining", "in", "parting")
		add("out")
		expect("added to out of the slab", "joining", "in", "parting", "out")
	}
}

// Two layers of a child may be in one slab, only one of them in the child's
// place.
func TestAChildTwiceInASlab(t *testing.T) {
	x, err := NewIndex(IndexConfig{MaxAge: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	podOf := func(i, section int) labels.Labels {
		return labels.FromStrings("pod", fmt.Sprintf("pod-%d-%d", i, section))
	}
	var names []string
	for i := range 200 {
		names = append(names, fmt.Sprint(i))
		fr := frame{complete: true, first: true, epoch: 1}
		for id := range uint64(2) {
			fps := factsOf(podOf(i, int(id)))
			for j := range 600 {
				fps = append(fps, mix(uint64(i)<<32|id<<24|uint64(j))&fingerprintMask)
			}
			slices.Sort(fps)
			fps = slices.Compact(fps)
			fr.records = append(fr.records, record{kind: recordOpen, id: id, span: always, total: uint64(len(fps))}, record{kind: recordFingerprints, id: id, fps: fps})
		}
		if err := x.Open(names[i]).Apply(fr.append(nil)); err != nil {
			t.Fatal(err)
		}
	}
	twice := 0
	for _, r := range x.table.Load().slabs {
		if r.word < 0 {
			twice++
		}
	}
	if twice == 0 {
		t.Fatal("no slab has a layer that is not in its child's place")
	}
	for i := range names {
		for section := range 2 {
			out := x.RulesOutAll(names, equalities(podOf(i, section)), math.MinInt64, math.MaxInt64)
			if out[i] {
				t.Errorf("child %d is ruled out for what its section %d has", i, section)
			}
			if n := len(slices.DeleteFunc(out, func(out bool) bool { return out })); n > 10 {
				t.Errorf("%d of %d children are asked for what child %d has", n, len(names), i)
			}
		}
	}
}
