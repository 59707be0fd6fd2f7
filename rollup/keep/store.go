package keep

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/rollup"
)

// StoreConfig is what a Store is made of.
type StoreConfig struct {
	// Dir holds a TSDB for each retention in use.
	Dir string
	// Tier is rollup.Leaf, rollup.Zone or rollup.Root: whose part of the rules'
	// retentions is kept.
	Tier string
	// Rules are the rules to begin with.
	Rules *rollup.Rules
	// Logger, Registerer and Now may be nil.
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time
}

// Validate reports what cannot be used.
func (c StoreConfig) Validate() error {
	switch {
	case c.Dir == "":
		return errors.New("rollups: no directory to keep them in; set --storage.path")
	case !slices.Contains(rollup.Tiers(), c.Tier):
		return fmt.Errorf("rollups: there is no tier %q", c.Tier)
	case c.Rules == nil:
		return errors.New("rollups: no rules")
	}
	return nil
}

// Store keeps the points of one tier, and knows which are there. It is safe for
// concurrent use.
type Store struct {
	cfg StoreConfig

	writing sync.Mutex // held while something is written
	// onStep is told of each transaction after it; tests fail there. May be nil.
	onStep func(string) error

	mu    sync.RWMutex
	rules *rollup.Rules
	names []string                   // of those that the tier keeps, sorted
	dbs   map[time.Duration]*tsdb.DB // by retention
	kept  map[keptKey]*ledger
	since map[string]int64 // by rule ID: from when on points are owed
	// unchecked are those that have come back with their rule, of which it is not
	// known yet whether they were restated meanwhile.
	unchecked map[keptKey]bool
	metrics   map[time.Duration]*prometheus.Registry // of dbs
	swept     time.Time                              // when unused ones were last looked for
	// due is up to when points are due, in milliseconds, and awaited names who is
	// away and holds up newer ones.
	due     int64
	awaited []string
	// offer is told of the series that are kept, and was made anew when renewed says;
	// nil if nobody wants to know.
	offer   Offer
	renewed time.Time
}

// keptKey names the points of one rule in one TSDB.
type keptKey struct {
	rule string
	keep rollup.Keep
}

// Open opens the store, and reads what is there of the rules.
func Open(cfg StoreConfig) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Registerer == nil {
		cfg.Registerer = prometheus.NewRegistry()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Store{cfg: cfg, dbs: map[time.Duration]*tsdb.DB{}, kept: map[keptKey]*ledger{}, since: map[string]int64{}, unchecked: map[keptKey]bool{}, metrics: map[time.Duration]*prometheus.Registry{}, due: math.MinInt64}
	if err := s.SetRules(cfg.Rules); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// SetRules changes the rules. Points of rules that are gone stay until they are
// too old, and count again if their rule comes back.
func (s *Store) SetRules(rules *rollup.Rules) error {
	s.writing.Lock() // nothing is closed, and the Offer not made anew, meanwhile
	defer s.writing.Unlock()
	if err := s.addAll(rules); err != nil {
		return err
	}
	// Told before they count, and while others are read: there may be many series.
	if err := s.tellBack(rules); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.kindsOf(rules) {
		if s.rules == nil || s.kindsOf(s.rules)[key] == nil {
			s.unchecked[key] = true
		}
	}
	s.rules, s.names = rules, nil
	for _, r := range rules.All() {
		if len(r.Keep[s.cfg.Tier]) > 0 {
			s.names = append(s.names, r.Name)
		}
	}
	slices.Sort(s.names)
	return nil
}

func (s *Store) addAll(rules *rollup.Rules) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range rules.All() {
		for _, k := range r.Keep[s.cfg.Tier] {
			if err := s.add(r, k); err != nil {
				return err
			}
		}
	}
	return nil
}

// kindsOf returns the rules that the tier keeps points of, by rule and distance.
func (s *Store) kindsOf(rules *rollup.Rules) map[keptKey]*rollup.Rule {
	out := map[keptKey]*rollup.Rule{}
	for _, r := range rules.All() {
		for _, k := range r.Keep[s.cfg.Tier] {
			out[keptKey{r.ID, k}] = r
		}
	}
	return out
}

// doubt has no point read until check has been called.
func (s *Store) doubt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.kindsOf(s.rules) {
		s.unchecked[key] = true
	}
}

