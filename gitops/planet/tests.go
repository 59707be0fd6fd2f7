package planet

import (
	"context"
	"fmt"
	"maps"
	"math"
	"path"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
	yaml "go.yaml.in/yaml/v3"
)

// TestRunner runs rule unit tests. It must return when ctx ends, with a failure that
// says so.
type TestRunner interface {
	RunTest(ctx context.Context, t RuleTest) []TestFailure
}

// TestFailure says what a test found.
type TestFailure struct {
	// At is where the case stands that failed; zero means the test as a whole.
	At      Position
	Message string
}

// Position is a place in the test's file.
type Position struct{ Line, Column int }

// RuleTest is one test, with all that it refers to.
type RuleTest struct {
	Name string
	// Interval is the distance of input samples, Evaluation that of evaluations.
	Interval, Evaluation time.Duration
	Start                time.Time
	// GroupOrder names groups that are evaluated before others.
	GroupOrder []string
	// Fuzzy accepts values that differ in the last bit.
	Fuzzy          bool
	ExternalLabels map[string]string
	ExternalURL    string
	// Single is the one Prometheus of the test; nil if there are leaves.
	Single *TestNode
	// Leaves are those of a test of a tree. Zones are there with all those that
	// they are in, inner ones first, and Root is above all.
	Leaves, Zones []TestNode
	Root          TestNode
	Alerts        []AlertTest
	Exprs         []ExprTest
}

// TestNode is a tier of a test.
type TestNode struct {
	// Name is that of the cluster or zone; Parent that of the zone above, empty for
	// the root.
	Name, Parent string
	// Identity are the labels of all series.
	Identity map[string]string
	Series   []TestSeries
	// Rules are rule files: their contents by name.
	Rules map[string][]byte
}

// TestSeries is an input series in promtool's notation.
type TestSeries struct {
	Series string `yaml:"series"`
	Values string `yaml:"values"`
}

// AlertTest says which alerts must fire.
type AlertTest struct {
	At       Position
	Time     time.Duration
	Alert    string
	Expected []ExpectedAlert
}

// ExpectedAlert is one alert that fires.
type ExpectedAlert struct {
	Labels      map[string]string `yaml:"exp_labels"`
	Annotations map[string]string `yaml:"exp_annotations"`
}

// ExprTest says what an expression must give.
type ExprTest struct {
	At       Position
	Time     time.Duration
	Expr     string
	Expected []ExpectedSample
}

// ExpectedSample is one sample of an answer; if Histogram is not empty, Value has
// no meaning.
type ExpectedSample struct {
	Labels    string  `yaml:"labels"`
	Value     float64 `yaml:"value"`
	Histogram string  `yaml:"histogram"`
}

// Bounds of tests: what they cost is for whoever commits to say, up to a point.
const (
	maxTestSteps  = 100_000
	maxTestValues = 1_000_000 // of all series of a file
)

// testFile is a file of tests as it is written.
type testFile struct {
	RuleFiles  []string       `yaml:"rule_files"`
	Cluster    string         `yaml:"cluster"`
	Evaluation model.Duration `yaml:"evaluation_interval"`
	GroupOrder []string       `yaml:"group_eval_order"`
	Fuzzy      bool           `yaml:"fuzzy_compare"`
	Tests      []testYAML     `yaml:"tests"`

	path string
	node *yaml.Node
}

type testYAML struct {
	Name           string            `yaml:"name"`
	Interval       model.Duration    `yaml:"interval"`
	Start          string            `yaml:"start_timestamp"`
	Series         []TestSeries      `yaml:"input_series"`
	Leaves         []testLeaf        `yaml:"leaves"`
	ExternalLabels map[string]string `yaml:"external_labels"`
	ExternalURL    string            `yaml:"external_url"`
	Alerts         []struct {
		Time     model.Duration  `yaml:"eval_time"`
		Name     string          `yaml:"alertname"`
		Expected []ExpectedAlert `yaml:"exp_alerts"`
	} `yaml:"alert_rule_test"`
	Exprs []struct {
		Expr     string           `yaml:"expr"`
		Time     model.Duration   `yaml:"eval_time"`
		Expected []ExpectedSample `yaml:"exp_samples"`
	} `yaml:"promql_expr_test"`
}

