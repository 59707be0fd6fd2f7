package aggregate

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v2"
)

// Schema is the JSON schema of a rules file.
//
//go:embed schema.json
var Schema []byte

// Bounds of a rules file.
const (
	maxFileBytes = 1 << 20
	maxRules     = 1000
	minInterval  = time.Second
	maxInterval  = time.Hour
	leastDefault = 15 * time.Second // of intervals
	mostDefault  = time.Minute
	// MaxDelay is the longest Rules.Delay.
	MaxDelay         = time.Minute
	maxForget        = 7 * 24 * time.Hour
	defaultDelay     = 5 * time.Second
	defaultForget    = time.Hour
	defaultMaxInputs = 1_000_000
)

// Type says how the samples of inputs are read.
type Type string

// The types of a rule. TypeAuto takes metadata's word, else that of the metric's
// name: _total, _count, _sum and _bucket are counters; native histograms are what
// they are; what neither tells is not matched.
const (
	TypeAuto      Type = "auto"
	TypeCounter   Type = "counter"
	TypeGauge     Type = "gauge"
	TypeHistogram Type = "histogram"
)

// Op is what is told of the gauges of a group.
type Op string

// The ops. Counters and histograms know OpSum only.
const (
	OpSum   Op = "sum"
	OpMin   Op = "min"
	OpMax   Op = "max"
	OpAvg   Op = "avg"
	OpCount Op = "count"
)

// Raw says what becomes of the samples of inputs.
type Raw string

// Inputs are dropped, or stored as if there were no rule.
const (
	RawDrop Raw = "drop"
	RawKeep Raw = "keep"
)

// Placeholders of Rule.Output.
const (
	metricHolder = "{metric}"
	opHolder     = "{op}"
)

// Rules are the contents of a rules file.
type Rules struct {
	// Delay is how long after the end of an interval its samples may come and
	// still be put in order and counted in it.
	Delay model.Duration `yaml:"delay,omitempty"`
	// Rules are tried in order; a series is the input of the first that matches.
	Rules []Rule `yaml:"rules"`
}

// Rule says which series are summed up, and over which labels.
type Rule struct {
	// Name tells rules apart in metrics and logs.
	Name string `yaml:"name"`
	// Match are series selectors, one of which must match.
	Match []string `yaml:"match"`
	// Without names the labels that are dropped; By, instead, those that are
	// kept. The label le is always kept.
	Without []string `yaml:"without,omitempty"`
	By      []string `yaml:"by,omitempty"`
	// Type is TypeAuto if empty.
	Type Type `yaml:"type,omitempty"`
	// Ops are those of gauges; OpSum if empty.
	Ops []Op `yaml:"ops,omitempty"`
	// Interval is the distance of the output's samples.
	Interval model.Duration `yaml:"interval,omitempty"`
	// Output is the output's metric name: {metric} stands for the input's, {op} for
	// the op. By default it is {metric}:without_pod_instance or {metric}:by_job,
	// for gauges followed by :{op}.
	Output string `yaml:"output,omitempty"`
	// Raw is RawDrop if empty.
	Raw Raw `yaml:"raw,omitempty"`
	// Staleness is how old the last sample of an input may be for it to count as
	// there; two intervals, or two of scraping if they are longer, if zero.
	Staleness model.Duration `yaml:"staleness,omitempty"`
	// Forget is how long an input is remembered after its last sample.
	Forget model.Duration `yaml:"forget,omitempty"`
	// MaxInputs bounds the inputs that are remembered; further ones are stored as
	// if there were no rule.
	MaxInputs int `yaml:"max_inputs,omitempty"`
}

// Load reads and checks a rules file. The interval of scraping is the default of
// rules, within bounds.
func Load(file string, scrape time.Duration) (Rules, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return Rules{}, fmt.Errorf("read aggregation rules: %w", err)
	}
	r, err := Parse(text, scrape)
	if err != nil {
		return Rules{}, fmt.Errorf("aggregation rules %q: %w", file, err)
	}
	return r, nil
}

// Parse reads and checks the text of a rules file, as Load does.
func Parse(text []byte, scrape time.Duration) (Rules, error) {
	if len(text) > maxFileBytes {
		return Rules{}, fmt.Errorf("%d bytes; at most %d are read", len(text), maxFileBytes)
	}
	r := Rules{Delay: model.Duration(defaultDelay)}
	if len(bytes.TrimSpace(text)) == 0 {
		return r, nil
	}
	if err := yaml.UnmarshalStrict(text, &r); err != nil {
		return Rules{}, err
	}
	for i := range r.Rules {
		r.Rules[i].complete(scrape)
	}
	return r, r.Validate()
}