// doubtOne has no point of one kind read until check has been called.
func (s *Store) doubtOne(key keptKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unchecked[key] = true
}

// check notes that the points of rules have been made void so far as they were
// restated. It returns the metrics, sorted, of which points can be read now that could
// not before.
func (s *Store) check(kinds map[keptKey]*rollup.Rule) (readable []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, r := range kinds {
		if s.unchecked[key] {
			delete(s.unchecked, key)
			readable = append(readable, r.Metric())
		}
	}
	slices.Sort(readable)
	return slices.Compact(readable)
}

// add opens the TSDB for a retention, if need be, and learns what is there.
func (s *Store) add(r *rollup.Rule, k rollup.Keep) error {
	key := keptKey{r.ID, k}
	if s.kept[key] != nil {
		return nil
	}
	db, err := s.open(k)
	if err != nil {
		return err
	}
	l := &ledger{id: storedAs(r, k), step: k.Every.Milliseconds()}
	if err := s.load(db, r.ID, l); err != nil {
		return fmt.Errorf("rollup %q: read which points are there: %w", r.Name, err)
	}
	s.kept[key] = l
	return nil
}

// maxBlock bounds how long the head of a TSDB of sparse points gets.
const maxBlock = 48 * time.Hour

func (s *Store) open(k rollup.Keep) (*tsdb.DB, error) {
	if db := s.dbs[k.For]; db != nil {
		return db, nil
	}
	name := model.Duration(k.For).String()
	dir := filepath.Join(s.cfg.Dir, name)
	opts := tsdb.DefaultOptions()
	block := min(max(120*k.Every, 2*time.Hour), maxBlock).Milliseconds()
	opts.MinBlockDuration, opts.MaxBlockDuration = block, max(block, k.For.Milliseconds()/10)
	// A block goes when all of it is too old; a point is not read once it is.
	// The TSDB counts from the end of its newest block, which may be to come.
	opts.RetentionDuration = k.For.Milliseconds() + block
	// Points are made good however late.
	opts.OutOfOrderTimeWindow = k.For.Milliseconds()
	// Chunks of what was made good stay as they are in blocks: let them be as long
	// as others, not a quarter of that.
	opts.OutOfOrderCapMax = 120
	opts.StripeSize = 1 << 9
	db, err := s.openTSDB(dir, name, k.For, opts)
	if err != nil {
		return nil, err
	}
	s.dbs[k.For] = db
	return db, nil
}

// load reads the markers of a rule.
func (s *Store) load(db *tsdb.DB, rule string, l *ledger) error {
	q, err := db.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		return err
	}
	defer q.Close()
	if err := s.loadSince(q, rule); err != nil {
		return err
	}
	var spans []span
	set := q.Select(context.Background(), false, nil,
		labels.MustNewMatcher(labels.MatchEqual, ruleLabel, l.id), labels.MustNewMatcher(labels.MatchNotEqual, markerLabel, ""))
	for set.Next() {
		lset := set.At().Labels()
		mark := lset.Get(markerLabel)
		st, ok := stateOf(mark)
		err := runsOf(set.At().Iterator(nil), l.step, func(from, to int64) {
			if ok {
				spans = append(spans, span{from: from, to: to, state: st, rev: revOf(lset), missing: lset.Get(missingLabel), late: lset.Get(lateLabel) != ""})
			}
		})
		if err != nil {
			return err
		}
	}
	// What is said of a later revision counts; of one revision, that it is there
	// rather than that it will be.
	slices.SortStableFunc(spans, func(a, b span) int {
		return cmp.Or(cmp.Compare(a.rev, b.rev), cmp.Compare(min(a.state, 1), min(b.state, 1)), cmp.Compare(a.from, b.from))
	})
	for _, sp := range spans {
		if sp.from%l.step == 0 {
			l.set(sp)
			// The marker that says so may have been too old.
			s.owedSince(rule, sp.from)
		}
	}
	return errors.Join(set.Err(), s.soil(q, rule, l))
}

