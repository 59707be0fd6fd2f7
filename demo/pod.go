package demo

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// maxOps bounds the operations that one route of a pod draws in one tick.
const maxOps = 500

// sizeWindow is how many response sizes the summary's quantiles look back on.
const sizeWindow = 64

// identity is what Kubernetes knows of a pod.
type identity struct {
	pod, namespace, service, version string
	ip, node, uid                    string
	created                          time.Time
	restarts                         int
}

// pod is one running instance of a service. It is guarded by its cluster.
type pod struct {
	identity
	spec    *service
	ordinal int
	started time.Time // of the process; later than created after a restart
	pace    float64   // its share of the load against its peers'
	routes  []routeState
	gauges  []gaugeState
	sizes   sizes
	cpu     float64
	memory  float64
	rx, tx  float64
	build   []*dto.LabelPair
}

type routeState struct {
	*route
	due      float64 // operations owed, the fraction left over from the last tick
	duration durations
	labels   []*dto.LabelPair
	outcomes []outcomeState
}

type outcomeState struct {
	labels []*dto.LabelPair
	count  uint64
}

type gaugeState struct {
	*gauge
	labels []*dto.LabelPair
	phase  float64
	value  float64
}

type sizes struct {
	count  uint64
	sum    float64
	recent [sizeWindow]float64
}

func newPod(spec *service, id identity, ordinal int, rng *rand.Rand) *pod {
	p := &pod{
		identity: id, spec: spec, ordinal: ordinal, started: id.created, pace: 0.7 + 0.6*rng.Float64(),
		memory: spec.memory * (0.8 + 0.2*rng.Float64()),
		build:  pairs("revision", fmt.Sprintf("%08x", rng.Uint32()), "goversion", "go1.26"),
	}
	for i := range spec.routes {
		p.routes = append(p.routes, newRouteState(spec, &spec.routes[i]))
	}
	for i := range spec.gauges {
		p.gauges = append(p.gauges, newGaugeStates(&spec.gauges[i], rng)...)
	}
	return p
}

func newRouteState(spec *service, r *route) routeState {
	var base []string
	for i, name := range spec.labels {
		base = append(base, name, r.values[i])
	}
	s := routeState{route: r, labels: pairs(base...)}
	for _, o := range spec.outcomes {
		s.outcomes = append(s.outcomes, outcomeState{labels: pairs(append(slices.Clone(base), spec.outcome, o.value)...)})
	}
	return s
}

func newGaugeStates(g *gauge, rng *rand.Rand) []gaugeState {
	if g.label == "" {
		return []gaugeState{{gauge: g, phase: rng.Float64(), value: g.base}}
	}
	var out []gaugeState
	for _, v := range g.values {
		out = append(out, gaugeState{gauge: g, labels: pairs(g.label, v), phase: rng.Float64(), value: g.base})
	}
	return out
}

// restart begins the process anew: its counters are zero, its gauges too.
func (p *pod) restart(now time.Time) {
	p.started = now
	p.restarts++
	p.cpu, p.memory, p.sizes = 0, p.spec.memory*0.7, sizes{}
	for i := range p.routes {
		r := &p.routes[i]
		r.duration = durations{}
		for j := range r.outcomes {
			r.outcomes[j].count = 0
		}
	}
}

// step lives through the tick that ends now.
func (p *pod) step(now time.Time, demand float64, e effect, rng *rand.Rand) {
	for i := range p.routes {
		p.work(&p.routes[i], now, demand, e, rng)
	}
	for i := range p.gauges {
		p.gauges[i].step(now, demand, e, rng)
	}
	p.cpu += tick.Seconds() * 0.01 // what an idle process takes
	p.memory += (p.spec.memory*(0.8+0.2*demand) - p.memory) * 0.05 * rng.Float64()
}

func (p *pod) work(r *routeState, now time.Time, demand float64, e effect, rng *rand.Rand) {
	r.due += p.spec.rate * r.share * p.pace * demand * tick.Seconds() * (0.8 + 0.4*rng.Float64())
	n := int(r.due)
	r.due -= float64(n)
	for range min(n, maxOps) {
		v := r.median * math.Exp(r.sigma*rng.NormFloat64()) * e.slow
		r.duration.observe(v)
		r.outcomes[drawOutcome(p.spec.outcomes, e, rng)].count++
		p.sizes.observe(200 + 20000*rng.ExpFloat64())
		p.cpu += p.spec.cpuPerOp * (0.5 + rng.Float64())
		p.rx += 300 + 1200*rng.Float64()
		p.tx += 500 + 20000*rng.Float64()
		if v > 4*r.median*e.slow || r.duration.slowest.trace == "" {
			r.duration.slowest = exemplar{trace: fmt.Sprintf("%016x", rng.Uint64()), value: v, at: now}
		}
	}
}

