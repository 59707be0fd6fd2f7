package treerpc

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"net"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"google.golang.org/protobuf/proto"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/querytreepb"
)

var fuzzGrid = grid{start: 100, step: 10, steps: 1000}

func encodeExec(tb testing.TB, g grid, series ...promql.Series) []*querytreepb.ExecFrame {
	tb.Helper()
	var frames []*querytreepb.ExecFrame
	e := &execEncoder{grid: g, send: func(f *querytreepb.ExecFrame) error {
		frames = append(frames, proto.CloneOf(f)) // the encoder goes on with its memory
		return nil
	}}
	for _, s := range series {
		if err := e.add(s); err != nil {
			tb.Fatal(err)
		}
	}
	if err := e.end(&querytreepb.End{}); err != nil {
		tb.Fatal(err)
	}
	return frames
}

// Whatever the bytes, decoding them ends, without a panic, in series that are
// sorted and whose points are on the grid; and what was decoded encodes to the
// same again.
func FuzzExecFrame(f *testing.F) {
	for _, frame := range encodeExec(f, fuzzGrid, execSeries()...) {
		b, err := proto.Marshal(frame)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for _, p := range hostileFrames(f) {
		b, err := proto.Marshal(&querytreepb.ExecFrame{Packed: p})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var frame querytreepb.ExecFrame
		if proto.Unmarshal(data, &frame) != nil {
			return
		}
		_ = annotationsFromWire(frame.GetEnd().GetAnnotations())
		_ = reportFromWire(frame.GetEnd().GetReport())
		if e := frame.GetEnd().GetError(); e != nil {
			_ = errorFromWire(e).Error()
		}
		got, ok := decodeExec(fuzzGrid, &frame)
		var order seriesOrder
		for _, s := range got {
			if err := order.next(s.Metric); err != nil {
				t.Fatal(err)
			}
			checkPoints(t, s)
		}
		if !ok {
			return
		}
		again, _ := decodeExec(fuzzGrid, encodeExec(t, fuzzGrid, got...)...)
		if diff := cmp.Diff(got, again, sameBits); diff != "" {
			t.Error(diff)
		}
		packed, _ := encodePacked(t, fuzzGrid, acceptZstd, got...)
		again, _ = decodeExec(fuzzGrid, packed...)
		if diff := cmp.Diff(got, again, sameBits); diff != "" {
			t.Error("packed:", diff)
		}
	})
}

func decodeExec(g grid, frames ...*querytreepb.ExecFrame) (out []promql.Series, ok bool) {
	u, err := newUnpacker()
	if err != nil {
		return nil, false
	}
	d := &execDecoder{grid: g, unpack: u}
	for _, f := range frames {
		if d.add(f) != nil {
			return out, false
		}
		for {
			s, more, err := d.next()
			if err != nil {
				return out, false
			}
			if !more {
				break
			}
			out = append(out, s)
		}
	}
	return out, true
}

func checkPoints(t *testing.T, s promql.Series) {
	t.Helper()
	last := -1
	for _, p := range s.Floats {
		i, ok := fuzzGrid.index(p.T)
		if !ok || i <= last {
			t.Fatalf("point at %d", p.T)
		}
		last = i
	}
	last = -1
	for _, p := range s.Histograms {
		i, ok := fuzzGrid.index(p.T)
		if !ok || i <= last {
			t.Fatalf("histogram at %d", p.T)
		}
		last = i
		// What the engine does with histograms must not panic.
		_ = p.H.String()
		_ = p.H.Copy().Compact(0)
		it := p.H.AllBucketIterator()
		for it.Next() {
			_ = it.At()
		}
	}
}

// Whatever the bytes, chunks that are let in can be read to their end.
func FuzzSelectFrame(f *testing.F) {
	for _, enc := range allEncodings {
		t := &testing.T{}
		e := &selectEncoder{send: func(frame *querytreepb.SelectFrame) error {
			b, err := proto.Marshal(frame)
			f.Add(b)
			return err
		}}
		if err := e.add(&rawSeries{labels: labels.FromStrings("a", "b"), metas: []chunks.Meta{rawChunk(t, enc, 0, 20)}}); err != nil {
			f.Fatal(err)
		}
		if err := e.end(nil); err != nil {
			f.Fatal(err)
		}
	}
	u := testUnpacker(f)
	f.Fuzz(func(_ *testing.T, data []byte) {
		var frame querytreepb.SelectFrame
		if proto.Unmarshal(data, &frame) != nil {
			return
		}
		d := &selectDecoder{unpack: u}
		if d.add(&frame) != nil {
			return
		}
		for {
			s, ok, err := d.next()
			if err != nil || !ok {
				return
			}
			readAll(s)
		}
	})
}

func readAll(s storage.ChunkSeries) {
	for it := s.Iterator(nil); it.Next(); {
		c := it.At().Chunk
		_ = c.NumSamples()
		readChunk(c)
	}
}

func readChunk(c chunkenc.Chunk) {
	it := c.Iterator(nil)
	for typ := it.Next(); typ != chunkenc.ValNone; typ = it.Next() {
		switch typ {
		case chunkenc.ValFloat:
			_, _ = it.At()
		case chunkenc.ValHistogram:
			_, _ = it.AtHistogram(nil)
		default:
			_, _ = it.AtFloatHistogram(nil)
		}
	}
}

// Chunk data alone, for a shorter way to the iterators.
func FuzzChunk(f *testing.F) {
	for _, enc := range allEncodings {
		f.Add(byte(enc), rawChunk(&testing.T{}, enc, 0, 20).Chunk.Bytes())
	}
	f.Fuzz(func(_ *testing.T, enc byte, data []byte) {
		m, err := chunkFromWire(&querytreepb.Chunk{Encoding: uint32(enc), Data: data})
		if err == nil {
			readChunk(m.Chunk)
		}
	})
}

