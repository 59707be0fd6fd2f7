package treerpc

import (
	"context"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/pandometrics/pando/querytree"
)

// BenchmarkExecStream is an Exec answer of 2,000 series from end to end over
// TCP on the loopback, both sides in this process: ns and allocations of both
// together, and the bytes on the wire.
func BenchmarkExecStream(b *testing.B) {
	const series = 2000
	for _, points := range []int{1, 241} {
		for _, kind := range wireKinds {
			if points == 1 && kind.name != "counter" {
				continue
			}
			name := kind.name
			if points == 1 {
				name = "instant"
			}
			b.Run(name, func(b *testing.B) { benchmarkStream(b, series, points, kind.values) })
		}
	}
}

func benchmarkStream(b *testing.B, series, points int, values func(*wireData, int) []float64) {
	req := querytree.ExecRequest{End: int64(points-1) * 15_000, Step: 15_000}
	if points == 1 {
		req.Step = 0
	}
	g, err := newGrid(req)
	if err != nil {
		b.Fatal(err)
	}
	answer := newWireData().answer(series, points, g, values)
	child, received := benchmarkLink(b, &fakeChild{
		exec: func(context.Context, querytree.ExecRequest) (querytree.ResultSet, error) {
			return &fakeResult{next: seriesList(answer...)}, nil
		},
	})
	b.ReportAllocs()
	before, cpu := received(), processorTime(b)
	for b.Loop() {
		set, err := child.Exec(b.Context(), req)
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for set.Next() {
			n += len(set.At().Floats)
		}
		if set.Close(); set.Err() != nil || n != series*points {
			b.Fatal(n, set.Err())
		}
	}
	b.ReportMetric((received()-before)/float64(b.N*series*points), "B/value")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*series), "ns/series")
	b.ReportMetric(float64(processorTime(b)-cpu)/float64(b.N*series), "cpu-ns/series")
}

// processorTime is what this process has used so far, which other processes on
// the machine disturb less than the time that passed.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchmarkLink connects a child to a parent, and returns the parent's view of
// it, and what counts the bytes that the parent has received.
func benchmarkLink(b *testing.B, c querytree.Child) (child querytree.Child, received func() float64) {
	ctx, cancel := context.WithCancel(context.Background())
	registry := newFakeRegistry()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	srv, err := NewServer(ServerConfig{Logger: quiet(), Registerer: prometheus.NewRegistry(), Self: parentSelf, Registry: registry})
	if err != nil {
		b.Fatal(err)
	}
	link, err := NewLink(LinkConfig{Logger: quiet(), Parents: []string{lis.Addr().String()}, Child: c})
	if err != nil {
		b.Fatal(err)
	}
	var wg sync.WaitGroup
	b.Cleanup(wg.Wait)
	b.Cleanup(cancel)
	wg.Go(func() { _ = srv.Serve(ctx, lis) })
	wg.Go(func() { _ = link.Run(ctx) })
	return (<-registry.sessions).child, func() float64 { return testutil.ToFloat64(srv.metrics.received) }
}
