package aggregate

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
)

// maxNames bounds the metric names whose rules are remembered; those of others
// are found anew each time.
const maxNames = 100_000

// exportedPrefix is put before the name of a series that comes in under a name
// that is an output's.
const exportedPrefix = model.ExportedLabelPrefix

// ruleSet is a version of the rules, ready to be matched. It is safe for
// concurrent use.
type ruleSet struct {
	epoch uint64 // tells versions apart, within a process
	rules []*rule
	names sync.Map // *nameInfo by metric name
	known atomic.Int64
}

// rule is a rule with what is looked at often.
type rule struct {
	*Rule
	selectors [][]*labels.Matcher
	by        []string // with what is always kept
	id        string
	since     int64 // the rule has seen all there was from then on
	inputs    atomic.Int64
	told      atomic.Bool // that there are too many inputs
}

// full reports whether the rule has as many inputs as it may.
func (r *rule) full() bool { return r.inputs.Load() >= int64(r.MaxInputs) }

// nameInfo is what is known of a metric name.
type nameInfo struct {
	rules    []*rule // that may match, in order
	reserved bool    // it is an output's
}

func newRuleSet(rules Rules, epoch uint64) (*ruleSet, error) {
	s := &ruleSet{epoch: epoch}
	for i := range rules.Rules {
		r := &rules.Rules[i]
		selectors, err := r.selectors()
		if err != nil {
			return nil, err
		}
		by := append(slices.Clone(r.By), model.MetricNameLabel, model.BucketLabel)
		s.rules = append(s.rules, &rule{Rule: r, selectors: selectors, by: by, id: r.identity()})
	}
	return s, nil
}

// name returns what is known of a metric name.
func (s *ruleSet) name(metric string) *nameInfo {
	if v, ok := s.names.Load(metric); ok {
		return v.(*nameInfo)
	}
	info := &nameInfo{}
	for _, r := range s.rules {
		if r.mayMatch(metric) {
			info.rules = append(info.rules, r)
		}
		if r.makes(metric) {
			info.reserved = true
		}
	}
	if s.known.Load() < maxNames {
		s.known.Add(1)
		s.names.Store(strings.Clone(metric), info)
	}
	return info
}

// match returns the rule that a series is an input of, or nil.
func (i *nameInfo) match(lset labels.Labels) *rule {
	for _, r := range i.rules {
		if slices.ContainsFunc(r.selectors, func(ms []*labels.Matcher) bool { return matches(ms, lset) }) {
			return r
		}
	}
	return nil
}

func matches(ms []*labels.Matcher, lset labels.Labels) bool {
	for _, m := range ms {
		if !m.Matches(lset.Get(m.Name)) {
			return false
		}
	}
	return true
}

// mayMatch reports whether a selector matches the name. What scraping tells of a
// target is matched only by those that name it.
func (r *rule) mayMatch(metric string) bool {
	own := metric == "up" || strings.HasPrefix(metric, "scrape_")
	return slices.ContainsFunc(r.selectors, func(ms []*labels.Matcher) bool {
		named := false
		for _, m := range ms {
			if m.Name != model.MetricNameLabel {
				continue
			}
			if !m.Matches(metric) {
				return false
			}
			named = named || m.Type == labels.MatchEqual || slices.Contains(m.SetMatches(), metric)
		}
		return named || !own
	})
}

// makes reports whether the rule gives the name to an output.
func (r *rule) makes(metric string) bool {
	for _, gauge := range []bool{false, true} {
		for _, op := range r.Ops {
			before, after, _ := strings.Cut(strings.ReplaceAll(r.template(gauge), opHolder, string(op)), metricHolder)
			base, ok := strings.CutPrefix(metric, before)
			if !ok {
				continue
			}
			if base, ok = strings.CutSuffix(base, after); ok && base != "" && r.mayMatch(base) {
				return true
			}
		}
	}
	return false
}

// kind is how the samples of an input are read.
type kind uint8

const (
	counter kind = iota + 1
	gauge
	histogramCounter
	histogramGauge
)

func (k kind) histogram() bool  { return k == histogramCounter || k == histogramGauge }
func (k kind) cumulative() bool { return k == counter || k == histogramCounter }

// metricType is that of the metadata for an output.
func (k kind) metricType() model.MetricType {
	switch k {
	case counter:
		return model.MetricTypeCounter
	case gauge:
		return model.MetricTypeGauge
	case histogramGauge:
		return model.MetricTypeGaugeHistogram
	default:
		return model.MetricTypeHistogram
	}
}

// kind returns how samples of a series are read, or false if the rule is not for
// such.
func (r *rule) kind(metric string, t model.MetricType, h *histogram.Histogram, fh *histogram.FloatHistogram) (kind, bool) {
	if h != nil || fh != nil {
		isGauge := h != nil && h.CounterResetHint == histogram.GaugeType || fh != nil && fh.CounterResetHint == histogram.GaugeType
		switch {
		case r.Type != TypeAuto && r.Type != TypeHistogram:
			return 0, false
		case isGauge:
			return histogramGauge, true
		default:
			return histogramCounter, true
		}
	}
	switch r.Type {
	case TypeCounter:
		return counter, true
	case TypeGauge:
		return gauge, true
	case TypeHistogram:
		return 0, false
	}
	return kindByType(metric, t)
}

func kindByType(metric string, t model.MetricType) (kind, bool) {
	cumulative := slices.ContainsFunc([]string{"_total", "_count", "_sum", "_bucket"}, func(s string) bool { return strings.HasSuffix(metric, s) })
	switch t {
	case model.MetricTypeCounter:
		return counter, true
	case model.MetricTypeGauge, model.MetricTypeInfo, model.MetricTypeStateset:
		return gauge, true
	case model.MetricTypeGaugeHistogram:
		return gauge, true
	default: // of a summary, the quantiles are neither
		return counter, cumulative
	}
}

// outputs returns the labels of the outputs that a series is an input of, one for
// each op.
func (r *rule) outputs(lset labels.Labels, k kind) ([]labels.Labels, []Op) {
	b := labels.NewBuilder(lset)
	if len(r.Without) > 0 {
		b.Del(r.Without...)
	} else {
		b.Keep(r.by...)
	}
	ops := []Op{OpSum}
	if k == gauge {
		ops = r.Ops
	}
	template := strings.Replace(r.template(k == gauge), metricHolder, lset.Get(model.MetricNameLabel), 1)
	var out []labels.Labels
	for _, op := range ops {
		b.Set(model.MetricNameLabel, strings.ReplaceAll(template, opHolder, string(op)))
		out = append(out, b.Labels())
	}
	return out, ops
}
