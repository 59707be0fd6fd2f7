package rollup

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
)

// propose returns a plan's rule, or why it would answer nothing.
func (a *Advisor) propose(p *plan, names names) (Proposal, string) {
	interval, why := p.interval()
	if why != "" {
		return Proposal{}, why
	}
	e := entry{Expr: p.text, Interval: model.Duration(interval).String(), Keep: map[string]keepList{}}
	for _, tier := range a.cfg.Tiers {
		e.Keep[tier] = p.keep(interval)
	}
	r, err := e.rule(newParser())
	if err != nil {
		return Proposal{}, err.Error()
	}
	if notes := r.Notes(); len(notes) > 0 {
		return Proposal{}, notes[0]
	}
	if name := names.of(r); name != "" {
		r.Name = name
	}
	out := Proposal{Rule: r}
	for pat, d := range p.answered {
		out.add(d.Cost)
		if pat.serves(interval) {
			out.Saved.add(d.share(d.old))
		}
		if pat.aligned > 0 && pat.aligned%interval == 0 || pat.serves(interval) {
			out.Aligned.add(d.share(d.old))
		}
	}
	const maxExamples = 3
	for _, w := range p.wants {
		if out.Examples = append(out.Examples, w.example); len(out.Examples) == maxExamples {
			break
		}
	}
	for _, w := range p.wants {
		if text, err := w.query.ruleText(); err == nil && text == p.text {
			out.Series = max(out.Series, w.series)
		}
	}
	return out, ""
}

// serves reports whether all evaluation times are multiples of a distance.
func (p pattern) serves(interval time.Duration) bool { return p.unit > 0 && p.unit%interval == 0 }

// interval returns the largest distance of points that has nearly all of what can
// be had.
func (p *plan) interval() (time.Duration, string) {
	value := func(interval time.Duration) (v float64) {
		for pat, d := range p.answered {
			if pat.serves(interval) || pat.aligned > 0 && pat.aligned%interval == 0 {
				// Queries count even if they took no time.
				v += d.share(d.old).Duration.Seconds() + 1e-6*float64(min(d.old, d.Times))
			}
		}
		return v
	}
	best := 0.0
	for _, u := range units {
		best = max(best, value(u))
	}
	if best == 0 {
		for pat := range p.answered {
			if pat.unit > 0 || pat.aligned > 0 {
				return 0, "it was asked for as of the present only, of which there are no points yet"
			}
		}
		return 0, fmt.Sprintf("it was asked for at times that are not multiples of %s", model.Duration(units[0]))
	}
	const nearly = 0.95
	for _, u := range slices.Backward(units) {
		if value(u) >= nearly*best {
			return u, ""
		}
	}
	return units[0], ""
}

// Retentions that are proposed, and the distance of points that are kept longer.
var retentions = []time.Duration{
	24 * time.Hour, 7 * 24 * time.Hour, 30 * 24 * time.Hour, 90 * 24 * time.Hour, 365 * 24 * time.Hour, 2 * 365 * 24 * time.Hour, 5 * 365 * 24 * time.Hour,
}

const coarse = time.Hour

// keep returns how long points are to be kept, by how far back was asked for; for
// longer at a greater distance if that has all that was asked for there.
func (p *plan) keep(interval time.Duration) keepList {
	var fine, all time.Duration
	for pat, d := range p.answered {
		if d.old == 0 {
			continue
		}
		all = max(all, d.age)
		if !pat.serves(coarse) && (pat.aligned <= 0 || pat.aligned%coarse != 0) {
			fine = max(fine, d.age)
		}
	}
	longest, short := retention(all), retention(fine)
	if interval >= coarse || longest <= short || longest <= retentions[1] {
		return keepList{{For: model.Duration(longest).String()}}
	}
	return keepList{{For: model.Duration(short).String()}, {Every: model.Duration(coarse).String(), For: model.Duration(longest).String()}}
}

func retention(age time.Duration) time.Duration {
	for _, r := range retentions {
		if age <= r {
			return r
		}
	}
	return retentions[len(retentions)-1]
}

// names are those that cannot be given to another rule.
type names map[string]bool

func newNames(have *Rules) names {
	n := names{}
	for _, r := range have.all {
		n[r.Name], n[r.Metric()] = true, true
	}
	return n
}

// of returns a name as rules have by convention, labels:metric:operation, or an
// empty one if the labels or the metric do not make a name.
func (n names) of(r *Rule) string {
	level := strings.Join(r.Expr.Grouping, "_")
	if r.Expr.Without {
		level = strings.TrimSuffix("without_"+level, "_")
	}
	operation := functionsOf(r)
	if r.Expr.Op != parser.SUM || operation == "" {
		operation = strings.TrimSuffix(r.Expr.Op.String()+"_"+operation, "_")
	}
	metric := r.Metric()
	if strings.Contains(operation, "rate") || strings.Contains(operation, "increase") {
		metric = strings.TrimSuffix(metric, "_total")
	}
	base := strings.TrimPrefix(level+":"+metric+":"+operation, ":")
	if !model.LegacyValidation.IsValidMetricName(base) || len(base) > 200 {
		return ""
	}
	name := base
	for i := 2; n[name]; i++ {
		name = fmt.Sprintf("%s_%d", base, i)
	}
	n[name], n[r.Metric()] = true, true
	return name
}

// functionsOf names the functions of a rule, the innermost with its range.
func functionsOf(r *Rule) string {
	var out []string
	parser.Inspect(r.Expr.Expr, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.Call:
			out = append(out, n.Func.Name)
		case *parser.MatrixSelector:
			if len(out) > 0 {
				out[len(out)-1] += model.Duration(n.Range).String()
			}
		}
		return nil
	})
	return strings.Join(out, "_")
}

// YAML returns an entry of the file that Parse reads, a line for each field, that
// stands for a rule.
func (r *Rule) YAML() string {
	var b strings.Builder
	fmt.Fprintf(&b, "- name: %s\n  expr: %s\n  interval: %s\n  keep:\n", yamlText(r.Name), yamlText(r.String()), model.Duration(time.Duration(r.Interval)*time.Millisecond))
	for _, tier := range Tiers() {
		for i, k := range r.Keep[tier] {
			if i == 0 {
				fmt.Fprintf(&b, "    %s:\n", tier)
			}
			if k.Every.Milliseconds() == r.Interval {
				fmt.Fprintf(&b, "    - {for: %s}\n", model.Duration(k.For))
			} else {
				fmt.Fprintf(&b, "    - {every: %s, for: %s}\n", model.Duration(k.Every), model.Duration(k.For))
			}
		}
	}
	return b.String()
}

// yamlText quotes a string so that any YAML parser reads it.
func yamlText(s string) string {
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}