type testLeaf struct {
	Cluster string       `yaml:"cluster"`
	Series  []TestSeries `yaml:"input_series"`
}

// addTests notes a file of tests.
func (p *Planet) addTests(f file, doc *yaml.Node) {
	t := &testFile{path: f.path, node: doc}
	if err := doc.Decode(t); err != nil {
		line, text := lineOf(err.Error())
		p.report.failf(place{file: f.path, line: line}, "%s", text)
		return
	}
	p.tests = append(p.tests, t)
}

// at returns where a node of the file is.
func (t *testFile) at(n *yaml.Node) place {
	if n == nil {
		return place{file: t.path}
	}
	return place{t.path, n.Line, n.Column}
}

// tests checks the test files, and runs them if there is something to run them,
// as long as there is time.
func (c *checker) tests(ctx context.Context, runner TestRunner, timeout time.Duration) {
	whole := ctx
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	for _, t := range c.p.tests {
		before := c.r.count()
		runs := c.testsOf(t)
		if runner == nil || c.r.count() > before || c.p.broken || c.badRules.Load() {
			continue
		}
		for i, run := range runs {
			at := t.at(items(t.node, "tests")[i])
			failures := runner.RunTest(ctx, run)
			if ctx.Err() != nil && whole.Err() == nil {
				c.r.failf(at, "test %s: the rule tests have %s together, which ended in this one: make eval_time shorter, evaluation_interval or the step of a subquery longer, or raise --tests.timeout of pando check planet", run.Name, timeout)
				runner = nil // what is left is read only
				break
			}
			for _, f := range failures {
				at := at
				if f.At.Line > 0 {
					at = place{t.path, f.At.Line, f.At.Column}
				}
				c.r.failf(at, "test %s: %s", run.Name, f.Message)
			}
		}
	}
}

// testsOf completes the tests of a file. It tells of what they refer to and is not
// there.
func (c *checker) testsOf(t *testFile) (out []RuleTest) {
	files := c.ruleFilesOf(t)
	if t.Cluster != "" && c.p.byName[t.Cluster] == nil {
		c.r.failf(t.at(field(t.node, "cluster")), "there is no cluster %s in planet.yaml%s", t.Cluster, meant(t.Cluster, slices.Collect(maps.Keys(c.p.byName))))
		return nil
	}
	budget := maxTestValues
	for i := range t.Tests {
		if run, ok := c.test(t, &t.Tests[i], items(t.node, "tests")[i], files, &budget); ok {
			run.Name = t.Tests[i].Name
			if run.Name == "" {
				run.Name = strconv.Itoa(i + 1)
			}
			out = append(out, run)
		}
	}
	return out
}

// ruleFilesOf returns the rule files that a file of tests names; nil means all.
func (c *checker) ruleFilesOf(t *testFile) map[string]bool {
	if t.RuleFiles == nil {
		return nil
	}
	all := map[string]bool{}
	for _, l := range c.p.layers {
		for _, it := range l.items {
			if it.kind == Rules {
				all[it.at.file] = true
			}
		}
	}
	out := map[string]bool{}
	for _, pattern := range t.RuleFiles {
		found := false
		for name := range all {
			if ok, err := path.Match(path.Join(path.Dir(t.path), pattern), name); ok && err == nil {
				out[name], found = true, true
			}
		}
		if !found && !c.p.broken {
			c.r.failf(place{t.path, entryAt(t.node, "rule_files", pattern).line, entryAt(t.node, "rule_files", pattern).col}, "no rule file is called %s, seen from here", pattern)
		}
	}
	return out
}

