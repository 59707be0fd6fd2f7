package keep

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/rollup"
)

// Offer is what tiers above know a tier by: *fieldhint.Set is one. It is told of each
// series that is kept before that can be read. So those above go on asking for what
// rollups answer once the series that it was made of are gone. It must be safe for
// concurrent use and quick, and must not call the Store.
type Offer interface {
	// AddKept says that an aggregate of a metric is kept, with these labels. Free are
	// labels that it has not and may be asked by all the same: by what its rule selects.
	AddKept(metric string, aggregate labels.Labels, free []string)
	// RenewKept replaces what was added by what is added during scan, on a day.
	RenewKept(day int64, scan func() error) error
}

// renewEvery is how often the Offer is made anew, without what has become too old.
const renewEvery = 24 * time.Hour

// retryOffer is the time after which that is tried again, if it failed.
const retryOffer = 10 * time.Minute

// SetOffer has an Offer told of all that is kept, now and from now on. It may be
// called once.
func (s *Store) SetOffer(o Offer) error {
	s.mu.Lock()
	s.offer = o
	s.mu.Unlock()
	return s.renew(s.cfg.Now())
}

// RenewOffer makes the Offer anew if that was long ago. It may be called often.
func (s *Store) RenewOffer() error {
	now := s.cfg.Now()
	s.mu.RLock()
	due := s.offer != nil && now.Sub(s.renewed) >= renewEvery
	s.mu.RUnlock()
	if !due {
		return nil
	}
	return s.renew(now)
}

func (s *Store) renew(now time.Time) error {
	s.writing.Lock() // nothing is closed, and there are no other rules, meanwhile
	defer s.writing.Unlock()
	s.mu.RLock()
	offer, kinds, dbs := s.offer, s.kindsOf(s.rules), maps.Clone(s.dbs)
	s.mu.RUnlock()
	err := offer.RenewKept(now.Unix()/int64(renewEvery/time.Second), func() error {
		for key, r := range kinds {
			if err := tell(offer, dbs[key.keep.For], r, key.keep); err != nil {
				return err
			}
		}
		return nil
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.renewed = now; err != nil { // what was told before stays
		s.renewed = now.Add(retryOffer - renewEvery)
	}
	return err
}

// tell tells an Offer of all series of a rule at one distance.
func tell(o Offer, db storage.Queryable, r *rollup.Rule, k rollup.Keep) error {
	q, err := db.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		return fmt.Errorf("rollup %q: tell what is kept: %w", r.Name, err)
	}
	free := r.Implied()
	set := q.Select(context.Background(), false, &storage.SelectHints{Start: math.MinInt64, End: math.MaxInt64, Func: "series"},
		labels.MustNewMatcher(labels.MatchEqual, ruleLabel, storedAs(r, k)), labels.MustNewMatcher(labels.MatchEqual, markerLabel, ""))
	for set.Next() {
		o.AddKept(r.Metric(), visible(set.At().Labels()), free)
	}
	if err := errors.Join(set.Err(), q.Close()); err != nil {
		return fmt.Errorf("rollup %q: tell what is kept: %w", r.Name, err)
	}
	return nil
}

// tellNew tells the Offer, if there is one, of the series of a batch.
func (s *Store) tellNew(r *rollup.Rule, b batch) {
	s.mu.RLock()
	offer := s.offer
	s.mu.RUnlock()
	if offer == nil || len(b.series) == 0 {
		return
	}
	free := r.Implied()
	for _, series := range b.series {
		lset := series.Metric
		if lset.Has(querytree.OpLabel) {
			lset = labels.NewBuilder(lset).Del(querytree.OpLabel).Labels()
		}
		offer.AddKept(r.Metric(), lset, free)
	}
}

// tellBack tells the Offer of what there is of rules that are kept again. The caller
// holds writing.
func (s *Store) tellBack(rules *rollup.Rules) error {
	s.mu.RLock()
	offer, old, dbs := s.offer, s.rules, maps.Clone(s.dbs)
	s.mu.RUnlock()
	if offer == nil {
		return nil
	}
	before := s.kindsOf(old)
	for key, r := range s.kindsOf(rules) {
		if before[key] == nil {
			if err := tell(offer, dbs[key.keep.For], r, key.keep); err != nil {
				return err
			}
		}
	}
	return nil
}