// complete fills in what was left out.
func (r *Rule) complete(scrape time.Duration) {
	if r.Type == "" {
		r.Type = TypeAuto
	}
	if r.Raw == "" {
		r.Raw = RawDrop
	}
	if len(r.Ops) == 0 {
		r.Ops = []Op{OpSum}
	}
	if r.Interval == 0 {
		r.Interval = model.Duration(min(max(scrape, leastDefault), mostDefault))
	}
	if r.Staleness == 0 {
		r.Staleness = 2 * max(r.Interval, model.Duration(scrape))
	}
	if r.Forget == 0 {
		r.Forget = max(model.Duration(defaultForget), r.Staleness)
	}
	if r.MaxInputs == 0 {
		r.MaxInputs = defaultMaxInputs
	}
}

// Validate reports the first thing that is wrong, and what to change.
func (r Rules) Validate() error {
	if r.Delay < 0 || time.Duration(r.Delay) > MaxDelay {
		return fmt.Errorf("delay is %v; it must be between 0s and %v", r.Delay, MaxDelay)
	}
	if len(r.Rules) > maxRules {
		return fmt.Errorf("%d rules; at most %d are allowed", len(r.Rules), maxRules)
	}
	seen := map[string]bool{}
	for i := range r.Rules {
		rule := &r.Rules[i]
		if rule.Name == "" {
			return fmt.Errorf("rule %d has no name", i+1)
		}
		if seen[rule.Name] {
			return fmt.Errorf("two rules are called %q: names must be unique", rule.Name)
		}
		seen[rule.Name] = true
		if err := rule.validate(); err != nil {
			return fmt.Errorf("rule %q: %w", rule.Name, err)
		}
	}
	return r.shadowed()
}

func (r *Rule) validate() error {
	for _, check := range []func() error{r.validateSelectors, r.validateLabels, r.validateKind, r.validateOutput} {
		if err := check(); err != nil {
			return err
		}
	}
	switch {
	case time.Duration(r.Interval) < minInterval || time.Duration(r.Interval) > maxInterval:
		return fmt.Errorf("interval is %v; it must be between %v and %v", r.Interval, minInterval, maxInterval)
	case r.Staleness < r.Interval:
		return fmt.Errorf("staleness %v is below the interval %v: inputs would come and go between two outputs", r.Staleness, r.Interval)
	case r.Forget < r.Staleness || time.Duration(r.Forget) > maxForget:
		return fmt.Errorf("forget is %v; it must be between the staleness %v and %v", r.Forget, r.Staleness, maxForget)
	case r.MaxInputs < 0:
		return errors.New("max_inputs cannot be negative")
	}
	return nil
}

func (r *Rule) validateSelectors() error {
	if len(r.Match) == 0 {
		return errors.New("match has no selector")
	}
	_, err := r.selectors()
	return err
}

// selectors parses Match.
func (r *Rule) selectors() ([][]*labels.Matcher, error) {
	p := parser.NewParser(parser.Options{})
	var out [][]*labels.Matcher
	for _, text := range r.Match {
		ms, err := p.ParseMetricSelector(text)
		if err != nil {
			return nil, fmt.Errorf("selector %q: %w", text, err)
		}
		if !slices.ContainsFunc(ms, func(m *labels.Matcher) bool { return !m.Matches("") }) {
			return nil, fmt.Errorf("selector %q matches all series: name the metric, or a label that they must have", text)
		}
		out = append(out, ms)
	}
	return out, nil
}

func (r *Rule) validateLabels() error {
	if len(r.Without) > 0 && len(r.By) > 0 {
		return errors.New("has both without and by; use one of them")
	}
	if len(r.Without) == 0 && r.By == nil {
		return errors.New("has neither without nor by: say which labels to drop, or which to keep")
	}
	for _, list := range [][]string{r.Without, r.By} {
		for i, name := range list {
			switch {
			case !model.UTF8Validation.IsValidLabelName(name):
				return fmt.Errorf("%q is not a label name", name)
			case name == model.MetricNameLabel:
				return errors.New("the metric name is always kept, as a part of the output's")
			case slices.Contains(list[:i], name):
				return fmt.Errorf("label %q is named twice", name)
			}
		}
	}
	if slices.Contains(r.Without, model.BucketLabel) {
		return errors.New("le cannot be dropped: the buckets of a histogram contain each other, and their sum means nothing")
	}
	return nil
}

func (r *Rule) validateKind() error {
	if !slices.Contains([]Type{TypeAuto, TypeCounter, TypeGauge, TypeHistogram}, r.Type) {
		return fmt.Errorf("unknown type %q; use auto, counter, gauge or histogram", r.Type)
	}
	if !slices.Contains([]Raw{RawDrop, RawKeep}, r.Raw) {
		return fmt.Errorf("unknown raw %q; use drop or keep", r.Raw)
	}
	for i, op := range r.Ops {
		if !slices.Contains([]Op{OpSum, OpMin, OpMax, OpAvg, OpCount}, op) {
			return fmt.Errorf("unknown op %q; use sum, min, max, avg or count", op)
		}
		if slices.Contains(r.Ops[:i], op) {
			return fmt.Errorf("op %q is named twice", op)
		}
		if op != OpSum && (r.Type == TypeCounter || r.Type == TypeHistogram) {
			return fmt.Errorf("op %q of a %s: only gauges know it", op, r.Type)
		}
	}
	return nil
}