// test completes one test.
func (c *checker) test(t *testFile, y *testYAML, n *yaml.Node, files map[string]bool, budget *int) (run RuleTest, ok bool) {
	before := c.r.count()
	run = RuleTest{
		Interval: time.Duration(y.Interval), Evaluation: time.Duration(t.Evaluation), GroupOrder: t.GroupOrder, Fuzzy: t.Fuzzy,
		ExternalLabels: y.ExternalLabels, ExternalURL: y.ExternalURL, Start: c.start(t, y, n),
	}
	if run.Evaluation == 0 {
		run.Evaluation = time.Minute
	}
	if run.Interval == 0 {
		run.Interval = run.Evaluation
	}
	c.cases(t, y, n, &run)
	switch {
	case len(y.Leaves) > 0 && len(y.Series) > 0:
		c.r.failf(t.at(field(n, "input_series")), "there are leaves: say which of them has these series")
	case len(y.Leaves) > 0 && t.Cluster != "":
		c.r.failf(t.at(field(n, "leaves")), "cluster is for tests without leaves: each leaf has its own")
	case len(y.Leaves) > 0:
		c.tree(t, y, n, files, &run)
	default:
		run.Single = c.single(t, y, n, files)
	}
	for _, of := range append(slices.Clone(run.Leaves), single(run)...) {
		c.bounded(t, n, of.Series, budget)
	}
	return run, c.r.count() == before
}

func single(run RuleTest) []TestNode {
	if run.Single == nil {
		return nil
	}
	return []TestNode{*run.Single}
}

// start reads the time at which a test begins.
func (c *checker) start(t *testFile, y *testYAML, n *yaml.Node) time.Time {
	if y.Start == "" {
		return time.Unix(0, 0).UTC()
	}
	if s, err := strconv.ParseFloat(y.Start, 64); err == nil && math.Abs(s) < 1e11 {
		return time.UnixMilli(int64(math.Round(s * 1000))).UTC()
	}
	at, err := time.Parse(time.RFC3339Nano, y.Start)
	if err != nil {
		c.r.failf(t.at(field(n, "start_timestamp")), "%s is not a time: write it as 2006-01-02T15:04:05Z, or in seconds since 1970", shortened(y.Start))
	}
	return at.UTC()
}

// cases reads what is expected.
func (c *checker) cases(t *testFile, y *testYAML, n *yaml.Node, run *RuleTest) {
	last := time.Duration(0)
	for i, a := range y.Alerts {
		at := items(n, "alert_rule_test")[i]
		run.Alerts = append(run.Alerts, AlertTest{Position{at.Line, at.Column}, time.Duration(a.Time), a.Name, a.Expected})
		last = max(last, time.Duration(a.Time))
	}
	for i, e := range y.Exprs {
		at := items(n, "promql_expr_test")[i]
		if _, err := c.parse(e.Expr); err != nil {
			c.r.failf(t.at(field(at, "expr")), "%v", err)
		}
		run.Exprs = append(run.Exprs, ExprTest{Position{at.Line, at.Column}, time.Duration(e.Time), e.Expr, e.Expected})
		last = max(last, time.Duration(e.Time))
	}
	if steps := int64(last / run.Evaluation); steps > maxTestSteps {
		c.r.failf(t.at(n), "the test takes %d evaluations, one every %s up to %s: at most %d are made", steps, run.Evaluation, last, maxTestSteps)
	}
}

// repeated is how values are written that are repeated.
var repeated = regexp.MustCompile(`x([0-9]+)`)

// bounded refuses series of too many values.
func (c *checker) bounded(t *testFile, n *yaml.Node, series []TestSeries, budget *int) {
	if *budget < 0 {
		return
	}
	for _, s := range series {
		*budget -= len(s.Values) / 2
		for _, m := range repeated.FindAllStringSubmatch(s.Values, -1) {
			k, err := strconv.Atoi(m[1])
			if err != nil || k > maxTestValues {
				k = maxTestValues + 1
			}
			*budget -= k
		}
		if *budget < 0 {
			c.r.failf(t.at(n), "the tests of this file have more than %d values: use fewer", maxTestValues)
			return
		}
	}
}

