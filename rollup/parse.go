package rollup

import (
	"bytes"
	"cmp"
	_ "embed" // for the schema
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
	yaml "go.yaml.in/yaml/v2"
)

//go:embed schema.json
var schema string

// Schema returns the JSON schema of the file that Parse reads.
func Schema() string { return schema }

// Bounds of a file.
const (
	// MaxBytes is its size.
	MaxBytes = 16 << 20
	// MaxRules is the number of rules.
	MaxRules = 10_000

	maxExpr = 16 << 10 // bytes
	maxKeep = 8        // distances in one tier
	maxFor  = 100 * 365 * 24 * time.Hour
)

// file is what the YAML says.
type file struct {
	Rollups []entry `yaml:"rollups"`
}

type entry struct {
	Name     string              `yaml:"name"`
	Expr     string              `yaml:"expr"`
	Interval string              `yaml:"interval"`
	Keep     map[string]keepList `yaml:"keep"`
}

type keepEntry struct {
	Every string `yaml:"every"`
	For   string `yaml:"for"`
}

// keepList is one entry or a list of them.
type keepList []keepEntry

// UnmarshalYAML implements yaml.Unmarshaler.
func (l *keepList) UnmarshalYAML(unmarshal func(any) error) error {
	var items []any
	if unmarshal(&items) == nil {
		return unmarshal((*[]keepEntry)(l))
	}
	var one keepEntry
	err := unmarshal(&one)
	*l = keepList{one}
	return err
}

// Parse reads a file of rules. The error joins one for each rule that is wrong,
// which says which it is and what to change.
func Parse(data []byte) (*Rules, error) {
	if len(data) > MaxBytes {
		return nil, fmt.Errorf("the file has %d bytes: at most %d are read", len(data), MaxBytes)
	}
	var f file
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.SetStrict(true)
	switch err := d.Decode(&f); {
	case errors.Is(err, io.EOF):
		return nil, errors.New("the file is empty: write rollups: [] for none")
	case err != nil:
		return nil, err
	case f.Rollups == nil:
		return nil, errors.New("the file has no rollups: write rollups: [] for none")
	case len(f.Rollups) > MaxRules:
		return nil, fmt.Errorf("the file has %d rules: at most %d can be kept", len(f.Rollups), MaxRules)
	}
	if err := d.Decode(&f); !errors.Is(err, io.EOF) {
		return nil, errors.New("the file has several YAML documents: write one, without ---")
	}
	return build(f.Rollups)
}

func build(entries []entry) (*Rules, error) {
	var (
		errs []error
		all  []*Rule
		p    = newParser()
	)
	index := map[*Rule]int{}
	for i, e := range entries {
		r, err := e.rule(p)
		if err != nil {
			errs = append(errs, described(i, e.Name, err))
			continue
		}
		index[r] = i
		all = append(all, r)
	}
	errs = append(errs, clashes(all, index)...)
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return newRules(all), nil
}

func described(i int, name string, err error) error {
	if name == "" {
		return fmt.Errorf("rollup %d: %w", i+1, err)
	}
	return fmt.Errorf("rollup %d (%s): %w", i+1, name, err)
}

// clashes tells of rules that cannot be in one file.
func clashes(all []*Rule, index map[*Rule]int) (errs []error) {
	ids, names, read := map[string]*Rule{}, map[string]*Rule{}, map[string]*Rule{}
	for _, r := range all {
		read[r.inner.metric] = r
	}
	for _, r := range all {
		i := index[r]
		switch same, named, reader := ids[r.ID], names[r.Name], read[r.Name]; {
		case same != nil:
			errs = append(errs, described(i, r.Name, fmt.Errorf("it is the same as rollup %d (%s): remove one, and keep more in the other", index[same]+1, same.Name)))
		case named != nil:
			errs = append(errs, described(i, r.Name, fmt.Errorf("rollup %d has the same name: choose another", index[named]+1)))
		case reader != nil:
			errs = append(errs, described(i, r.Name, fmt.Errorf("its name is that of the metric that rollup %d reads: choose another", index[reader]+1)))
		default:
			ids[r.ID], names[r.Name] = r, r
		}
	}
	return errs
}

