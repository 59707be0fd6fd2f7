package querytree

import (
	"flag"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
)

var update = flag.Bool("update", false, "rewrite testdata/plans.txt")

const plansFile = "testdata/plans.txt"

// leafOf describes a leaf by pairs of label names and values.
func leafOf(pairs ...string) Description {
	return Description{
		Identity: Identity{Tier: TierLeaf, Labels: labels.FromStrings(pairs...)},
		Mint:     math.MinInt64, Maxt: math.MaxInt64, Leaves: 1,
	}
}

func zoneOf(pairs ...string) Description {
	d := leafOf(pairs...)
	d.Tier = TierZone
	return d
}

func featured(d Description) Description {
	d.Features = MixerFeatures()
	return d
}

func shardOf(shard string, key []string, pairs ...string) Description {
	d := leafOf(pairs...)
	d.Shard, d.ShardKey = shard, key
	return d
}

// families are the sets of members that plans are shown for.
var families = map[string][]Description{
	"zones":  {zoneOf("zone", "eu"), zoneOf("zone", "us")},
	"leaves": {leafOf("zone", "eu", "cluster", "a"), leafOf("zone", "eu", "cluster", "b"), leafOf("zone", "eu", "cluster", "c")},
	"keyed": {
		shardOf("0", []string{"job", "instance"}, "zone", "eu", "cluster", "a"),
		shardOf("1", []string{"job", "instance"}, "zone", "eu", "cluster", "a"),
	},
	"unkeyed":  {shardOf("0", nil, "zone", "eu", "cluster", "a"), shardOf("1", nil, "zone", "eu", "cluster", "a")},
	"bynames":  {shardOf("0", []string{"__name__"}), shardOf("1", []string{"__name__"})},
	"twokeys":  {leafOf("cluster", "a", "dc", "x"), leafOf("cluster", "b", "dc", "y")},
	"uneven":   {leafOf("zone", "eu", "cluster", "a"), zoneOf("zone", "us")},
	"one leaf": {leafOf("zone", "eu", "cluster", "a")},
	"nobody":   {},
	"new zones": {
		featured(zoneOf("zone", "eu")), featured(zoneOf("zone", "us")),
	},
}

// planner returns a Mixer over members that are never asked.
func planner(tb testing.TB, delayedNames bool, ds ...Description) *Mixer {
	tb.Helper()
	var members []Member
	for _, d := range ds {
		members = append(members, Member{Description: d, Connected: true})
	}
	m, err := NewMixer(MixerConfig{
		Describe: func() Description { return Description{Identity: Identity{Tier: TierRoot}} },
		Members:  func() []Member { return members },
		Limits:   DefaultLimits(), Lookback: 5 * time.Minute, SubqueryStep: time.Minute, DelayedNameRemoval: delayedNames,
	})
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

func planOf(tb testing.TB, members, query string) string {
	tb.Helper()
	family, delayed := strings.CutSuffix(members, ", names removed late")
	ds, ok := families[family]
	if !ok {
		tb.Fatalf("no members %q", family)
	}
	e, err := planner(tb, delayed, ds...).newExecution(ExecRequest{Query: query, Start: 3_600_000, End: 7_200_000, Step: 60_000}, nil, nil)
	if err != nil {
		return "error: " + err.Error() + "\n"
	}
	return e.plan.String()
}

// TestPlans compares plans with those in testdata/plans.txt:
//
//	== members        whose plans follow
//	# comment         what the next ones show
//	query
//	    the plan, indented
func TestPlans(t *testing.T) {
	b, err := os.ReadFile(plansFile)
	if err != nil {
		t.Fatal(err)
	}
	var out, got, want strings.Builder
	members, query := "", ""
	flush := func() {
		if query == "" {
			return
		}
		for line := range strings.Lines(planOf(t, members, query)) {
			fmt.Fprintf(&got, "    %s", line)
		}
		out.WriteString(got.String())
		if d := cmp.Diff(want.String(), got.String()); d != "" && !*update {
			t.Errorf("%s over %s (-want +got):\n%s", query, members, d)
		}
		query = ""
		got.Reset()
		want.Reset()
	}
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "    ") {
			want.WriteString(line)
			continue
		}
		flush()
		out.WriteString(line)
		switch line = strings.TrimSpace(line); {
		case strings.HasPrefix(line, "== "):
			members = line[3:]
		case line != "" && !strings.HasPrefix(line, "#"):
			query = line
		}
	}
	flush()
	if *update {
		if err := os.WriteFile(plansFile, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
