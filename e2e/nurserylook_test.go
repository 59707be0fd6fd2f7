package e2e_test

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// reveal looks for a new series in all ways, in each until it is found or the
// answer tells what is missing.
func (n *nursery) reveal(rnd *rand.Rand, b *birth, measure bool) {
	for i, f := range rnd.Perm(len(forms)) {
		before, v := n.broken.Load(), early
		for v == early {
			v = n.look(rnd, b, forms[f])
		}
		if delay := time.Since(b.acked); measure && i == 0 && v == found && !n.excused(before) {
			n.mu.Lock()
			n.delays[forms[f]] = append(n.delays[forms[f]], delay)
			n.mu.Unlock()
		}
	}
}

// verdict is what an answer says of a series.
type verdict int

const (
	found verdict = iota
	told          // not there, and the answer says why
	early         // not there, without a word, as may be for a moment
	lie           // not there, without a word
)

// look asks for a series once, and judges the answer.
func (n *nursery) look(rnd *rand.Rand, b *birth, f form) verdict {
	query := b.equal()
	if f == byRegexp || !f.samples() && rnd.Intn(2) == 0 {
		query = b.matching(rnd)
	}
	before, begin := n.broken.Load(), time.Now()
	a, err := seek(n.root, f, b, query, "time", seconds(b.when()))
	switch {
	case err != nil || a.Status != "success":
		if !n.excused(before) {
			n.t.Errorf("%s %s: %v, status %d, error %q, though all is well", f, query, err, a.Code, a.Error)
		}
		n.missing.Add(1)
		return told
	case a.Partial != (len(a.Warnings) > 0):
		n.t.Errorf("%s %s: header says partial is %v, warnings are %q", f, query, a.Partial, a.Warnings)
	case len(a.Warnings) > 0 && !n.excused(before):
		n.t.Errorf("%s %s: warnings %q, though all is well", f, query, a.Warnings)
	}
	if slices.Contains(a.series(n.t, f), b.shown(f)) {
		return found
	}
	for _, name := range []string{fmt.Sprintf(`"zone=%s"`, b.leaf.zone), fmt.Sprintf(`"zone=%s,cluster=%s"`, b.leaf.zone, b.leaf.cluster)} {
		if mentions(a.Warnings, name) == nil {
			n.missing.Add(1)
			return told
		}
	}
	age := begin.Sub(b.acked)
	if age > visibleWithin {
		n.accuse(b, f, query, a, begin)
		return lie
	}
	n.early.Add(1)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.gaps = append(n.gaps, age)
	return early
}

// accuse reports a series that is missing from an answer without a word, and at
// which tier.
func (n *nursery) accuse(b *birth, f form, query string, a answer, begin time.Time) {
	if n.lies.Add(1) > 5 {
		return
	}
	says := func(base string, params ...string) string {
		a, err := seek(base, f, b, query, append(params, "time", seconds(b.when()))...)
		return fmt.Sprintf("%v (%v, %q)", slices.Contains(a.series(n.t, f), b.shown(f)), err, a.Warnings)
	}
	without, zone, leaf := says(n.root, "hints", "off"), says(b.leaf.above), says(b.leaf.http)
	for time.Since(begin) < 10*time.Second && !strings.HasPrefix(says(n.root), "true") {
	}
	n.t.Errorf("%s %s: %s, acknowledged %v before, is silently missing, outage %v: %s\n"+
		"found without hints: %s; at the zone: %s; at the leaf: %s; at the root %v later: %s",
		f, query, b.served(), begin.Sub(b.acked), n.excused(n.broken.Load()), a.Data, without, zone, leaf, time.Since(begin), says(n.root))
}

// seek asks for a series in one of the forms.
func seek(base string, f form, b *birth, query string, params ...string) (answer, error) {
	p := url.Values{"match[]": {query}}
	if f.samples() {
		p = url.Values{"query": {query}, "stats": {"all"}}
	}
	for i := 0; i < len(params); i += 2 {
		p.Set(params[i], params[i+1])
	}
	switch f {
	case bySeries:
		return call(base, "/api/v1/series", p)
	case byValues: // takes no form
		return call(base, "/api/v1/label/"+b.id+"/values?"+p.Encode(), nil)
	case byNames:
		return call(base, "/api/v1/labels", p)
	default:
		return call(base, "/api/v1/query", p)
	}
}

// series are those of a successful answer, or the names that it has instead, sorted.
func (a answer) series(t *testing.T, f form) []string {
	if a.Status != "success" {
		return nil
	}
	var sets []map[string]string
	var all []string
	var err error
	switch {
	case f == bySeries:
		err = json.Unmarshal(a.Data, &sets)
	case !f.samples():
		err = json.Unmarshal(a.Data, &all)
	default:
		var v model.Vector
		v, err = a.vector()
		for _, s := range v {
			set := map[string]string{}
			for name, value := range s.Metric {
				set[string(name)] = string(value)
			}
			sets = append(sets, set)
		}
	}
	if err != nil {
		t.Errorf("answer %s: %v", a.Data, err)
	}
	for _, set := range sets {
		all = append(all, labels.FromMap(set).String())
	}
	slices.Sort(all)
	return all
}

// excused reports whether there has been an outage since broken was before.
func (n *nursery) excused(before int64) bool { return before%2 == 1 || n.broken.Load() != before }