// rule returns the rule that an entry stands for.
func (e entry) rule(p parser.Parser) (*Rule, error) {
	r := &Rule{}
	var errs []error
	note := func(field string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", field, err))
		}
	}
	interval, err := intervalOf(e.Interval)
	note("interval", err)
	note("name", checkName(e.Name))
	note("expr", r.read(p, e.Expr))
	if err == nil {
		r.Interval = interval.Milliseconds()
		r.Keep, err = keepOf(e.Keep, interval)
		note("keep", err)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	r.ID = id(r.String(), r.Interval)
	r.Name = cmp.Or(e.Name, "rollup:"+r.ID)
	return r, nil
}

func checkName(name string) error {
	if name != "" && !model.LegacyValidation.IsValidMetricName(name) {
		return fmt.Errorf("%q is not a metric name: use letters, digits, _ and :, not beginning with a digit", name)
	}
	return nil
}

// read sets what follows from the expression.
func (r *Rule) read(p parser.Parser, text string) error {
	switch {
	case text == "":
		return errors.New("it is missing: write an aggregation such as sum by (job) (rate(x_total[5m]))")
	case len(text) > maxExpr:
		return fmt.Errorf("it has %d bytes: at most %d are read", len(text), maxExpr)
	}
	e, err := p.ParseExpr(text)
	if err != nil {
		return err
	}
	for paren, ok := e.(*parser.ParenExpr); ok; paren, ok = e.(*parser.ParenExpr) {
		e = paren.Expr
	}
	n, ok := e.(*parser.AggregateExpr)
	if !ok {
		if parts := r.parts(p, e); parts != "" {
			return fmt.Errorf("it is made of aggregations, of which each is a rule by itself: keep %s; queries compute the rest from them", parts)
		}
		return errors.New("it is not an aggregation: write one of sum, min, max, count, group, avg around it")
	}
	return r.aggregation(p, n)
}

// maxParts bounds the aggregations that are proposed in place of what is made of them.
const maxParts = 4

// parts lists the outermost aggregations in an expression that can be kept.
func (r *Rule) parts(p parser.Parser, e parser.Expr) string {
	var found []string
	parser.Inspect(e, func(node parser.Node, path []parser.Node) error {
		n, ok := node.(*parser.AggregateExpr)
		inner := slices.ContainsFunc(path, func(p parser.Node) bool { _, is := p.(*parser.AggregateExpr); return is })
		if !ok || inner || len(found) == maxParts {
			return nil
		}
		part := &Rule{Interval: r.Interval, Keep: r.Keep}
		if err := part.aggregation(p, n); err == nil && !slices.Contains(found, part.String()) {
			found = append(found, part.String())
		}
		return nil
	})
	return strings.Join(found, " and ")
}

func (r *Rule) aggregation(p parser.Parser, n *parser.AggregateExpr) error {
	q, err := askedFor(n)
	if err != nil {
		return err
	}
	for _, name := range q.grouping {
		if strings.HasPrefix(name, reserved) {
			return fmt.Errorf("it groups by %s: leave it out; of names that begin with __, only the metric's is known, and queries may group by it all the same", name)
		}
	}
	if err := checkOffsets(q.inner.expr); err != nil {
		return err
	}
	r.inner, r.matchers, r.window, r.Instant = q.inner, q.inner.selector.LabelMatchers, q.inner.window, q.inner.instant
	r.Expr = &parser.AggregateExpr{Op: n.Op, Expr: q.inner.expr, Grouping: q.grouping, Without: q.without}
	if r.Ops = []string{n.Op.String()}; n.Op == parser.AVG {
		r.Ops = []string{"sum", "count"}
	}
	return r.nameMetric(p)
}

