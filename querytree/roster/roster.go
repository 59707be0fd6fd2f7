package roster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/pandometrics/pando/querytree"
)

// Hints takes the field hints of children.
type Hints interface {
	// Open begins the stream of a child's hint: the hint does not prune before
	// it is complete again. turn is called when a feed that was waiting need not
	// any more; it does not block.
	Open(child string, turn func()) Feed
	// Forget drops what is known of a child.
	Forget(child string)
	// Status describes a child's hint.
	Status(child string) querytree.HintStatus
}

// Feed is one child's stream of hints.
type Feed interface {
	// Apply takes the next frame; after an error the feed is of no more use.
	Apply(frame []byte) error
	// NeedsResync asks for the stream to begin anew, without a fault.
	NeedsResync() bool
	// Waiting reports whether frames are ignored until others have sent theirs.
	Waiting() bool
	// Cursor is what there is of the child's hint already, for it to go on from;
	// empty if there is nothing.
	Cursor() []byte
	// Why is why the hint is not in use, in a word; empty if it is.
	Why() string
	Close()
}

// Config is what a Roster is made of.
type Config struct {
	// Self is the identity of the tier whose children these are.
	Self querytree.Identity
	// Hints takes the children's field hints; nil ignores them.
	Hints Hints
	// Path is the file in which known children are kept; empty keeps them in
	// memory only.
	Path string
	// ForgetAfter is how long a missing child is remembered; zero means for
	// ever.
	ForgetAfter time.Duration
	// OnChange is called whenever members come, go or are forgotten. It may be
	// nil, and must not call the Roster.
	OnChange func()
	// Now may be nil: then it is time.Now.
	Now func() time.Time
	// Logger and Registerer may be nil.
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Validate reports what cannot be used.
func (c Config) Validate() error {
	if c.ForgetAfter < 0 {
		return errors.New("--child.forget-after must not be negative")
	}
	return c.Self.Validate()
}

// Bounds of what is remembered.
const (
	maxChildren = 20_000
	maxRefusals = 100
	// probeTimeout is how long a connection may take to show that it is alive
	// when another one claims its identity.
	probeTimeout = 2 * time.Second
	// pingInterval is the time between pings of each child. What a child sent
	// before it answered one has arrived, so that a child whose last answered
	// ping is older than maxSilence may have said what is not known here.
	pingInterval = 400 * time.Millisecond
	maxSilence   = 1500 * time.Millisecond
)

// Roster knows the children of one tier. It is safe for concurrent use.
type Roster struct {
	cfg     Config
	metrics rosterMetrics
	history *querytree.History

	mu       sync.Mutex
	children map[string]*child
	sorted   []string // their names, or nil
	refusals []Refusal
	dirty    bool
	wake     chan struct{} // there is something to save
}

// child is one that is or was connected.
type child struct {
	desc  querytree.Description
	conn  querytree.Child // nil if missing
	alive func(context.Context) error
	entry *Entry
	since time.Time
	err   string
	rtt   time.Duration
	rate  rate
	// answered is when the latest ping that was answered was sent.
	answered time.Time
	pinging  bool
}

// New returns a Roster, with the children that the file at Config.Path holds.
func New(cfg Config) (*Roster, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("roster: %w", err)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.OnChange == nil {
		cfg.OnChange = func() {}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	r := &Roster{cfg: cfg, children: map[string]*child{}, wake: make(chan struct{}, 1), history: querytree.NewHistory(cfg.Now)}
	if err := r.load(); err != nil {
		return nil, err
	}
	r.metrics = newMetrics(cfg.Registerer, r)
	return r, nil
}

// Refusal is a registration that was refused.
type Refusal struct {
	Name   string
	Reason string
	At     time.Time
}

// Kinds of refusal.
var (
	// ErrDuplicate: another live child has the same identity.
	ErrDuplicate = errors.New("duplicate identity")
	// ErrDoesNotFit: the child's labels do not fit its parent.
	ErrDoesNotFit = errors.New("labels do not fit")
	// ErrConnected: the very same process is connected already, by another
	// address of this parent.
	ErrConnected = errors.New("already connected")
)

// Admit registers a child, or refuses it with an error that wraps one of the
// kinds above and says what to change. alive reports whether the child's
// connection responds.
func (r *Roster) Admit(ctx context.Context, d querytree.Description, conn querytree.Child, alive func(context.Context) error) (*Entry, error) {
	if err := r.check(ctx, d); err != nil {
		r.refuse(d, err)
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.declared(d); err != nil { // others may have come since
		r.addRefusal(d, err)
		return nil, err
	}
	name := d.Name()
	c, known := r.children[name]
	if c != nil && c.conn != nil && c.entry != nil && !c.entry.dead {
		err := r.duplicate(c, d)
		r.addRefusal(d, err)
		return nil, err
	}
	if c == nil {
		if len(r.children) >= maxChildren {
			return nil, fmt.Errorf("register %q: %q already has %d children; forget some or add a zone", name, r.cfg.Self.Name(), maxChildren)
		}
		c = &child{}
		r.children[name], r.sorted = c, nil
	}
	old := c.desc
	c.desc, c.conn, c.alive, c.since, c.err, c.answered = d, conn, alive, r.cfg.Now(), "", r.cfg.Now()
	c.entry = &Entry{r: r, c: c, name: name, turn: make(chan struct{}, 1)}
	if r.cfg.Hints != nil {
		c.entry.feed = r.cfg.Hints.Open(name, c.entry.myTurn)
	}
	r.history.Return(old, known, d) // from here on it is asked
	r.changed()
	return c.entry, nil
}

// check refuses what can be told from the descriptions, and finds out whether
// an older connection of the same identity still lives.
func (r *Roster) check(ctx context.Context, d querytree.Description) error {
	if err := d.Validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrDoesNotFit, err)
	}
	if d.Tier == querytree.TierRoot {
		return fmt.Errorf("%w: a root has no parent", ErrDoesNotFit)
	}
	if err := d.Fits(r.cfg.Self); err != nil {
		return fmt.Errorf("%w: %w", ErrDoesNotFit, err)
	}
	r.mu.Lock()
	if err := r.declared(d); err != nil {
		r.mu.Unlock()
		return err
	}
	c := r.children[d.Name()]
	var alive func(context.Context) error
	var entry *Entry
	if c != nil && c.conn != nil {
		alive, entry = c.alive, c.entry
	}
	r.mu.Unlock()
	if alive == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	responds := alive(ctx) == nil
	r.mu.Lock()
	defer r.mu.Unlock()
	if responds {
		return r.duplicate(c, d)
	}
	entry.dead = true
	return nil
}

// declared refuses two leaves of one cluster that are neither declared shards
// nor declared replicas of each other: their series would be counted twice, or
// not be the union that everyone takes them for. Roster.mu is held.
func (r *Roster) declared(d querytree.Description) error {
	for _, c := range r.children {
		o := c.desc
		if c.conn == nil || o.Tier != d.Tier || o.Name() == d.Name() || o.Labels.Hash() != d.Labels.Hash() {
			continue
		}
		if (o.Shard == "") != (d.Shard == "") {
			return fmt.Errorf("%w: %q and %q have the same labels, but only one of them is a shard: give both a --shard, or different labels", ErrDuplicate, d.Name(), o.Name())
		}
		if o.Shard == d.Shard && (o.Replica == "") != (d.Replica == "") {
			return fmt.Errorf("%w: %q and %q have the same labels, but only one of them is a replica: give both a --replica, or different labels", ErrDuplicate, d.Name(), o.Name())
		}
	}
	return nil
}

func (r *Roster) duplicate(c *child, d querytree.Description) error {
	if c.desc.Instance == d.Instance {
		return fmt.Errorf("%w: %q is connected to %q by another address", ErrConnected, d.Name(), r.cfg.Self.Name())
	}
	return fmt.Errorf("%w: process %s claims to be %q, which process %s is already; change --cluster, or declare them with --shard or --replica",
		ErrDuplicate, d.Instance, d.Name(), c.desc.Instance)
}

func (r *Roster) refuse(d querytree.Description, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.addRefusal(d, err)
}

func (r *Roster) addRefusal(d querytree.Description, err error) {
	if errors.Is(err, ErrConnected) {
		return
	}
	r.metrics.refused.Inc()
	for i, old := range r.refusals {
		if old.Name == d.Name() && old.Reason == err.Error() {
			r.refusals[i].At = r.cfg.Now()
			return // it keeps trying
		}
	}
	r.cfg.Logger.Error("child refused", "child", d.Name(), "parent", r.cfg.Self.Name(), "err", err)
	r.refusals = append([]Refusal{{Name: d.Name(), Reason: err.Error(), At: r.cfg.Now()}}, r.refusals...)
	r.refusals = r.refusals[:min(len(r.refusals), maxRefusals)]
}

// Refusals returns the latest refused registrations, newest first.
func (r *Roster) Refusals() []Refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.refusals)
}