func (r *Rule) validateOutput() error {
	if r.Output == "" {
		return nil
	}
	rest := strings.Replace(r.Output, metricHolder, "", 1)
	switch {
	case rest == r.Output:
		return fmt.Errorf("output %q has no %s: outputs of two metrics would be one", r.Output, metricHolder)
	case strings.ReplaceAll(rest, opHolder, "") == "":
		return fmt.Errorf("output %q is the input's own name, which series that are not aggregated may have; add to it, such as %s:sum", r.Output, metricHolder)
	case len(r.Ops) > 1 && !strings.Contains(rest, opHolder):
		return fmt.Errorf("output %q has no %s, but there are several ops", r.Output, opHolder)
	case strings.ContainsAny(strings.ReplaceAll(rest, opHolder, ""), "{}"):
		return fmt.Errorf("output %q: only one %s and %s may be in braces", r.Output, metricHolder, opHolder)
	case !model.UTF8Validation.IsValidMetricName(rest):
		return fmt.Errorf("output %q does not make a metric name", r.Output)
	}
	return nil
}

// template returns the output's name for gauges or others.
func (r *Rule) template(gauge bool) string {
	if r.Output != "" {
		return r.Output
	}
	t := metricHolder + ":without_" + strings.Join(r.Without, "_")
	if len(r.Without) == 0 {
		t = metricHolder + ":by_" + strings.Join(r.By, "_")
		if len(r.By) == 0 {
			t = metricHolder + ":by_nothing"
		}
	}
	if gauge {
		t += ":" + opHolder
	}
	return t
}

// Outputs returns the metric names that the rule gives to its outputs, as templates.
func (r *Rule) Outputs() []string {
	names := []string{}
	if r.Type != TypeGauge {
		names = append(names, strings.ReplaceAll(r.template(false), opHolder, string(OpSum)))
	}
	if r.Type == TypeAuto || r.Type == TypeGauge {
		for _, op := range r.Ops {
			if name := strings.ReplaceAll(r.template(true), opHolder, string(op)); !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// identity tells two rules apart that take in different series or group them
// differently: what a rule has seen from the start, another has not.
func (r *Rule) identity() string {
	return fmt.Sprintf("%q by %q without %q as %s", r.Match, r.By, r.Without, r.Type)
}

// Place says where rules are used, as far as they must fit there.
type Place struct {
	// Identity are the names of labels that every series is served with, and that
	// none is stored with.
	Identity []string
	// Sharded says that other leaves have other series of the same identity;
	// ShardKey, by which labels they were told apart, if that is known.
	Sharded  bool
	ShardKey []string
	// Replicated says that another leaf takes in the same series.
	Replicated bool
}

// Fit reports the first rule that would make wrong answers there.
func (r Rules) Fit(p Place) error {
	for i := range r.Rules {
		if err := r.Rules[i].fit(p); err != nil {
			return fmt.Errorf("rule %q: %w", r.Rules[i].Name, err)
		}
	}
	return nil
}

func (r *Rule) fit(p Place) error {
	selectors, err := r.selectors()
	if err != nil {
		return err
	}
	for _, name := range p.Identity {
		if slices.Contains(r.Without, name) || slices.Contains(r.By, name) {
			return fmt.Errorf("label %q is the leaf's own: every output has it, and no rule can keep or drop it", name)
		}
		for _, ms := range selectors {
			if slices.ContainsFunc(ms, func(m *labels.Matcher) bool { return m.Name == name }) {
				return fmt.Errorf("label %q is the leaf's own: all its series have it, so leave it out of match", name)
			}
		}
	}
	if p.Replicated && r.Type != TypeGauge {
		return errors.New("this leaf is a replica: its totals of counters differ from those of the other one, so that an answer that takes over from one to the other would have a false reset; use type gauge, or keep these series raw")
	}
	if !p.Sharded {
		return nil
	}
	if len(p.ShardKey) == 0 {
		return errors.New("this leaf is a shard and no --shard-key tells how its series differ from those of the others: outputs of two shards could have the same labels")
	}
	for _, name := range p.ShardKey {
		if name != model.MetricNameLabel && !r.keeps(name) {
			return fmt.Errorf("drops label %q, which tells the shards apart: outputs of two shards could have the same labels", name)
		}
	}
	return nil
}

// keeps reports whether outputs have a label of their inputs.
func (r *Rule) keeps(name string) bool {
	switch {
	case name == model.BucketLabel:
		return true
	case len(r.Without) > 0:
		return !slices.Contains(r.Without, name)
	default:
		return slices.Contains(r.By, name)
	}
}
