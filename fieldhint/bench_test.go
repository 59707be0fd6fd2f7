package fieldhint

import (
	"fmt"
	"math"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
)

// wideSeries has ten labels of common lengths; 1,000 series share a pod.
func wideSeries(i int) labels.Labels {
	pod := fmt.Sprintf("checkout-service-6f7d9c5b8-%05x", i/1000)
	return labels.FromStrings(labels.MetricName, fmt.Sprintf("http_server_requests_%d_total", i%200),
		"cluster", "eu-west-1-prod-3", "zone", "eu-west-1", "namespace", "shop", "job", "checkout-service",
		"instance", fmt.Sprintf("10.12.%d.%d:9090", i/1000/250, i/1000%250), "pod", pod, "container", "server",
		"code", fmt.Sprint(200+i%5), "method", "GET")
}

func BenchmarkAddSeriesKnown(b *testing.B) {
	s := newSet(b, SetConfig{})
	lset := wideSeries(1)
	s.AddSeries(lset)
	b.ReportAllocs()
	for b.Loop() {
		s.AddSeries(lset)
	}
}

// Every series is new, as are its pod and instance once in a thousand.
func BenchmarkAddSeriesNew(b *testing.B) {
	all := make([]labels.Labels, 200_000)
	for i := range all {
		all[i] = wideSeries(i)
	}
	b.ReportAllocs()
	b.ResetTimer()
	s := newSet(b, SetConfig{})
	for i := range b.N {
		s.AddSeries(all[i%len(all)])
	}
}

// Every series has a pod of its own: the worst case.
func BenchmarkAddSeriesNewPod(b *testing.B) {
	all := make([]labels.Labels, 200_000)
	for i := range all {
		all[i] = wideSeries(i * 1000)
	}
	b.ReportAllocs()
	b.ResetTimer()
	s := newSet(b, SetConfig{})
	for i := range b.N {
		s.AddSeries(all[i%len(all)])
	}
	b.ReportMetric(float64(s.Bytes())/float64(s.Len()), "B/fingerprint")
}

func BenchmarkSetAddKnown(b *testing.B) {
	s := newSet(b, SetConfig{})
	for i := range uint64(1_000_000) {
		s.Add(mix(i))
	}
	i := uint64(0)
	for b.Loop() {
		s.Add(mix(i % 1_000_000))
		i++
	}
}

func BenchmarkRulesOut1000Children(b *testing.B) {
	x, err := NewIndex(IndexConfig{})
	if err != nil {
		b.Fatal(err)
	}
	p := &parent{Index: x}
	p.cfg.MaxAge = 1 << 40
	names := make([]string, 1000)
	for i := range names {
		names[i] = fmt.Sprintf("leaf-%d", i)
		s := newSet(b, SetConfig{})
		for j := range 100 {
			s.AddSeries(wideSeries(i*1000 + j*977))
		}
		s.SetComplete()
		connect(b, s, p, names[i]).flow()
	}
	for _, text := range []string{
		`job="absent"`, `job="checkout-service"`, `pod=~"absent-.*"`, `pod=~"checkout-service-.*-0001."`, `code=~"5..|4.."`, `job=~"(?i)absent"`,
	} {
		ms := selector(b, text)
		b.Run(text, func(b *testing.B) {
			for b.Loop() {
				x.RulesOutAll(names, ms, 0, 0)
			}
		})
	}
	ms := selector(b, `pod=~"absent-.*"`)
	b.Run("one by one", func(b *testing.B) {
		for b.Loop() {
			for _, name := range names {
				x.RulesOut(name, ms, 0, 0)
			}
		}
	})
}

func BenchmarkCompile(b *testing.B) {
	for _, text := range []string{`job="api"`, `pod=~"checkout-.*"`, `pod=~"(?i)checkout-service"`, `code=~"5..|4.."`} {
		ms := selector(b, text)
		b.Run(text, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Compile(ms)
			}
		})
	}
}