// names returns the names of all children, sorted. The caller must hold mu, and
// not change them.
func (r *Roster) names() []string {
	if r.sorted == nil {
		r.sorted = slices.Sorted(maps.Keys(r.children))
	}
	return r.sorted
}

// Members returns all children, connected or missing, sorted by name.
func (r *Roster) Members() []querytree.Member {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, out := r.cfg.Now(), make([]querytree.Member, 0, len(r.children))
	for _, name := range r.names() {
		c := r.children[name]
		m := querytree.Member{Name: name, Child: c.conn, Description: c.desc, Connected: c.conn != nil, RTT: c.rtt}
		m.Stale = m.Connected && now.Sub(c.answered) > maxSilence
		if c.conn == nil {
			m.Child = Missing{Description: c.desc, Parent: r.cfg.Self.Name(), Since: c.since, name: name}
		}
		out = append(out, m)
	}
	return out
}

// Epochs returns the changes, through any of the children, to what the tier says
// of settled times.
func (r *Roster) Epochs() []querytree.Epoch { return r.history.Epochs() }

// Owned notes that the tier answers for a metric name itself from now on: what was
// answered before, of any time, was not from there.
func (r *Roster) Owned(name string) {
	scope := labels.NewBuilder(r.cfg.Self.Labels).Set(labels.MetricName, name).Labels()
	r.history.Change(math.MinInt64, scope, querytree.CauseOwn)
}

