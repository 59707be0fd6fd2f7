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
	"google.golang.org/protobuf/proto"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/querytreepb"
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

// BenchmarkPack packs and unpacks frames of 68 series of 241 points, about what
// a frame holds: the processor's time and the bytes for each value. "plain"
// writes and reads the same frames without packing.
func BenchmarkPack(b *testing.B) {
	g := grid{step: 15_000, steps: 241}
	for _, kind := range wireKinds {
		series := newWireData().answer(68, g.steps, g, kind.values)
		values := float64(len(series) * g.steps)
		for name, codecs := range map[string]uint32{"plain": 0, "packed": acceptZstd} {
			pack, unpack := testPacker(b), testUnpacker(b)
			encode := func(send func([]byte) error) {
				e := &execEncoder{grid: g, pack: pack.accepting(codecs), send: func(f *querytreepb.ExecFrame) error {
					buf, err := proto.Marshal(f)
					if err != nil {
						return err
					}
					return send(buf)
				}}
				for _, s := range series {
					if err := e.add(s); err != nil {
						b.Fatal(err)
					}
				}
				if err := e.end(&querytreepb.End{}); err != nil {
					b.Fatal(err)
				}
				e.pack.release()
			}
			b.Run(kind.name+"/"+name+"/encode", func(b *testing.B) {
				bytes, cpu := 0, processorTime(b)
				for b.Loop() {
					bytes = 0
					encode(func(buf []byte) error {
						bytes += len(buf)
						return nil
					})
				}
				b.ReportMetric(float64(processorTime(b)-cpu)/float64(b.N)/values, "cpu-ns/value")
				b.ReportMetric(float64(bytes)/values, "B/value")
			})
			var frames [][]byte
			encode(func(buf []byte) error {
				frames = append(frames, buf)
				return nil
			})
			b.Run(kind.name+"/"+name+"/decode", func(b *testing.B) {
				cpu := processorTime(b)
				for b.Loop() {
					d := &execDecoder{grid: g, unpack: unpack}
					for _, buf := range frames {
						f := &querytreepb.ExecFrame{}
						if err := unmarshalExecFrame(buf, f, &frameMemory{}); err != nil {
							b.Fatal(err)
						}
						if err := d.add(f); err != nil {
							b.Fatal(err)
						}
						for _, ok, err := d.next(); ok || err != nil; _, ok, err = d.next() {
							if err != nil {
								b.Fatal(err)
							}
						}
					}
					if err := d.whole(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(processorTime(b)-cpu)/float64(b.N)/values, "cpu-ns/value")
			})
		}
	}
}
