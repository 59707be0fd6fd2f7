package gitops

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkIdleTurn is a turn in which nothing has changed, with a look at a
// real repository: what a loop costs once an interval.
func BenchmarkIdleTurn(b *testing.B) {
	p := newPlanet(b, "a")
	p.repo.Commit("config", "one")
	p.pass(5 * time.Minute)
	w, requests := p.loops[0].workload.deliver, p.repo.Requests.Load()
	for b.Loop() {
		p.now = p.now.Add(2 * time.Minute)
		p.loops[0].loop.turn(b.Context())
	}
	b.ReportMetric(float64(p.repo.Requests.Load()-requests)/float64(b.N), "git-requests/op")
	b.ReportMetric(float64(p.loops[0].workload.deliver-w)/float64(b.N), "deliveries/op")
}

// BenchmarkCommitToLoaded is from a webhook to a workload that has confirmed,
// in the first wave: fetch, render, decide, deliver, with the state synced to
// the disk at each step.
func BenchmarkCommitToLoaded(b *testing.B) {
	p := newPlanet(b, "a")
	p.repo.Commit("config", "one")
	p.pass(5 * time.Minute)
	for i := range b.N {
		b.StopTimer()
		text := fmt.Sprint("config ", i)
		p.repo.Commit("config", text)
		p.now = p.now.Add(2 * time.Second)
		p.loops[0].loop.Hurry()
		b.StartTimer()
		for p.loops[0].workload.runs() != text {
			p.loops[0].loop.turn(b.Context())
		}
	}
}