// loadSince reads from when on a rule is owed, at whatever distance.
func (s *Store) loadSince(q storage.Querier, rule string) error {
	set := q.Select(context.Background(), false, nil,
		labels.MustNewMatcher(labels.MatchRegexp, ruleLabel, rule+"(/.+)?"), labels.MustNewMatcher(labels.MatchEqual, markerLabel, markSince))
	for set.Next() {
		it := set.At().Iterator(nil)
		if it.Next() != chunkenc.ValNone {
			s.owedSince(rule, it.AtT())
		}
		if it.Err() != nil {
			return it.Err()
		}
	}
	return set.Err()
}

// soil gives another revision to absent points of which some series may be there:
// those of which the last process did not come to say that they are. What they
// are made of need not be what it was.
func (s *Store) soil(q storage.Querier, rule string, l *ledger) error {
	since, ok := s.since[rule]
	if !ok {
		return nil
	}
	holes := l.lacks(since, math.MaxInt64-l.step)
	first, last := holes[0].Mint, holes[len(holes)-1].Maxt
	set := q.Select(context.Background(), false, &storage.SelectHints{Start: first, End: last},
		labels.MustNewMatcher(labels.MatchEqual, ruleLabel, l.id), labels.MustNewMatcher(labels.MatchEqual, markerLabel, ""))
	revs := map[int64]uint32{}
	var it chunkenc.Iterator
	for set.Next() {
		rev := revOf(set.At().Labels())
		it = set.At().Iterator(it)
		for _, h := range holes {
			for ok := it.Seek(h.Mint) != chunkenc.ValNone; ok && it.AtT() <= h.Maxt; ok = it.Next() != chunkenc.ValNone {
				if t := it.AtT(); t%l.step == 0 && rev >= l.at(t).rev {
					revs[t] = max(revs[t], rev+1)
				}
			}
		}
		if it.Err() != nil {
			return it.Err()
		}
	}
	for t, rev := range revs {
		l.set(span{from: t, to: t, rev: rev})
	}
	return set.Err()
}

func (s *Store) owedSince(rule string, t int64) {
	if old, ok := s.since[rule]; !ok || t < old {
		s.since[rule] = t
	}
}

// Owe notes that the points of a rule are owed from a time on, in milliseconds,
// unless they are from an earlier one. It survives a restart.
func (s *Store) Owe(ctx context.Context, r *rollup.Rule, since int64) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.since[r.ID]; ok && old <= since {
		return nil
	}
	for _, k := range r.Keep[s.cfg.Tier] {
		from := max(since, up(s.oldestOf(k), r.Interval)) // older ones could not be stored
		if err := s.mark(ctx, s.dbs[k.For], markerLabels(storedAs(r, k), markSince, 0), []querytree.Interval{{Mint: from, Maxt: from}}, 1); err != nil {
			return fmt.Errorf("rollup %q: note since when it is owed: %w", r.Name, err)
		}
	}
	s.owedSince(r.ID, since)
	return nil
}

// OwedSince returns from when on the points of a rule are owed, and whether that
// has been said.
func (s *Store) OwedSince(r *rollup.Rule) (int64, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t, ok := s.since[r.ID]
	return t, ok
}

// Rules returns the rules.
func (s *Store) Rules() *rollup.Rules {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.rules
}

// Close closes all TSDBs.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, db := range s.dbs {
		errs = append(errs, db.Close())
	}
	s.dbs, s.kept = map[time.Duration]*tsdb.DB{}, map[keptKey]*ledger{}
	return errors.Join(errs...)
}

// Forget drops what is known of points that are older than they are kept for, at
// the time given in milliseconds.
func (s *Store) Forget(now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, l := range s.kept {
		l.forget(now - key.keep.For.Milliseconds())
	}
}

// mark appends a marker at each time of the runs.
func (s *Store) mark(ctx context.Context, db *tsdb.DB, lset labels.Labels, runs []querytree.Interval, step int64) error {
	if db == nil {
		return errClosed
	}
	app := db.AppenderV2(ctx)
	var ref storage.SeriesRef
	for _, r := range runs {
		for t := r.Mint; t <= r.Maxt; t += step {
			var err error
			if ref, err = app.Append(ref, lset, 0, t, 1, nil, nil, storage.AOptions{}); err != nil && !errors.Is(err, storage.ErrDuplicateSampleForTimestamp) {
				return errors.Join(fmt.Errorf("mark %d: %w", t, err), app.Rollback())
			}
		}
	}
	if err := app.Commit(); err != nil {
		return err
	}
	return s.step(lset.Get(markerLabel))
}