// Nodes returns all children as parts of the live tree, sorted by name, without
// their own children.
func (r *Roster) Nodes() []querytree.Node {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]querytree.Node, 0, len(r.children))
	for _, name := range r.names() {
		c := r.children[name]
		n := querytree.Node{Description: c.desc, Connected: c.conn != nil, Since: c.since, Error: c.err, RTT: c.rtt, SampleRate: c.rate.perSecond}
		if r.cfg.Hints != nil {
			n.Hint = r.cfg.Hints.Status(name)
			if n.Hint.Synced && c.conn != nil && r.cfg.Now().Sub(c.answered) > maxSilence {
				n.Hint.Synced, n.Hint.Reason = false, "late" // it is asked, see Member.Stale
			}
		}
		out = append(out, n)
	}
	return out
}

// ErrUnknown says that there is no child of that name.
var ErrUnknown = errors.New("unknown child")

// Forget removes a missing child for good, so that answers no longer say that
// it is missing. It returns ErrUnknown if there is none of that name.
func (r *Roster) Forget(name string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.children[name]
	switch {
	case c == nil:
		return fmt.Errorf("forget %q: %w", name, ErrUnknown)
	case c.conn != nil:
		return fmt.Errorf("forget %q: it is connected; stop it first", name)
	}
	r.drop(name)
	return nil
}

func (r *Roster) drop(name string) {
	r.history.Change(math.MinInt64, r.children[name].desc.Labels, querytree.CauseForgotten)
	delete(r.children, name)
	r.sorted = nil
	if r.cfg.Hints != nil {
		r.cfg.Hints.Forget(name)
	}
	r.changed()
}

// changed notes that members came or went. Roster.mu is held.
func (r *Roster) changed() {
	r.dirty = true
	select {
	case r.wake <- struct{}{}:
	default:
	}
	r.cfg.OnChange()
}

// Run keeps the file up to date, measures round trips and forgets children that
// are missing for too long, until ctx ends.
func (r *Roster) Run(ctx context.Context) error {
	tick := time.NewTicker(pingInterval)
	defer tick.Stop()
	var pings sync.WaitGroup
	defer pings.Wait()
	for {
		select {
		case <-ctx.Done():
			return r.save()
		case <-tick.C:
			r.expire()
			r.ping(ctx, &pings)
		case <-r.wake:
		}
		if err := r.save(); err != nil {
			r.cfg.Logger.Error("known children not saved", "err", err)
		}
	}
}

func (r *Roster) expire() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, c := range r.children {
		if c.conn == nil && r.cfg.ForgetAfter > 0 && r.cfg.Now().Sub(c.since) > r.cfg.ForgetAfter {
			r.cfg.Logger.Warn("child forgotten", "child", name, "missing_since", c.since)
			r.drop(name)
		}
	}
}

// ping takes the round trip to every connected child that is not being pinged
// yet. It does not wait for the answers.
func (r *Roster) ping(ctx context.Context, pings *sync.WaitGroup) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.children {
		if c.conn == nil || c.alive == nil || c.pinging {
			continue
		}
		c.pinging = true
		alive, entry, begin := c.alive, c.entry, r.cfg.Now()
		pings.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, probeTimeout)
			defer cancel()
			err := alive(ctx)
			r.mu.Lock()
			defer r.mu.Unlock()
			c.pinging = false
			if err == nil && c.entry == entry {
				c.rtt, c.answered = r.cfg.Now().Sub(begin), begin
			}
		})
	}
}

type rosterMetrics struct {
	refused prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, r *Roster) rosterMetrics {
	f := promauto.With(reg)
	count := func(connected bool) func() float64 {
		return func() float64 {
			n := 0
			for _, m := range r.Members() {
				if m.Connected == connected {
					n++
				}
			}
			return float64(n)
		}
	}
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "pando_tree_children_connected", Help: "Children that are connected."}, count(true))
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "pando_tree_children_missing", Help: "Children that are known but not connected."}, count(false))
	return rosterMetrics{refused: f.NewCounter(prometheus.CounterOpts{
		Name: "pando_tree_registrations_refused_total", Help: "Registrations refused for their identity.",
	})}
}
