package querytree

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/prometheus/prometheus/promql"
)

// childPart is what one child said of one group, by operator, on the step grid.
type childPart struct {
	cols [][]float64
	has  [][]bool
}

// addSeveral merges a part of one child's answer to several operators: the mean
// and the variance of a part can be merged only when its count is known.
func (f *fold) addSeveral(series []promql.Series) error {
	for _, s := range series {
		if len(s.Histograms) > 0 {
			return errMixed
		}
		if op := opOf(s.Metric); !slices.Contains(f.ops, op) {
			return fmt.Errorf("%w: an answer to operator %q, which was not asked for", ErrUnavailable, op)
		}
	}
	p := f.newPart()
	for _, members := range byGroup(series) {
		if err := f.addGroup(series, members, p); err != nil {
			return err
		}
	}
	return nil
}

// addGroup merges those of the series that are of one group, by way of p.
func (f *fold) addGroup(series []promql.Series, members []int, p *childPart) error {
	g := f.group(withoutOp(series[members[0]].Metric))
	if g.cols == nil {
		var err error
		if g.cols, err = f.newColumns(); err != nil {
			return err
		}
	}
	p.set(f, series, members)
	for i := range f.grid.steps() {
		if err := f.mergeStep(g, p, i); err != nil {
			return err
		}
	}
	return nil
}

// byGroup gathers series that differ in nothing but their operators: which they
// are, in the order in which the first of each group comes.
func byGroup(series []promql.Series) (groups [][]int) {
	at, buf := map[string]int{}, make([]byte, 0, 1024)
	for i := range series {
		buf = series[i].Metric.BytesWithoutLabels(buf, OpLabel, GroupOpLabel)
		number, ok := at[string(buf)]
		if !ok {
			number = len(groups)
			at[string(buf)] = number
			groups = append(groups, nil)
		}
		groups[number] = append(groups[number], i)
	}
	return groups
}

// wholeGroups divides a part of one child's answer to several operators into the
// series of groups that have them all and the others, whatever the order in which
// they came. The former are where series was.
func wholeGroups(series []promql.Series, ops []string) (whole, rest []promql.Series) {
	lacking := make([]bool, len(series))
	for _, members := range byGroup(series) {
		lacks := !evenly(series, members, ops)
		for _, i := range members {
			lacking[i] = lacks
		}
	}
	whole = series[:0]
	for i, s := range series {
		if lacking[i] {
			rest = append(rest, s)
		} else {
			whole = append(whole, s)
		}
	}
	clear(series[len(whole):])
	return whole, rest
}

// evenly reports whether those of the series that are of one group have all the
// operators, each as often.
func evenly(series []promql.Series, members []int, ops []string) bool {
	n := make([]int, len(ops))
	for _, i := range members {
		if k := slices.Index(ops, opOf(series[i].Metric)); k >= 0 {
			n[k]++
		}
	}
	return slices.Min(n) > 0 && slices.Min(n) == slices.Max(n)
}

func (f *fold) newPart() *childPart {
	p, n := &childPart{cols: make([][]float64, len(f.ops)), has: make([][]bool, len(f.ops))}, f.grid.steps()
	for k := range f.ops {
		p.cols[k], p.has[k] = make([]float64, n), make([]bool, n)
	}
	return p
}

// set makes it the part of a group.
func (p *childPart) set(f *fold, series []promql.Series, members []int) {
	for k := range p.has {
		clear(p.has[k])
	}
	for _, m := range members {
		k := slices.Index(f.ops, opOf(series[m].Metric))
		for _, fp := range series[m].Floats {
			i := f.grid.index(fp.T)
			p.cols[k][i], p.has[k][i] = fp.F, true
		}
	}
}

// mergeStep merges one step of a child's part into its group.
func (f *fold) mergeStep(g *foldGroup, p *childPart, i int) error {
	var n, mean, old, oldMean float64
	first := true
	if k := slices.Index(f.ops, "count"); k >= 0 {
		if !p.has[k][i] {
			return f.nothing(p, i)
		}
		n, old, first = p.cols[k][i], g.cols[k].value[i], !g.cols[k].present[i]
	}
	if k := slices.Index(f.ops, "avg"); k >= 0 {
		if !p.has[k][i] {
			return errMixed // values that have no mean: native histograms
		}
		mean, oldMean = p.cols[k][i], g.cols[k].value[i]
	}
	for k, op := range f.ops {
		if !p.has[k][i] {
			return errMixed
		}
		c, v := &g.cols[k], p.cols[k][i]
		switch op {
		case "avg":
			f.mergeMean(c, i, v, n, old, first)
		case "stddev", "stdvar":
			mergeVariance(c, i, op == "stddev", moments{old, oldMean, c.value[i]}, moments{n, mean, v}, first)
		default:
			f.column(c, op, []promql.FPoint{{T: f.grid.time(i), F: v}})
		}
		c.present[i] = true
	}
	return nil
}

