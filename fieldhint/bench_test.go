package fieldhint

import (
	"fmt"
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
