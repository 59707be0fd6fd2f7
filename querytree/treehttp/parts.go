package treehttp

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/url"

	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/index"

	"github.com/pandometrics/pando/querytree"
)

// Bounds of what counts as a time of a sample, in milliseconds.
const (
	minTime = math.MinInt64
	maxTime = math.MaxInt64
)

// withDefaults puts a stand-in where a part is missing, so that Prometheus'
// handlers, which expect all of them, find nothing instead of nil.
func (p Parts) withDefaults(describe func() querytree.Description) Parts {
	none := absent{describe}
	if p.ScrapePools == nil {
		p.ScrapePools = none
	}
	if p.Targets == nil {
		p.Targets = none
	}
	if p.Alertmanagers == nil {
		p.Alertmanagers = none
	}
	if p.Rules == nil {
		p.Rules = none
	}
	if p.TSDB == nil {
		p.TSDB = none
	}
	if p.Config == nil {
		p.Config = ownConfig(describe)
	}
	return p
}

// absent stands in for every part that a tier does not have.
type absent struct {
	describe func() querytree.Description
}

// err says what the tier does not have, and where to ask.
func (a absent) err(what string) error {
	return fmt.Errorf("%s %q has no %s; ask the leaf that has", a.describe().Tier, a.describe().Name(), what)
}

func (absent) ScrapePools() []string                      { return []string{} }
func (absent) TargetsActive() map[string][]*scrape.Target { return map[string][]*scrape.Target{} }

func (absent) TargetsDropped() map[string][]*scrape.Target    { return map[string][]*scrape.Target{} }
func (absent) TargetsDroppedCounts() map[string]int           { return map[string]int{} }
func (absent) Alertmanagers() []*url.URL                      { return nil }
func (absent) DroppedAlertmanagers() []*url.URL               { return nil }
func (absent) RuleGroups() []*rules.Group                     { return nil }
func (absent) AlertingRules() []*rules.AlertingRule           { return nil }
func (absent) BlockMetas() ([]tsdb.BlockMeta, error)          { return []tsdb.BlockMeta{}, nil }
func (absent) WALReplayStatus() (tsdb.WALReplayStatus, error) { return tsdb.WALReplayStatus{}, nil }

func (a absent) ScrapePoolConfig(string) (*config.ScrapeConfig, error) {
	return nil, a.err("scrape pools")
}

func (a absent) CleanTombstones() error { return a.err("storage") }

func (a absent) Snapshot(string, bool) error { return a.err("storage") }

func (a absent) Delete(context.Context, int64, int64, ...*labels.Matcher) error {
	return a.err("storage")
}

// Stats tells what the tier's description does of the leaves below. Times are those
// of an empty head if there are no samples; the first is zero if it is not known,
// since a leaf that may have older samples is away or has just begun.
func (a absent) Stats(string, int) (*tsdb.Stats, error) {
	d := a.describe()
	mint, maxt := d.Mint, d.Maxt
	switch {
	case maxt == minTime:
		mint, maxt = maxTime, minTime
	case mint == minTime:
		mint = 0
	}
	return &tsdb.Stats{
		NumSeries: d.Series, MinTime: mint, MaxTime: maxt,
		IndexPostingStats: &index.PostingsStats{},
	}, nil
}

// refuseSamples answers for a tier that does not receive samples.
func refuseSamples(a absent, flag string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		d := a.describe()
		msg := fmt.Sprintf("%s %q does not receive samples on this endpoint", d.Tier, d.Name())
		if d.Tier == querytree.TierLeaf {
			msg += "; it needs --" + flag
		} else {
			msg += "; send them to a leaf"
		}
		respondError(w, http.StatusNotFound, errNotFound, msg)
	}
}

// noExemplars is the exemplar storage of a tier that has none.
type noExemplars struct{}

func (noExemplars) ExemplarQuerier(context.Context) (storage.ExemplarQuerier, error) {
	return noExemplars{}, nil
}

func (noExemplars) Select(int64, int64, ...[]*labels.Matcher) ([]exemplar.QueryResult, error) {
	return []exemplar.QueryResult{}, nil
}