// nothing makes sure that a part without a count has nothing else at that step.
func (f *fold) nothing(p *childPart, i int) error {
	for k := range f.ops {
		if p.has[k][i] {
			return errMixed
		}
	}
	return nil
}

func (f *fold) mergeMean(c *foldColumn, i int, mean, n, old float64, first bool) {
	if first {
		c.value[i] = mean
		return
	}
	d := mean - c.value[i]
	switch {
	case math.IsInf(c.value[i], 0) && !math.IsNaN(mean) && mean != -c.value[i]:
		// An infinity is moved by its opposite alone.
	case math.IsInf(d, 0) && !math.IsInf(mean, 0):
		c.value[i] = c.value[i]*(old/(old+n)) + mean*(n/(old+n))
	default:
		c.value[i] += d * (n / (old + n))
	}
}

// moments are a number of values, their mean, and their variance or standard
// deviation.
type moments struct{ n, mean, spread float64 }

// mergeVariance merges variances by the distance of their means (Chan, Golub
// and LeVeque, 1979), which is stable where sums of squares are not.
func mergeVariance(c *foldColumn, i int, deviation bool, a, b moments, first bool) {
	if first {
		c.value[i] = b.spread
		return
	}
	va, vb := a.spread, b.spread
	if deviation {
		va, vb = va*va, vb*vb
	}
	n, d := a.n+b.n, b.mean-a.mean
	v := (va*a.n + vb*b.n + d*d*(a.n*b.n/n)) / n
	if deviation {
		v = math.Sqrt(v)
	}
	c.value[i] = v
}

// conditioned is how small a standard deviation may be, relative to the mean,
// before the rounding of the parts' means shows in it.
const conditioned = 1e-3

// Of a sum that is not a number, the mean may be one: where finite values
// overflow beside an infinity of the other sign, the engine goes on with the mean
// and gets that infinity. Only the means tell.
var (
	errNotANumber = errors.New("a sum is not a number")
	errOverflow   = errors.New("a sum overflowed beside an infinity")
)

func notANumber(s promql.Series) bool {
	return slices.ContainsFunc(s.Floats, func(p promql.FPoint) bool { return math.IsNaN(p.F) })
}

// averages returns the means of the groups of a fold of sums and counts, and of
// means if sums were not numbers.
func (f *fold) averages() (promql.Matrix, error) {
	return f.finals(func(g *foldGroup, i int) (float64, error) {
		sum, count := &g.cols[slices.Index(f.ops, "sum")], &g.cols[slices.Index(f.ops, "count")]
		b := balance{sum: sum.value[i] + sum.carry[i], size: sum.size[i], inf: math.IsInf(sum.size[i], 0)}
		if why := b.lossy(); why != "" {
			return 0, errors.New(why)
		}
		switch mean := slices.Index(f.ops, "avg"); {
		case !math.IsNaN(b.sum):
		case mean < 0:
			return 0, errNotANumber
		case !math.IsNaN(g.cols[mean].value[i]):
			return 0, errOverflow
		}
		return sum.value[i]/count.value[i] + sum.carry[i]/count.value[i], nil
	})
}

// spreads returns the standard deviations or variances of the groups.
func (f *fold) spreads(op string) (promql.Matrix, error) {
	return f.finals(func(g *foldGroup, i int) (float64, error) {
		mean, spread := g.cols[slices.Index(f.ops, "avg")].value[i], g.cols[slices.Index(f.ops, op)].value[i]
		deviation := spread
		if op == "stdvar" {
			deviation = math.Sqrt(spread)
		}
		switch {
		case math.IsNaN(spread):
			return spread, nil
		case math.IsInf(spread, 0):
			return 0, errors.New("a variance is infinite")
		case deviation < conditioned*math.Abs(mean) && deviation != 0:
			return 0, errors.New("a standard deviation is small against its mean")
		}
		return spread, nil
	})
}

// finals computes one value for each step at which a group has values. Like
// result it can be called once.
func (f *fold) finals(value func(g *foldGroup, i int) (float64, error)) (promql.Matrix, error) {
	out := make(promql.Matrix, 0, len(f.groups))
	for _, g := range f.groups {
		if g.cols == nil {
			continue
		}
		s := promql.Series{Metric: g.lset, Floats: g.cols[0].room()}
		for i, ok := range g.cols[0].present {
			if !ok {
				continue
			}
			v, err := value(g, i)
			if err != nil {
				return nil, err
			}
			s.Floats = append(s.Floats, promql.FPoint{T: f.grid.time(i), F: v})
		}
		if len(s.Floats) > 0 {
			out = append(out, s)
		}
		*g = foldGroup{}
	}
	f.groups = nil
	sortSeries(out)
	return out, nil
}
