package aggregate

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"
)

func TestRulesThatAreRefused(t *testing.T) {
	for _, c := range []struct{ rule, want string }{
		{"match: [x], without: [pod]", "no name"},
		{"name: a, without: [pod]", "no selector"},
		{"name: a, match: ['x{'], without: [pod]", "selector"},
		{"name: a, match: ['{}'], without: [pod]", "selector"},
		{"name: a, match: [x]", "neither without nor by"},
		{"name: a, match: [x], without: [pod], by: [job]", "both"},
		{"name: a, match: [x], without: [le]", "le cannot be dropped"},
		{"name: a, match: [x], without: [__name__]", "metric name is always kept"},
		{"name: a, match: [x], by: [job, job]", "twice"},
		{"name: a, match: [x], by: ['']", "not a label name"},
		{"name: a, match: [x], by: [job], type: summary", "unknown type"},
		{"name: a, match: [x], by: [job], raw: never", "unknown raw"},
		{"name: a, match: [x], by: [job], ops: [median]", "unknown op"},
		{"name: a, match: [x], by: [job], ops: [sum, sum]", "twice"},
		{"name: a, match: [x], by: [job], type: counter, ops: [max]", "only gauges"},
		{"name: a, match: [x], by: [job], interval: 100ms", "interval"},
		{"name: a, match: [x], by: [job], interval: 2h", "interval"},
		{"name: a, match: [x], by: [job], staleness: 1s", "staleness"},
		{"name: a, match: [x], by: [job], forget: 1s", "forget"},
		{"name: a, match: [x], by: [job], forget: 8d", "forget"},
		{"name: a, match: [x], by: [job], max_inputs: -1", "max_inputs"},
		{"name: a, match: [x], by: [job], output: 'sum'", "has no {metric}"},
		{"name: a, match: [x], by: [job], output: '{metric}'", "own name"},
		{"name: a, match: [x], by: [job], output: '{metric}{op}'", "own name"},
		{"name: a, match: [x], by: [job], output: '{metric}:{job}'", "braces"},
		{"name: a, match: [x], by: [job], ops: [min, max], output: '{metric}:s'", "several ops"},
		{"name: a, match: [x], by: [job], nonsense: 1", "nonsense"},
	} {
		if _, err := Parse([]byte("rules: [{"+c.rule+"}]"), time.Minute); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.rule, err, c.want)
		}
	}
	for text, want := range map[string]string{
		"delay: 2m": "delay",
		"rules: [{name: a, match: [x], by: []}, {name: a, match: [x], by: []}]": "unique",
		"nonsense: 1":                       "nonsense",
		strings.Repeat("#", maxFileBytes+1): "bytes",
	} {
		if _, err := Parse([]byte(text), time.Minute); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.50s: error %v, want %q", text, err, want)
		}
	}
}

func TestDefaults(t *testing.T) {
	got, err := Parse([]byte("rules: [{name: a, match: [x], without: [pod]}]"), 30*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	want := Rules{Delay: model.Duration(5 * time.Second), Rules: []Rule{{
		Name: "a", Match: []string{"x"}, Without: []string{"pod"}, Type: TypeAuto, Ops: []Op{OpSum}, Raw: RawDrop,
		Interval: model.Duration(30 * time.Second), Staleness: model.Duration(time.Minute), Forget: model.Duration(time.Hour), MaxInputs: 1_000_000,
	}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for scrape, want := range map[time.Duration][2]time.Duration{
		time.Second: {15 * time.Second, 30 * time.Second}, 5 * time.Minute: {time.Minute, 10 * time.Minute},
	} {
		got, err := Parse([]byte("rules: [{name: a, match: [x], without: [pod]}]"), scrape)
		if err != nil {
			t.Fatal(err)
		}
		if r := got.Rules[0]; time.Duration(r.Interval) != want[0] || time.Duration(r.Staleness) != want[1] {
			t.Errorf("scraped every %v: interval %v, staleness %v", scrape, r.Interval, r.Staleness)
		}
	}
	if r, err := Parse(nil, time.Minute); err != nil || len(r.Rules) != 0 {
		t.Errorf("an empty file: %v %v", r, err)
	}
}

// The schema knows the fields that the parser does.
func TestSchema(t *testing.T) {
	var schema struct {
		Properties map[string]any
		Defs       struct {
			Rule struct{ Properties map[string]any }
		} `json:"$defs"`
	}
	if err := json.Unmarshal(Schema, &schema); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		of   reflect.Type
		have map[string]any
	}{{reflect.TypeFor[Rules](), schema.Properties}, {reflect.TypeFor[Rule](), schema.Defs.Rule.Properties}} {
		var fields []string
		for i := range c.of.NumField() {
			name, _, _ := strings.Cut(c.of.Field(i).Tag.Get("yaml"), ",")
			fields = append(fields, name)
		}
		slices.Sort(fields)
		if diff := cmp.Diff(fields, slices.Sorted(maps.Keys(c.have))); diff != "" {
			t.Errorf("%v: %s", c.of, diff)
		}
	}
}

func TestFit(t *testing.T) {
	for _, c := range []struct {
		what, rule string
		place      Place
		want       string
	}{
		{"alone", "without: [pod]", Place{Identity: []string{"zone"}}, ""},
		{"keeps the key", "by: [job, tenant]", Place{Sharded: true, ShardKey: []string{"__name__", "tenant"}}, ""},
		{"without keeps the key", "without: [pod]", Place{Sharded: true, ShardKey: []string{"tenant"}}, ""},
		{"drops the key", "by: [job]", Place{Sharded: true, ShardKey: []string{"tenant"}}, "tenant"},
		{"nobody knows the key", "by: [job]", Place{Sharded: true}, "--shard-key"},
		{"gauges of a replica", "by: [job], type: gauge", Place{Replicated: true}, ""},
		{"counters of a replica", "by: [job]", Place{Replicated: true}, "replica"},
		{"own label", "without: [zone]", Place{Identity: []string{"zone"}}, "own"},
	} {
		r, err := Parse([]byte("rules: [{name: a, match: [x], "+c.rule+"}]"), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		err = r.Fit(c.place)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.what, err, c.want)
		}
	}
}