// drawOutcome returns the index of an outcome; failures take the share that the
// effect adds, divided evenly.
func drawOutcome(outcomes []outcome, e effect, rng *rand.Rand) int {
	failures := 0
	for _, o := range outcomes {
		if o.failure {
			failures++
		}
	}
	x := rng.Float64()
	for i, o := range outcomes {
		share := o.share * (1 - e.errors)
		if o.failure {
			share += e.errors / float64(failures)
		}
		if x -= share; x < 0 {
			return i
		}
	}
	return 0
}

func (g *gaugeState) step(now time.Time, demand float64, e effect, rng *rand.Rand) {
	share := 0.6 + 0.8*g.phase // queues and GPUs of one pod are not used alike
	v := g.base + g.load*demand*share + g.swing*math.Sin(2*math.Pi*(float64(now.Unix())/900+g.phase)) + g.noise*rng.NormFloat64()
	if e.stressed() {
		v += g.stress
	}
	// Half of the way at a time: queues and temperatures do not jump.
	g.value += (v - g.value) / 2
}

func (g *gaugeState) exposed() float64 {
	if g.whole {
		return max(0, math.Round(g.value))
	}
	return g.value
}

func (s *sizes) observe(v float64) {
	s.recent[s.count%sizeWindow] = v
	s.count++
	s.sum += v
}

func (s *sizes) proto(created time.Time) *dto.Summary {
	out := &dto.Summary{SampleCount: proto.Uint64(s.count), SampleSum: proto.Float64(s.sum), CreatedTimestamp: timestamppb.New(created)}
	recent := slices.Clone(s.recent[:min(s.count, sizeWindow)])
	slices.Sort(recent)
	for _, q := range []float64{0.5, 0.9, 0.99} {
		v := math.NaN() // what client_golang exposes before the first observation
		if len(recent) > 0 {
			v = recent[int(q*float64(len(recent)-1))]
		}
		out.Quantile = append(out.Quantile, &dto.Quantile{Quantile: proto.Float64(q), Value: proto.Float64(v)})
	}
	return out
}

// Names of what every simulated process exposes.
var (
	processStart  = metric{"process_start_time_seconds", "Start time of the process since the epoch."}
	processCPU    = metric{"process_cpu_seconds_total", "CPU time of the process."}
	processMemory = metric{"process_resident_memory_bytes", "Resident memory of the process."}
	processFDs    = metric{"process_open_fds", "Open file descriptors."}
	goroutines    = metric{"go_goroutines", "Goroutines that exist."}
	buildInfo     = metric{"app_build_info", "What the running program was built from; always 1."}
)

// gather returns the pod's own exposition.
func (p *pod) gather() []*dto.MetricFamily {
	var f families
	f.gauge(processStart, float64(p.started.UnixMilli())/1000, nil)
	f.counter(processCPU, p.cpu, p.started, nil)
	f.gauge(processMemory, math.Round(p.memory), nil)
	f.gauge(processFDs, 20+math.Round(p.gauges[0].exposed()), nil)
	f.gauge(goroutines, 12+3*math.Round(p.gauges[0].exposed()), nil)
	f.gauge(buildInfo, 1, p.build)
	for i := range p.routes {
		for _, o := range p.routes[i].outcomes {
			f.counter(p.spec.counter, float64(o.count), p.started, o.labels)
		}
	}
	for i := range p.routes {
		f.histogram(p.spec.duration, p.routes[i].duration.proto(p.spec.classic, p.started), p.routes[i].labels)
	}
	if p.spec.size.name != "" {
		f.summary(p.spec.size, p.sizes.proto(p.started))
	}
	for i := range p.gauges {
		f.gauge(p.gauges[i].metric, p.gauges[i].exposed(), p.gauges[i].labels)
	}
	return f.sorted()
}