func BenchmarkApply(b *testing.B) {
	x, err := NewIndex(IndexConfig{})
	if err != nil {
		b.Fatal(err)
	}
	fps := make([]uint64, MaxFrameFingerprints)
	for i := range fps {
		fps[i] = mix(uint64(i)) & fingerprintMask
	}
	frame := frame{complete: true, first: true, epoch: 1, records: []record{
		{kind: recordOpen, span: always, total: MaxFrameFingerprints}, {kind: recordFingerprints, fps: fps},
	}}.append(nil)
	b.SetBytes(int64(len(frame)))
	for b.Loop() {
		f := x.Open("a")
		if err := f.Apply(frame); err != nil {
			b.Fatal(err)
		}
	}
}

// productionSeries are those of 200 pods of 20 applications in 8 namespaces, with
// 200 metrics each, of which half are common to all.
func productionSeries() []labels.Labels {
	var out []labels.Labels
	for pod := range 200 {
		app := pod % 20
		b := labels.NewBuilder(labels.FromStrings("region", "eu-west-1", "cluster", "eu-west-1-prod-3",
			"namespace", fmt.Sprintf("team-%d", app%8), "job", fmt.Sprintf("app-%d", app),
			"pod", fmt.Sprintf("app-%d-6f7d9c5b8-%05x", app, 7919*pod), "instance", fmt.Sprintf("10.12.%d.%d:9090", pod/100, pod%100)))
		for metric := range 200 {
			name := fmt.Sprintf("process_metric_%d_total", metric)
			if metric >= 100 {
				name = fmt.Sprintf("app_%d_metric_%d_total", app, metric)
			}
			out = append(out, b.Set(labels.MetricName, name).Labels())
		}
	}
	return out
}

// plannedSet is a set that has taken a census of the series.
func plannedSet(t testing.TB, cfg SetConfig, all []labels.Labels) *Set {
	t.Helper()
	s := newSet(t, cfg)
	err := s.Rebuild(today, func(add func(labels.Labels, ...Span)) error {
		for _, lset := range all {
			add(lset, Span{0, math.MaxInt64})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func BenchmarkAddSeriesPaired(b *testing.B) {
	all := make([]labels.Labels, 200_000)
	for i := range all {
		all[i] = wideSeries(i)
	}
	planned := plannedSet(b, SetConfig{}, all).Scheme()
	for name, scheme := range map[string]*Scheme{"pairs": planned, "none": nil} {
		b.Run("known/"+name, func(b *testing.B) {
			l := newLog(1, newRoom(1<<26), 1<<16).keep(scheme, labels.EmptyLabels())
			for b.Loop() {
				l.addSeries(all[1])
			}
		})
		b.Run("new/"+name, func(b *testing.B) {
			b.ReportAllocs()
			l := newLog(1, newRoom(1<<26), 1<<16).keep(scheme, labels.EmptyLabels())
			b.ResetTimer()
			for i := range b.N {
				l.addSeries(all[i%len(all)])
			}
		})
	}
}

func BenchmarkCensus(b *testing.B) {
	all := productionSeries()
	c := NewCensus(labels.EmptyLabels())
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		c.Add(all[i%len(all)])
		i++
	}
}

// BenchmarkBytesPerSeries tells what a parent needs for a production-like leaf.
func BenchmarkBytesPerSeries(b *testing.B) {
	all := productionSeries()
	for _, budget := range []float64{0.1, 0.5, 1, 2, 4} {
		b.Run(fmt.Sprint(budget), func(b *testing.B) {
			for b.Loop() {
				s := plannedSet(b, SetConfig{Budget: Budget{BytesPerSeries: budget}}, all)
				f := NewFilter(s.Len(), 0.01)
				for fp := range contents(s) {
					f.Add(fp)
				}
				b.ReportMetric(float64(f.Bytes())/float64(len(all)), "B/series")
				b.ReportMetric(float64(s.Len())/float64(len(all)), "facts/series")
			}
		})
	}
}
