package querytree

import (
	"context"
	"fmt"
	"math"
	"math/rand"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
)

// Lists are merged to what sorting all of them gives, in whatever order they
// come.
func TestNameMerger(t *testing.T) {
	rnd := rand.New(rand.NewSource(1))
	for range 300 {
		limit := rnd.Intn(3) * rnd.Intn(40)
		m := &nameMerger{limit: limit}
		var want []string
		var adding sync.WaitGroup
		for range rnd.Intn(20) {
			var list []string
			for range rnd.Intn(30) {
				list = append(list, fmt.Sprint(rnd.Intn(60)))
			}
			if rnd.Intn(2) == 0 {
				slices.Sort(list)
			}
			want = append(want, list...)
			adding.Go(func() { m.add(list) })
		}
		adding.Wait()
		slices.Sort(want)
		want = slices.Compact(want)
		if limit > 0 && len(want) > limit {
			want = want[:limit]
		}
		if d := cmp.Diff(want, m.result()); d != "" && len(want)+len(m.result()) > 0 {
			t.Fatalf("limit %d, -want +got:\n%s", limit, d)
		}
	}
}

// The values of identity labels come from identities, where it is certain that
// there are series; else the children are asked.
func TestIdentityValues(t *testing.T) {
	between := func(d Description, mint, maxt int64) Description {
		d.Mint, d.Maxt, d.Series = mint, maxt, 5
		return d
	}
	eq := func(name, v string) *labels.Matcher { return labels.MustNewMatcher(labels.MatchEqual, name, v) }
	for _, tt := range []struct {
		name   string
		desc   Description
		change func(*Member)
		req    NamesRequest
		asked  bool
	}{
		{"all of its time", between(eu, 100, 200), nil, NamesRequest{Mint: 0, Maxt: 1000}, false},
		{"its end", between(eu, 100, 200), nil, NamesRequest{Mint: 150, Maxt: 1000}, false},
		{"its beginning", between(eu, 100, 200), nil, NamesRequest{Mint: 0, Maxt: 100}, false},
		{"any time", between(eu, 100, 200), nil, NamesRequest{Mint: math.MinInt64, Maxt: math.MaxInt64}, false},
		{"of identity", between(eu, 100, 200), nil, NamesRequest{Maxt: 1000, Matchers: []*labels.Matcher{eq("zone", "eu")}}, false},
		{"times between", between(eu, 100, 200), nil, NamesRequest{Mint: 120, Maxt: 150}, true},
		{"unknown bounds", between(eu, math.MinInt64, math.MaxInt64), nil, NamesRequest{Mint: math.MinInt64, Maxt: math.MaxInt64}, true},
		{"empty", zoneOf("zone", "eu"), nil, NamesRequest{Maxt: 1000}, true},
		{"matcher of data", between(eu, 100, 200), nil, NamesRequest{Maxt: 1000, Matchers: []*labels.Matcher{eq("zone", "eu"), eq("job", "api")}}, true},
		{"gone", between(eu, 100, 200), func(m *Member) { m.Connected = false }, NamesRequest{Maxt: 1000}, true},
		{"silent", between(eu, 100, 200), func(m *Member) { m.Stale = true }, NamesRequest{Maxt: 1000}, true},
	} {
		asked := false
		f := &fake{desc: tt.desc}
		f.names = func(context.Context, NamesRequest) (Names, error) {
			asked = true
			return Names{Names: []string{"eu"}, Report: f.asked()}, nil
		}
		m := mixerOver(t, Identity{Tier: TierRoot}, func(c *MixerConfig) {
			c.Members = func() []Member {
				member := Member{Child: f, Description: tt.desc, Connected: true}
				if tt.change != nil {
					tt.change(&member)
				}
				return []Member{member}
			}
		}, f)
		tt.req.Label = "zone"
		got, err := m.Names(t.Context(), tt.req)
		if err != nil || asked != tt.asked || !slices.Equal(got.Names, []string{"eu"}) || len(got.Warnings) > 0 {
			t.Errorf("%s: asked %t, want %t; %q, %v, %v", tt.name, asked, tt.asked, got.Names, got.Warnings, err)
		}
	}
}
