package keep

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/pandometrics/pando/querytree"
)

func openPast(t *testing.T, dir string) *Past {
	t.Helper()
	p, err := OpenPast(filepath.Join(dir, "past.json"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func told(p *Past) (numbers []uint64) {
	_, rs := p.Told()
	for _, r := range rs {
		numbers = append(numbers, r.Number)
	}
	return numbers
}

// A change is told once it can be seen, those before it too, and the tier's own
// points are void; over a restart it is not lost.
func TestPastOrder(t *testing.T) {
	dir := t.TempDir()
	p := openPast(t, dir)
	restate := func(from, to int64) func() {
		t.Helper()
		seen, err := p.Restate(from, to)
		if err != nil {
			t.Fatal(err)
		}
		return seen
	}
	first, second := restate(1, 2), restate(3, 4)
	second()
	if u := p.unapplied(); len(u) > 0 {
		t.Errorf("%v although what came before cannot be seen", u)
	}
	first()
	first()
	if u := p.unapplied(); len(u) != 2 || len(told(p)) > 0 {
		t.Errorf("unapplied %v, told %v", u, told(p))
	}
	if err := p.applied(1, nil); err != nil {
		t.Fatal(err)
	}
	third := restate(5, 6)
	if d := cmp.Diff([]uint64{1}, told(p)); d != "" {
		t.Error(d)
	}
	id, _ := p.Told()
	p = openPast(t, dir) // the third is to be taken for one that can be seen
	again, _ := p.Told()
	if u := p.unapplied(); len(u) != 2 || u[1].Number != 3 || again != id {
		t.Errorf("after a restart: %v", u)
	}
	third()
}

// However many there are, none is lost: the oldest are told as one.
func TestPastIsBounded(t *testing.T) {
	p := openPast(t, t.TempDir())
	const many = 3 * maxRestatements
	pending := make([]func(), many)
	for i := range many {
		seen, err := p.Restate(int64(i*10), int64(i*10+5))
		if err != nil {
			t.Fatal(err)
		}
		pending[i] = seen
	}
	for _, seen := range pending[1:] {
		seen()
	}
	if u := p.unapplied(); len(u) > 0 {
		t.Errorf("%v although the first cannot be seen", u)
	}
	pending[0]()
	for heard := range uint64(many) {
		covered := map[int64]bool{}
		for _, r := range p.unapplied() {
			if r.Number > heard {
				for at := r.Mint; at <= r.Maxt; at++ {
					covered[at] = true
				}
			}
		}
		for i := int64(heard); i < many; i++ {
			if !covered[i*10] || !covered[i*10+5] {
				t.Fatalf("who has heard %d is not told of number %d", heard, i+1)
			}
		}
	}
	if n := len(p.unapplied()); n > maxRestatements {
		t.Errorf("%d are kept", n)
	}
}

// What a kill has left of a file that was being written goes at the next start, and
// nothing else does.
func TestHalfWrittenGoes(t *testing.T) {
	dir := t.TempDir()
	p := openPast(t, dir)
	p.onStep = func(string) error { return errCrash }
	if _, err := p.Restate(1, 2); !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
	for _, name := range []string{"past.json.bak", "past.json.", "past.jsonx.12", "other.12"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before, err := os.ReadDir(dir)
	if err != nil || len(before) != 6 {
		t.Fatalf("%v (%v)", before, err)
	}
	openPast(t, dir)
	left := []string{}
	after, err := os.ReadDir(dir)
	for _, e := range after {
		left = append(left, e.Name())
	}
	if d := cmp.Diff([]string{"other.12", "past.json", "past.json.", "past.json.bak", "past.jsonx.12"}, left); d != "" || err != nil {
		t.Errorf("-want +got (%v):\n%s", err, d)
	}
}

func TestHear(t *testing.T) {
	child := func(name, past string, mint, final int64, rs ...querytree.Restatement) querytree.Description {
		return querytree.Description{
			Identity: querytree.Identity{Tier: querytree.TierLeaf, Labels: labels.FromStrings("cluster", name)},
			Mint:     mint, Final: final, Past: past, Restatements: rs,
		}
	}
	r := func(n uint64, mint, maxt int64) querytree.Restatement {
		return querytree.Restatement{Number: n, Mint: mint, Maxt: maxt}
	}
	a := []string{"cluster=a"}
	type step struct {
		children []querytree.Description
		known    []string
	}
	const most = math.MaxInt64
	for name, c := range map[string]struct {
		steps []step
		want  []querytree.Interval
	}{
		"joins with a past":                     {[]step{{[]querytree.Description{child("a", "p", 100, 500)}, a}}, []querytree.Interval{{Mint: 100, Maxt: most}}},
		"joins empty":                           {[]step{{[]querytree.Description{child("a", "p", most, 500)}, a}}, []querytree.Interval{{Mint: 501, Maxt: most}}},
		"joins with samples of the future only": {[]step{{[]querytree.Description{child("a", "p", 900, 500)}, a}}, []querytree.Interval{{Mint: 501, Maxt: most}}},
		"says nothing of a past":                {[]step{{[]querytree.Description{child("a", "", 100, 500)}, a}}, nil},
		"stays": {[]step{
			{[]querytree.Description{child("a", "p", 100, 500)}, a}, {[]querytree.Description{child("a", "p", 100, 600)}, a},
		}, []querytree.Interval{{Mint: 100, Maxt: most}}},
		"is away for a while": {[]step{
			{[]querytree.Description{child("a", "p", 100, 500)}, a}, {nil, a}, {[]querytree.Description{child("a", "p", 100, 600)}, a},
		}, []querytree.Interval{{Mint: 100, Maxt: most}}},
		"restates, told twice": {[]step{
			{[]querytree.Description{child("a", "p", 100, 500, r(3, 1, 2))}, a},
			{[]querytree.Description{child("a", "p", 100, 500, r(3, 1, 2), r(4, 200, 210), r(5, 300, 310))}, a},
			{[]querytree.Description{child("a", "p", 100, 500, r(4, 1, 210), r(5, 300, 310))}, a},
		}, []querytree.Interval{{Mint: 100, Maxt: most}, {Mint: 200, Maxt: 310}}},
		"has lost its past": {[]step{
			{[]querytree.Description{child("a", "p", 100, 500, r(3, 1, 2))}, a}, {[]querytree.Description{child("a", "q", 100, 500)}, a},
		}, []querytree.Interval{{Mint: 100, Maxt: most}, {Mint: 100, Maxt: most}}},
		"was forgotten": {[]step{
			{[]querytree.Description{child("a", "p", 100, 500)}, a}, {nil, []string{}}, {[]querytree.Description{child("a", "p", 100, 500)}, a},
		}, []querytree.Interval{{Mint: 100, Maxt: most}, {Mint: 100, Maxt: most}}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			p := openPast(t, dir)
			for _, s := range c.steps {
				if err := p.Hear(s.children, s.known); err != nil {
					t.Fatal(err)
				}
				p = openPast(t, dir)
			}
			var got []querytree.Interval
			for _, u := range p.unapplied() {
				got = append(got, querytree.Interval{Mint: u.Mint, Maxt: u.Maxt})
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

// A file that is damaged is an error, not an empty past; one that is lost makes
// all points void, and the new one has another name.
func TestPastIsDamaged(t *testing.T) {
	k := collected(t, hourRule)
	k.must(k.restate(k.now-60_000, k.final))
	path := filepath.Join(k.dir, "past.json")
	good, err := os.ReadFile(path)
	k.must(err)
	for name, text := range map[string]string{
		"empty": "", "cut off": string(good[:len(good)/2]), "null": "null", "no ID": "{}",
		"not in order": `{"ID":"x","Restatements":[{"Number":2,"Mint":1,"Maxt":2},{"Number":1,"Mint":1,"Maxt":2}]}`,
		"of no time":   `{"ID":"x","Restatements":[{"Number":1,"Mint":3,"Maxt":2}]}`,
		"too far":      `{"ID":"x","Restatements":[{"Number":1,"Mint":1,"Maxt":2}],"Applied":2}`,
	} {
		k.must(os.WriteFile(path, []byte(text), 0o600))
		if _, err := OpenPast(path); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	k.must(os.Remove(path))
	k.must(os.WriteFile(path+".123", good[:3], 0o600)) // as of a write that was cut off
	id, _ := k.past.Told()
	before := k.status().Whole
	k.again(k.dir)
	if now, _ := k.past.Told(); now == id {
		t.Error("the new past has the name of the old one")
	}
	k.must(k.c.restate(t.Context()))
	if st := k.status(); before == 0 || st.Whole > 0 {
		t.Errorf("%d of %d points count although it is not known whether they are right", st.Whole, before)
	}
	k.must(k.collect())
	k.check("made again")
	if st := k.status(); st.Whole != before {
		t.Errorf("%d points, want %d", st.Whole, before)
	}
	if u := openPast(t, t.TempDir()).unapplied(); len(u) > 0 {
		t.Errorf("a new tier restates %v", u)
	}
}