// single returns the one Prometheus of a test without leaves. Its rules are those
// of the files as they are, or as a cluster has them.
func (c *checker) single(t *testFile, y *testYAML, n *yaml.Node, files map[string]bool) *TestNode {
	out := &TestNode{Series: y.Series, Rules: map[string][]byte{}}
	if cl := c.p.byName[t.Cluster]; cl != nil {
		c.addRules(out, t, n, &spot{t: Leaf, s: c.p.stackOf(Leaf, cl.in, cl), v: cl.values()}, files)
		for _, z := range cl.in.path {
			c.addRules(out, t, n, &spot{t: Zone, s: c.p.stackOf(Zone, z, nil), v: z.values()}, files)
		}
		c.addRules(out, t, n, &spot{t: Root, s: c.p.stackOf(Root, nil, nil)}, files)
		return out
	}
	groups := map[string][]*fragment{}
	for _, folder := range slices.Sorted(maps.Keys(c.p.layers)) {
		for _, it := range c.p.layers[folder].items {
			if it.kind != Rules || it.deleted || files != nil && !files[it.at.file] || files == nil && folder != "" {
				continue
			}
			if len(it.words) > 0 {
				c.r.failf(t.at(n), "%s (%s:%d) uses ${%s}: say cluster: in the test's file, for which it has a value", it.title(), it.at.file, it.at.line, it.words[0])
				continue
			}
			if f, err := c.p.render(it, values{}); err == nil {
				groups[it.at.file] = append(groups[it.at.file], f)
			}
		}
	}
	for name, fs := range groups {
		out.Rules[name] = listOf("groups", fs)
	}
	return out
}

// addRules adds the rules of a place, as far as they are of certain files.
func (c *checker) addRules(to *TestNode, t *testFile, n *yaml.Node, a *spot, files map[string]bool) {
	groups := map[string][]*fragment{}
	for _, it := range a.s.by[Rules] {
		if files != nil && !files[it.at.file] {
			continue
		}
		f, err := c.p.render(it, a.v)
		if err != nil {
			c.r.failf(t.at(n), "%v", err)
			continue
		}
		groups[it.at.file] = append(groups[it.at.file], f)
	}
	for name, fs := range groups {
		to.Rules[fmt.Sprintf("%s of %s", name, a.v.place())] = listOf("groups", fs)
	}
}

// tree completes a test of leaves and all that is above them.
func (c *checker) tree(t *testFile, y *testYAML, n *yaml.Node, files map[string]bool, run *RuleTest) {
	above := map[*zone]bool{}
	seen := map[string]bool{}
	for i, l := range y.Leaves {
		cl := c.p.byName[l.Cluster]
		if at := field(items(n, "leaves")[i], "cluster"); cl == nil {
			c.r.failf(t.at(at), "there is no cluster %s in planet.yaml%s", l.Cluster, meant(l.Cluster, slices.Collect(maps.Keys(c.p.byName))))
			continue
		} else if seen[l.Cluster] {
			c.r.failf(t.at(at), "the leaf of cluster %s is there twice: put its series together", l.Cluster)
			continue
		}
		seen[l.Cluster] = true
		leaf := TestNode{Name: cl.Name, Parent: cl.Zone, Identity: c.p.identity(cl), Series: l.Series, Rules: map[string][]byte{}}
		c.addRules(&leaf, t, n, &spot{t: Leaf, s: c.p.stackOf(Leaf, cl.in, cl), v: cl.values()}, files)
		run.Leaves = append(run.Leaves, leaf)
		for _, z := range cl.in.path {
			above[z] = true
		}
	}
	zones := slices.SortedFunc(maps.Keys(above), func(a, b *zone) int {
		if len(a.path) != len(b.path) {
			return len(b.path) - len(a.path)
		}
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	for _, z := range zones {
		node := TestNode{Name: z.Name, Parent: z.Parent, Identity: z.identity(), Rules: map[string][]byte{}}
		c.addRules(&node, t, n, &spot{t: Zone, s: c.p.stackOf(Zone, z, nil), v: z.values()}, files)
		run.Zones = append(run.Zones, node)
	}
	run.Root = TestNode{Rules: map[string][]byte{}}
	c.addRules(&run.Root, t, n, &spot{t: Root, s: c.p.stackOf(Root, nil, nil)}, files)
}
