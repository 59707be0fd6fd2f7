package treerpc

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
)

// wireData makes answers of the kinds that cross the wire, the same every time.
type wireData struct{ rng *rand.Rand }

func newWireData() *wireData { return &wireData{rand.New(rand.NewPCG(1, 2))} }

// kinds of values, by name: what a step of a series is worth.
var wireKinds = []struct {
	name   string
	values func(w *wireData, steps int) []float64
}{
	{"sum of rates", func(w *wireData, steps int) []float64 { return w.rates(steps, 20, 40, 7) }},
	{"sum of rates, aligned", func(w *wireData, steps int) []float64 { return w.rates(steps, 20, 40, 0) }},
	{"rate of one, idle", func(w *wireData, steps int) []float64 { return w.rates(steps, 1, 0.5, 7) }},
	{"ratio of rates", func(w *wireData, steps int) []float64 {
		a, b := w.rates(steps, 5, 2, 7), w.rates(steps, 5, 40, 7)
		for i := range a {
			a[i] /= b[i]
		}
		return a
	}},
	{"counter", func(w *wireData, steps int) []float64 {
		v, out := math.Floor(w.rng.Float64()*1e7), make([]float64, steps)
		for i := range out {
			v += float64(w.poisson(200))
			out[i] = v
		}
		return out
	}},
	{"memory", func(w *wireData, steps int) []float64 {
		v, out := math.Floor(w.rng.Float64()*1e5), make([]float64, steps)
		for i := range out {
			v = math.Abs(v + math.Floor(w.rng.NormFloat64()*20))
			out[i] = v * 4096
		}
		return out
	}},
	{"constant", func(_ *wireData, steps int) []float64 {
		out := make([]float64, steps)
		for i := range out {
			out[i] = 1
		}
		return out
	}},
	{"noise", func(w *wireData, steps int) []float64 {
		out := make([]float64, steps)
		for i := range out {
			out[i] = math.Float64frombits(w.rng.Uint64())
		}
		return out
	}},
}

// poisson draws the events of an interval in which mean are expected.
func (w *wireData) poisson(mean float64) int {
	if mean > 50 {
		return max(0, int(mean+math.Sqrt(mean)*w.rng.NormFloat64()))
	}
	n, p := 0, w.rng.Float64()
	for limit := math.Exp(-mean); p > limit; n++ {
		p *= w.rng.Float64()
	}
	return n
}

// rates returns sum(rate(x[5m])) of counters of targets that are scraped every
// 15 s, up to jitter ms off, each counting perSecond events on average.
func (w *wireData) rates(steps, targets int, perSecond float64, jitter int64) []float64 {
	const scrape, window = 15_000, 300_000
	out := make([]float64, steps)
	phase := w.rng.Float64() * 6
	for range targets {
		n := steps + window/scrape + 2
		ts, vs := make([]int64, n), make([]float64, n)
		offset, v := w.rng.Int64N(scrape), 0.0
		for i := range ts {
			ts[i] = offset + int64(i)*scrape
			if jitter > 0 {
				ts[i] += w.rng.Int64N(2*jitter+1) - jitter
			}
			v += float64(w.poisson(perSecond * 15 * (1 + 0.3*math.Sin(phase+float64(i)/200))))
			vs[i] = v
		}
		for i := range out {
			end := int64(i)*scrape + window
			first, last := -1, -1
			for j := i; j < n && ts[j] <= end; j++ {
				if first < 0 && ts[j] > end-window {
					first = j
				}
				last = j
			}
			out[i] += extrapolatedRate(ts[first:last+1], vs[first:last+1], end-window, end)
		}
	}
	return out
}

// extrapolatedRate is what PromQL's rate() computes.
func extrapolatedRate(ts []int64, vs []float64, start, end int64) float64 {
	last := len(ts) - 1
	result := vs[last] - vs[0]
	toStart, toEnd := float64(ts[0]-start)/1000, float64(end-ts[last])/1000
	sampled := float64(ts[last]-ts[0]) / 1000
	average := sampled / float64(last)
	if toStart >= average*1.1 {
		toStart = average / 2
	}
	if result > 0 {
		toStart = min(toStart, sampled*vs[0]/result)
	}
	if toEnd >= average*1.1 {
		toEnd = average / 2
	}
	return result * ((sampled + toStart + toEnd) / sampled) / (float64(end-start) / 1000)
}

// answer returns series of n label sets, as those of a busy cluster.
func (w *wireData) answer(n, steps int, g grid, values func(w *wireData, steps int) []float64) []promql.Series {
	out := make([]promql.Series, n)
	b := labels.NewBuilder(labels.FromStrings("__name__", "http_requests_total", "job", "api", "zone", "eu"))
	for i := range out {
		b.Set("cluster", fmt.Sprintf("eu-%04d", i))
		b.Set("instance", fmt.Sprintf("10.%d.%d.%d:8080", w.rng.IntN(256), w.rng.IntN(256), w.rng.IntN(256)))
		b.Set("pod", fmt.Sprintf("api-%08x-%05x", w.rng.Uint32(), w.rng.Uint32()>>12))
		out[i].Metric = b.Labels()
		for step, v := range values(w, steps) {
			out[i].Floats = append(out[i].Floats, promql.FPoint{T: g.time(step), F: v})
		}
	}
	return out
}
