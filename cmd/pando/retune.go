package main

import (
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/alecthomas/kingpin/v2"

	gitplanet "github.com/pandometrics/pando/gitops/planet"
	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/resultcache"
	"github.com/pandometrics/pando/querytree/tier"
	"github.com/pandometrics/pando/querytree/treehttp"
)

// tuning is what a limits file may change of a running tier.
type tuning struct {
	tree    querytree.Tuning
	http    treehttp.Tuning
	cache   resultcache.Config
	rollups bool
	low     bool // priority of heavy queries
	cores   int  // that one query may use
	mixes   bool // of a zone or root: it has a cache
}

// validate reports what a tier could not use, before it uses any of it.
func (t tuning) validate() error {
	if err := t.tree.Validate(); err != nil {
		return err
	}
	if _, err := querytree.NewCores(t.cores); err != nil {
		return err
	}
	if t.mixes {
		return t.cache.Validate()
	}
	return nil
}

// retuner reads the limits file of a tier again, and has the tier go by it. A nil
// retuner is one of a tier without such a file. Its methods are called by one
// goroutine at a time.
type retuner struct {
	// read returns what the file says now.
	read func() (tuning, error)
	// given are the flags that the command line has, which a file does not change.
	given map[string]bool
	parts []func(tuning) error
}

// newRetuner returns the retuner of a tier by the flags that it has before the
// limits file sets any; complete is called once it has.
func newRetuner(t tunable, tier gitplanet.Tier, given map[string]bool, complete func(*commonFlags)) *retuner {
	base, file := t.copied(), t.common().limitsFile
	return &retuner{given: given, read: func() (tuning, error) {
		now := base.copied()
		f := now.common()
		f.shown = maps.Clone(t.common().shown)
		unset := kingpin.New("", "").Command(string(tier), "")
		deadline := f.limits.ChildDeadline
		now.registerLimits(unset)
		f.limits.ChildDeadline = deadline // which registering has set
		for _, l := range gitplanet.LimitsOf(tier) {
			if flag := unset.GetFlag(l.Name); flag != nil {
				f.shown[l.Name] = flag.Model().Value.String()
			}
		}
		if err := setLimits(now, tier, file, given); err != nil {
			return tuning{}, err
		}
		complete(f)
		out := now.tuning()
		return out, out.validate()
	}}
}

// fixed reports whether the file cannot change a flag.
func (r *retuner) fixed(flag string) bool { return r == nil || r.given[flag] }

// tunes has a part of the tier go by what the file says from now on.
func (r *retuner) tunes(part func(tuning) error) {
	if r != nil {
		r.parts = append(r.parts, part)
	}
}

// apply has all parts go by a tuning. It was validated, so that none refuses.
func (r *retuner) apply(t tuning, logger *slog.Logger) {
	for _, part := range r.parts {
		if err := part(t); err != nil {
			logger.Error("limits not applied", "err", err)
		}
	}
}

// beside is the leaf.Deps.Beside of a tier; nil if there is no file.
func (r *retuner) beside(logger *slog.Logger) func() (func(), error) {
	if r == nil {
		return nil
	}
	return func() (func(), error) {
		t, err := r.read()
		return func() { r.apply(t, logger) }, err
	}
}

// alone returns the reload of a tier that has nothing else to reload, else none.
func (r *retuner) alone(none func() error, logger *slog.Logger) func() error {
	read := r.beside(logger)
	if read == nil {
		return none
	}
	var reloading sync.Mutex // a signal and a request may come at once
	return func() error {
		reloading.Lock()
		defer reloading.Unlock()
		use, err := read()
		if err != nil {
			return err
		}
		use()
		logger.Info("limits read again")
		return nil
	}
}

// process has the turns and cores that a process has for one tier go by its limits.
// Where several tiers share them, they stay as they are.
func (f *commonFlags) process(cores *querytree.Cores) {
	f.retune.tunes(func(t tuning) error {
		if f.turns.Retune(t.low); cores != nil {
			return cores.Retune(t.cores)
		}
		return nil
	})
}

// tunesTier has a zone or root go by its limits file.
func (r *retuner) tunesTier(t *tier.Tier) {
	r.tunes(func(to tuning) error { return t.Retune(to.tree, to.cache) })
}

// tunesHTTP has the API of a tier go by its limits file.
func (r *retuner) tunesHTTP(h *treehttp.Handler) {
	r.tunes(func(to tuning) error { return h.Retune(to.http) })
}

// common implements tunable.
func (f *commonFlags) common() *commonFlags { return f }

// tuning returns the part of it that all tiers have.
func (f *commonFlags) tuning() tuning {
	lookback := time.Duration(f.lookback)
	return tuning{
		tree: querytree.Tuning{Limits: f.limits, Lookback: lookback},
		http: treehttp.Tuning{Limits: f.limits, Lookback: lookback, ExplainSlowerThan: f.explainSlower, Flags: f.shown},
		low:  f.lowPriority,
	}
}

// registerLimits implements tunable.
func (f *leafFlags) registerLimits(c *kingpin.CmdClause) {
	f.commonFlags.register(c)
	f.rollupFlags.register(c)
	c.Flag(parallelismFlag, "Idle cores that one query may use; 0 for all, 1 to never spread a query.").Default("0").IntVar(&f.parallelism)
}

// parallelismFlag is the one limit that only leaves have.
const parallelismFlag = "query.leaf-parallelism"

// copied implements tunable.
func (f *leafFlags) copied() tunable {
	c := *f
	return &c
}

// tuning implements tunable.
func (f *leafFlags) tuning() tuning {
	t := f.commonFlags.tuning()
	t.rollups, t.cores, t.http.Defaults = f.use, f.parallelism, f.defaults()
	return t
}

// defaults are the options of requests that do not name their own.
func (f *leafFlags) defaults() querytree.Options {
	return querytree.Options{NoRollup: !f.use, Align: f.align}
}

// registerLimits implements tunable.
func (f *mixFlags) registerLimits(c *kingpin.CmdClause) {
	f.commonFlags.register(c)
	f.commonFlags.registerMix(c)
	f.rollupFlags.registerMix(c)
	f.childrenFlags.register(c, "")
}

// copied implements tunable.
func (f *mixFlags) copied() tunable {
	c := *f
	return &c
}

// tuning implements tunable.
func (f *mixFlags) tuning() tuning {
	t := f.commonFlags.tuning()
	t.tree.StrictByDefault, t.tree.NoHints = !f.partial, !f.hints
	t.rollups, t.cache, t.mixes, t.http.Defaults = f.use, f.cache, true, f.defaults()
	return t
}

// defaults are the options of requests that do not name their own.
func (f *mixFlags) defaults() querytree.Options {
	return querytree.Options{Strict: !f.partial, NoRollup: !f.use, Align: f.align}
}
