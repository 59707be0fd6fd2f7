package demo

import (
	"net/http/httptest"
	"testing"
	"time"
)

// BenchmarkStep is one tick (five seconds) of the default planet.
func BenchmarkStep(b *testing.B) {
	p := testPlanet(b, Config{})
	now := testStart
	for b.Loop() {
		now = now.Add(tick)
		p.Step(now)
	}
}

// BenchmarkScrape is one scrape of all targets of the default planet but the host.
func BenchmarkScrape(b *testing.B) {
	p := testPlanet(b, Config{})
	p.Step(testStart.Add(10 * time.Minute))
	for b.Loop() {
		for _, c := range p.clusters {
			paths := []string{"/sd", "/kube-state-metrics/metrics", "/cadvisor/metrics"}
			for _, id := range c.identities() {
				paths = append(paths, "/pods/"+id.pod+"/metrics")
			}
			for _, path := range paths {
				req := httptest.NewRequest("GET", path, nil)
				req.Header.Set("Accept", acceptProtobuf)
				c.Handler().ServeHTTP(httptest.NewRecorder(), req)
			}
		}
	}
}
