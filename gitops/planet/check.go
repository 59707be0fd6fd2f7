package planet

import (
	"context"
	"errors"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
	yaml "go.yaml.in/yaml/v3"

	"github.com/pandometrics/pando/querytree"
)

// CheckOptions say how to check a planet.
type CheckOptions struct {
	// Context ends the check early; nil never does. That what is left was not checked
	// is told as an error.
	Context context.Context
	// Tests runs rule unit tests. If nil they are read, and not run.
	Tests TestRunner
	// TestTimeout bounds what all rule unit tests take together; zero does not.
	TestTimeout time.Duration
	// Cluster limits what is rendered to one cluster, and the tiers that it hosts;
	// empty means all.
	Cluster string
	// Cap is what the repository may name at most; nil does not cap.
	Cap *Cap
}

// Check returns everything that is wrong with a planet, as far as that can be told
// without a network, ordered by file and line: errors, for which it must not be
// delivered, and warnings.
func (p *Planet) Check(opts CheckOptions) []Problem {
	r := newReport()
	for _, told := range p.report.all { // the warnings of Load
		copied := *told
		r.all = append(r.all, &copied)
	}
	p.check(opts, r)
	return r.problems()
}

func (p *Planet) check(opts CheckOptions, r *report) {
	ctx := opts.Context
	if ctx == nil {
		ctx = context.Background()
	}
	if opts.Cluster != "" && p.byName[opts.Cluster] == nil {
		r.failf(place{file: mainFile}, "%v%s", &UnknownError{opts.Cluster}, meant(opts.Cluster, slices.Collect(maps.Keys(p.byName))))
	}
	c := &checker{p: p, r: r, parser: querytree.NewParser(), done: map[string]bool{}, parsed: map[string]*settings{}}
	c.allow, c.cap = p.allow, opts.Cap
	c.allow.cap = opts.Cap
	c.gates()
	c.secrets(opts.Cluster)
	work := c.places(opts.Cluster)
	// What each place has in common with others is checked once, whoever comes
	// first; the order of what is told does not depend on it.
	next := make(chan func())
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(work)) {
		wg.Go(func() {
			for f := range next {
				if ctx.Err() == nil {
					f()
				}
			}
		})
	}
	for _, f := range work {
		next <- f
	}
	close(next)
	wg.Wait()
	if opts.Cluster != "" && !r.failed() {
		c.whole(opts.Cluster)
	}
	if err := ctx.Err(); err != nil {
		r.failf(place{file: mainFile}, "the check was ended before all was checked: %v", err)
	}
	c.tests(ctx, opts.Tests, opts.TestTimeout)
}

// checker checks one planet.
type checker struct {
	p      *Planet
	r      *report
	parser parser.Parser
	mu     sync.Mutex
	done   map[string]bool // what was checked, by what it is
	parsed map[string]*settings
	// badRules says that there are rules that cannot be tested.
	badRules atomic.Bool
	// allow is the planet's, within cap.
	allow allowed
	cap   *Cap
}

// once reports whether it is called for the first time with a name.
func (c *checker) once(parts ...string) bool {
	name := strings.Join(parts, "\x00")
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done[name] {
		return false
	}
	c.done[name] = true
	return true
}

// places returns a check for each place that configuration is rendered for.
func (c *checker) places(only string) (work []func()) {
	for _, cl := range c.p.clusters {
		if only == "" || only == cl.Name {
			work = append(work, func() { c.leaf(cl) })
		}
	}
	for _, z := range c.p.sortedZones() {
		if only == "" || slices.Contains(z.Hosts, only) {
			work = append(work, func() {
				c.tier(&spot{t: Zone, s: c.p.stackOf(Zone, z, nil), v: z.values()}, z.identity())
			})
		}
	}
	return append(work, func() { c.tier(&spot{t: Root, s: c.p.stackOf(Root, nil, nil)}, nil) })
}

// spot is one place: what it has, and what is put in.
type spot struct {
	t Tier
	s *stack
	v values
}

// cluster returns whom to name when a problem is one of a fragment: nobody if it
// is the same everywhere.
func (a *spot) cluster(f *fragment) string {
	if len(f.item.words) == 0 {
		return ""
	}
	return a.v.cluster
}