// Series of any shape on any grid arrive as they were.
func FuzzExecRoundTrip(f *testing.F) {
	f.Add(int64(0), uint32(1), []byte("\x01\x02\x03"))
	f.Add(int64(math.MinInt64), uint32(1<<31), []byte("\xff\x00\xfe\x01"))
	f.Fuzz(func(t *testing.T, start int64, step uint32, data []byte) {
		if step == 0 || start > 0 && start > math.MaxInt64-int64(step)<<20 {
			return
		}
		g := grid{start: start, step: int64(step), steps: 1 << 20}
		var s promql.Series
		for i := 0; len(data) > 0; data = data[1:] {
			i += int(data[0]) * int(data[0]) / 16
			if i >= g.steps {
				break
			}
			bits := binary.LittleEndian.Uint64(append(data[:min(8, len(data)):min(8, len(data))], make([]byte, 8)...))
			s.Floats = append(s.Floats, promql.FPoint{T: g.time(i), F: math.Float64frombits(bits)})
			i++
		}
		got, ok := decodeExec(g, encodeExec(t, g, s)...)
		if diff := cmp.Diff([]promql.Series{s}, got, sameBits); diff != "" || !ok {
			t.Error(ok, diff)
		}
	})
}

func FuzzDescription(f *testing.F) {
	b, err := proto.Marshal(descriptionToWire(leafDescription()))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, data []byte) {
		var w querytreepb.Description
		if proto.Unmarshal(data, &w) != nil {
			return
		}
		d, err := descriptionFromWire(&w)
		if err != nil {
			return
		}
		again, err := descriptionFromWire(descriptionToWire(d))
		if diff := cmp.Diff(d, again, sameBits); diff != "" || err != nil {
			t.Error(err, diff)
		}
	})
}

// A chunk that claims more buckets than it has bits is refused before its
// iterator allocates them.
func TestChunkClaims(t *testing.T) {
	// Zero threshold 0; schema 0; one span of 2^56-1 buckets.
	data := []byte{0, 1, 0, 0, 0b0_10_001_11, 0b111110_11, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	for _, enc := range []chunkenc.Encoding{chunkenc.EncHistogram, chunkenc.EncFloatHistogram, chunkenc.EncHistogramST, chunkenc.EncFloatHistogramST} {
		if checkChunk(enc, data) == nil {
			t.Errorf("%s accepted", enc)
		}
	}
}

func BenchmarkExec(b *testing.B) {
	for name, points := range map[string]int{"instant": 1, "range": 241} {
		b.Run(name, func(b *testing.B) {
			g := grid{start: 0, step: 15_000, steps: points}
			series := make([]promql.Series, 10_000)
			for i := range series {
				bld := labels.NewBuilder(labels.FromStrings("__name__", "http_requests_total", "cluster", fmt.Sprintf("%06d", i), "job", "api", "zone", "eu"))
				series[i].Metric = bld.Set("instance", fmt.Sprintf("10.0.%d.%d:8080", i/2500, i%250)).Set("pod", "pod").Labels()
				for p := range points {
					series[i].Floats = append(series[i].Floats, promql.FPoint{T: g.time(p), F: float64(i * p)})
				}
			}
			b.ReportAllocs()
			var bytes int
			for b.Loop() {
				bytes = 0
				d := &execDecoder{grid: g}
				e := &execEncoder{grid: g, send: func(f *querytreepb.ExecFrame) error {
					buf, err := proto.Marshal(f)
					if err != nil {
						return err
					}
					bytes += len(buf)
					var back querytreepb.ExecFrame
					if err := proto.Unmarshal(buf, &back); err != nil {
						return err
					}
					if err := d.add(&back); err != nil {
						return err
					}
					for {
						if _, ok, err := d.next(); err != nil || !ok {
							return err
						}
					}
				}}
				for _, s := range series {
					if err := e.add(s); err != nil {
						b.Fatal(err)
					}
				}
				if err := e.end(&querytreepb.End{}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(bytes)/float64(len(series)), "B/series")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(series)), "ns/series")
		})
	}
}

// BenchmarkLink is Exec from end to end, over TCP on the loopback.
func BenchmarkLink(b *testing.B) {
	series := make([]promql.Series, 10_000)
	req := querytree.ExecRequest{Start: 0, End: 3_600_000, Step: 15_000}
	for i := range series {
		series[i].Metric = labels.FromStrings("__name__", "x", "instance", fmt.Sprintf("%06d", i))
		for t := int64(0); t <= req.End; t += req.Step {
			series[i].Floats = append(series[i].Floats, promql.FPoint{T: t, F: float64(t)})
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	registry := newFakeRegistry()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	srv, err := NewServer(ServerConfig{Logger: quiet(), Self: parentSelf, Registry: registry})
	if err != nil {
		b.Fatal(err)
	}
	link, err := NewLink(LinkConfig{Logger: quiet(), Parents: []string{lis.Addr().String()}, Child: &fakeChild{
		exec: func(context.Context, querytree.ExecRequest) (querytree.ResultSet, error) {
			return &fakeResult{next: seriesList(series...)}, nil
		},
	}})
	if err != nil {
		b.Fatal(err)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { _ = srv.Serve(ctx, lis) })
	wg.Go(func() { _ = link.Run(ctx) })
	child := (<-registry.sessions).child
	b.ReportAllocs()
	for b.Loop() {
		set, err := child.Exec(ctx, req)
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for set.Next() {
			n += len(set.At().Floats)
		}
		if set.Close(); set.Err() != nil || n != 10_000*241 {
			b.Fatal(n, set.Err())
		}
	}
	b.SetBytes(8 * 241 * 10_000)
}