// nameMetric writes the metric name before the matchers where it can be, and
// makes sure that the text says what the expression does.
func (r *Rule) nameMetric(p parser.Parser) error {
	sel := r.inner.selector // of Expr; from here on it has the matcher on the name
	named := labelled(r.inner.metric, r.matchers)
	for _, name := range []string{r.inner.metric, ""} {
		*sel = parser.VectorSelector{Name: name, LabelMatchers: named, OriginalOffset: sel.OriginalOffset}
		text := r.Expr.String()
		e, err := p.ParseExpr(text)
		if err != nil {
			continue
		}
		if n, ok := e.(*parser.AggregateExpr); ok {
			q, err := askedFor(n)
			if err == nil && n.String() == text && q.inner.key == r.inner.key && q.inner.offset == r.inner.offset &&
				slices.EqualFunc(q.inner.selector.LabelMatchers, r.matchers, same) && q.inner.metric == r.inner.metric {
				return nil
			}
		}
	}
	return fmt.Errorf("%s is not read as it is written: write it otherwise", r.Expr)
}

func checkOffsets(e parser.Expr) (err error) {
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.SubqueryExpr:
			if n.OriginalOffset < 0 {
				err = fmt.Errorf("%s reads the future: use an offset that is positive", n)
			}
		case *parser.VectorSelector:
			if n.OriginalOffset < 0 {
				err = fmt.Errorf("%s reads the future: use an offset that is positive", n)
			}
		}
		return nil
	})
	return err
}

func intervalOf(text string) (time.Duration, error) {
	if text == "" {
		return 0, errors.New("it is missing: write the distance of points, such as 1m")
	}
	d, err := model.ParseDuration(text)
	if err != nil {
		return 0, err
	}
	if interval := time.Duration(d); interval >= time.Second && interval%time.Second == 0 {
		return interval, nil
	}
	return 0, fmt.Errorf("%s is not a number of whole seconds, at least one", text)
}

func keepOf(tiers map[string]keepList, interval time.Duration) (map[string][]Keep, error) {
	if len(tiers) == 0 {
		return nil, errors.New("it is missing: say which tiers keep points for how long, such as {root: {for: 90d}}")
	}
	out := map[string][]Keep{}
	var errs []error
	for _, tier := range slices.Sorted(maps.Keys(tiers)) {
		kept, err := tiers[tier].read(interval)
		if !slices.Contains(Tiers(), tier) {
			err = fmt.Errorf("there is no such tier: use %s", strings.Join(Tiers(), ", "))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", tier, err))
		}
		out[tier] = kept
	}
	return out, errors.Join(errs...)
}

// read returns what a tier keeps, finest first.
func (l keepList) read(interval time.Duration) ([]Keep, error) {
	if len(l) == 0 || len(l) > maxKeep {
		return nil, fmt.Errorf("it has %d entries: write 1 to %d, or leave the tier out", len(l), maxKeep)
	}
	var out []Keep
	for _, e := range l {
		k, err := e.read(interval)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(out, func(o Keep) bool { return o.Every == k.Every }) {
			return nil, fmt.Errorf("there are two entries for every %s: leave one", model.Duration(k.Every))
		}
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b Keep) int { return cmp.Compare(a.Every, b.Every) })
	return out, nil
}

func (e keepEntry) read(interval time.Duration) (Keep, error) {
	k := Keep{Every: interval}
	if e.Every != "" {
		every, err := model.ParseDuration(e.Every)
		if err != nil {
			return k, fmt.Errorf("every: %w", err)
		}
		if k.Every = time.Duration(every); k.Every <= 0 || k.Every%interval != 0 {
			return k, fmt.Errorf("every: %s is not a multiple of the interval, %s", e.Every, model.Duration(interval))
		}
	}
	if e.For == "" {
		return k, errors.New("for: it is missing: write how long to keep points, such as 30d")
	}
	d, err := model.ParseDuration(e.For)
	if err != nil {
		return k, fmt.Errorf("for: %w", err)
	}
	if k.For = time.Duration(d); k.For < k.Every || k.For > maxFor {
		return k, fmt.Errorf("for: %s is not between %s, the distance of points, and 100 years", e.For, model.Duration(k.Every))
	}
	return k, nil
}