// fail notes what is wrong with a fragment.
func (c *checker) fail(a *spot, f *fragment, n *yaml.Node, text string) {
	at := f.item.at
	if n != nil && n.Line > 0 {
		at = place{f.item.at.file, n.Line, n.Column}
	}
	c.failAt(a, f, at, text)
}

func (c *checker) failAt(a *spot, f *fragment, at place, text string) {
	if f.item.kind == Rules {
		c.badRules.Store(true)
	}
	c.r.add(at, Error, a.v.masked(text), text, a.cluster(f))
}

// fragments renders the items of a kind. What cannot be rendered is told of.
func (c *checker) fragments(a *spot, k Kind) (out []*fragment) {
	for _, it := range a.s.by[k] {
		f, err := c.p.render(it, a.v)
		if err != nil {
			text := err.Error()
			var me *MissingError
			if errors.As(err, &me) {
				text = me.short()
			}
			c.r.add(it.at, Error, a.v.masked(text), text, a.v.cluster)
			continue
		}
		out = append(out, f)
	}
	return out
}

// joined returns what tells lists of fragments apart.
func joined(fs []*fragment) string {
	var b strings.Builder
	for _, f := range fs {
		b.WriteString(f.key)
		b.WriteByte('\n')
	}
	return b.String()
}

// place checks what all tiers have.
func (c *checker) place(a *spot) {
	for _, f := range c.fragments(a, Rules) {
		if c.once("group", f.key) {
			c.group(a, f)
		}
	}
	if fs := c.fragments(a, Rollups); c.once("rollups", joined(fs)) {
		c.rollups(a, fs)
	}
	for _, f := range c.fragments(a, LimitsKind) {
		if c.once("limit", string(a.t), f.key) {
			c.limit(a, f)
		}
	}
}

// tier checks what a zone or the root has.
func (c *checker) tier(a *spot, identity map[string]string) {
	c.place(a)
	if conf := c.settings(a, c.fragments(a, Settings), identity); conf != nil {
		c.alerts(a, conf)
	}
}

// leaf checks what a cluster has.
func (c *checker) leaf(cl *cluster) {
	a := &spot{t: Leaf, s: c.p.stackOf(Leaf, cl.in, cl), v: cl.values()}
	c.place(a)
	set := c.fragments(a, Settings)
	conf := c.settings(a, set, c.p.identity(cl))
	if conf == nil {
		return // the jobs would be read with other intervals than they have
	}
	for _, f := range c.fragments(a, Scrape) {
		if c.once("job", f.key, conf.key) {
			c.job(a, f, conf)
		}
	}
	c.aggregations(a, conf, c.p.identity(cl))
	c.alerts(a, conf)
}

// limit checks a limit.
func (c *checker) limit(a *spot, f *fragment) {
	known := LimitsOf(a.t)
	i := slices.IndexFunc(known, func(l Limit) bool { return l.Name == f.item.name })
	if i < 0 {
		c.fail(a, f, nil, f.item.name+" is not a limit of tier "+string(a.t)+": move it to the file of the tier that has it")
		return
	}
	if err := known[i].check(f.tree().Value); err != nil {
		c.fail(a, f, f.tree(), err.Error())
	}
}

// gates checks the PromQL of gates.
func (c *checker) gates() {
	for _, g := range c.p.gates {
		at := near(g.node, "expr")
		e, err := c.parse(g.Expr)
		if err != nil {
			c.r.failf(at, "gate %s: %v", g.Name, err)
			continue
		}
		if t := e.Type(); t != parser.ValueTypeVector && t != parser.ValueTypeScalar {
			c.r.failf(at, "gate %s is a %s: write an expression that gives samples or a number", g.Name, parser.DocumentedType(t))
		}
	}
}

// parse parses PromQL, which tiers would refuse if it were too long or nested too
// deep.
func (c *checker) parse(expr string) (parser.Expr, error) {
	if err := querytree.DefaultLimits().CheckQuery(expr); err != nil {
		return nil, err
	}
	return c.parser.ParseExpr(expr)
}
