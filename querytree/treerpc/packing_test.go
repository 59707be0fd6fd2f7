package treerpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"google.golang.org/protobuf/proto"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/querytreepb"
)

func testPacker(tb testing.TB) *packer {
	tb.Helper()
	p, err := newPacker()
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func testUnpacker(tb testing.TB) *unpacker {
	tb.Helper()
	u, err := newUnpacker()
	if err != nil {
		tb.Fatal(err)
	}
	return u
}

// encodePacked is encodeExec for a request that accepts codecs.
func encodePacked(tb testing.TB, g grid, codecs uint32, series ...promql.Series) (frames []*querytreepb.ExecFrame, size int) {
	tb.Helper()
	e := &execEncoder{grid: g, pack: testPacker(tb).accepting(codecs), send: func(f *querytreepb.ExecFrame) error {
		frames = append(frames, proto.CloneOf(f))
		size += proto.Size(f)
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
	return frames, size
}

// What is packed is what was there, smaller; what does not get smaller, is too
// small to bother, or was not asked for, is not packed.
func TestPackedFrames(t *testing.T) {
	g := grid{start: 5, step: 15_000, steps: 241}
	for _, kind := range wireKinds {
		series := newWireData().answer(200, 241, g, kind.values)
		plain, before := encodePacked(t, g, 0, series...)
		packed, after := encodePacked(t, g, math.MaxUint32, series...)
		if got, ok := decodeExec(g, packed...); !ok || !sameSeries(series, got) {
			t.Errorf("%s: packed series are not those before", kind.name)
		}
		if n := countPacked(plain); n != 0 {
			t.Errorf("%s: %d frames packed without being asked for", kind.name, n)
		}
		if n := countPacked(packed); (n == 0) != (kind.name == "noise") {
			t.Errorf("%s: %d frames of %d packed", kind.name, n, len(packed))
		}
		if after > before || kind.name != "noise" && after > before*4/5 {
			t.Errorf("%s: %d bytes packed, %d plain", kind.name, after, before)
		}
		if frames, _ := encodePacked(t, g, math.MaxUint32, series[0]); countPacked(frames) != 0 {
			t.Errorf("%s: a frame of one series is packed", kind.name)
		}
	}
	// Codecs that only others know are no reason to pack.
	series := newWireData().answer(200, 241, g, wireKinds[0].values)
	if frames, _ := encodePacked(t, g, ^uint32(acceptZstd), series...); countPacked(frames) != 0 {
		t.Error("packed in a codec that was not accepted")
	}
}

func countPacked(frames []*querytreepb.ExecFrame) (n int) {
	for _, f := range frames {
		if f.GetPacked() != nil {
			n++
		}
	}
	return n
}

// Series of every shape, gaps and histograms and several parts, come back from
// packed frames, between frames that are not.
func TestPackedShapes(t *testing.T) {
	g := grid{start: 100, step: 10, steps: 30_000}
	series := execSeries()
	for i := range 20 {
		s := promql.Series{Metric: labels.FromStrings("zz", fmt.Sprintf("%03d", i))}
		for step := i % 7; step < 30_000; step += 1 + (i+step)%3*(i%2) {
			s.Floats = append(s.Floats, promql.FPoint{T: g.time(step), F: float64(step%50) / float64(1+i)})
		}
		series = append(series, s)
	}
	frames, _ := encodePacked(t, g, acceptZstd, series...)
	if n := countPacked(frames); n == 0 {
		t.Error("nothing is packed")
	}
	got, ok := decodeExec(g, frames...)
	if !ok || !sameSeries(series, got) {
		t.Errorf("%d series come back as %d others; decoded: %v", len(series), len(got), ok)
	}
}

// sameSeries is cmp.Diff for more points than it can bear.
func sameSeries(a, b []promql.Series) bool {
	return slices.EqualFunc(a, b, func(a, b promql.Series) bool {
		return labels.Equal(a.Metric, b.Metric) && cmp.Equal(a.Histograms, b.Histograms, sameBits) &&
			slices.EqualFunc(a.Floats, b.Floats, func(a, b promql.FPoint) bool {
				return a.T == b.T && math.Float64bits(a.F) == math.Float64bits(b.F)
			})
	})
}

// Frames of raw series: the symbols are packed, and all of those without
// chunks.
func TestPackedSelect(t *testing.T) {
	g := grid{step: 1, steps: 1}
	answer := newWireData().answer(3000, 1, g, wireKinds[6].values)
	for _, labelsOnly := range []bool{false, true} {
		var frames []*querytreepb.SelectFrame
		e := &selectEncoder{labelsOnly: labelsOnly, pack: testPacker(t).accepting(acceptZstd), send: func(f *querytreepb.SelectFrame) error {
			frames = append(frames, proto.CloneOf(f))
			return nil
		}}
		want, got := "", ""
		for _, s := range answer {
			raw := &rawSeries{labels: s.Metric, metas: []chunks.Meta{rawChunk(t, chunkenc.EncXOR, 0, 20)}}
			if err := e.add(raw); err != nil {
				t.Fatal(err)
			}
			want += s.Metric.String()
		}
		if err := e.end(&querytreepb.End{}); err != nil {
			t.Fatal(err)
		}
		d := &selectDecoder{labelsOnly: labelsOnly, unpack: testUnpacker(t)}
		packed := 0
		for _, f := range frames {
			if f.GetPacked() != nil {
				packed++
				if (len(f.GetSeries()) == 0) != labelsOnly {
					t.Errorf("labels only: %v: %d series beside the packed part", labelsOnly, len(f.GetSeries()))
				}
			}
			if err := d.add(f); err != nil {
				t.Fatal(err)
			}
			for {
				s, ok, err := d.next()
				if err != nil {
					t.Fatal(err)
				}
				if !ok {
					break
				}
				got += s.Labels().String()
				if it := s.Iterator(nil); it.Next() == labelsOnly {
					t.Fatal("chunks where there are none, or none where there are")
				}
			}
		}
		if packed == 0 || got != want {
			t.Errorf("labels only: %v: %d frames packed, series equal: %v", labelsOnly, packed, got == want)
		}
	}
}

// Over a connection, packed is the rule, and the report tells what it took.
func TestPackedOverLink(t *testing.T) {
	req := querytree.ExecRequest{End: 240 * 15_000, Step: 15_000}
	g := grid{step: 15_000, steps: 241}
	series := newWireData().answer(200, 241, g, wireKinds[4].values)
	remote := linked(t, &fakeChild{
		description: leafDescription(),
		exec: func(context.Context, querytree.ExecRequest) (querytree.ResultSet, error) {
			report := querytree.Report{}
			report.Add(leafDescription().Name(), querytree.ChildReport{Tier: "leaf", Verdict: querytree.Asked, Requests: 3, Bytes: 1})
			report.Add("other", querytree.ChildReport{Tier: "leaf", Verdict: querytree.Asked, Bytes: 2})
			return &fakeResult{next: seriesList(series...), report: report}, nil
		},
		sel: func(context.Context, querytree.SelectRequest) querytree.SeriesSet {
			return &fakeSeries{next: seriesList[storage.ChunkSeries](&rawSeries{labels: labels.FromStrings("a", "b"), metas: []chunks.Meta{rawChunk(t, chunkenc.EncXOR, 0, 20)}})}
		},
	})
	set, err := remote.Exec(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	if !sameSeries(series, drain(set)) || set.Err() != nil {
		t.Fatal("other series, error", set.Err())
	}
	report := set.Report()
	row := ownRow(remote, &report)
	if row.Requests != 3 || row.Bytes < 1000 || row.Bytes > 2*200*241 {
		t.Errorf("row of the leaf that sent %d values: %+v", 200*241, row)
	}
	if other := report.Children["other"]; other.Bytes != 2 {
		t.Errorf("row of another: %+v", other)
	}
	raw := remote.Select(t.Context(), querytree.SelectRequest{})
	defer raw.Close()
	for raw.Next() {
		_ = raw.At()
	}
	report = raw.Report()
	if row := ownRow(remote, &report); row.Series != 1 || row.Samples != 20 || row.Bytes < 50 || raw.Err() != nil {
		t.Errorf("row of raw series: %+v, error %v", row, raw.Err())
	}
}

// hostileFrames are packed frames that no encoder makes.
func hostileFrames(tb testing.TB) map[string]*querytreepb.Packed {
	tb.Helper()
	z, err := zstd.NewWriter(nil, zstd.WithWindowSize(1<<20))
	if err != nil {
		tb.Fatal(err)
	}
	pack := func(size int, plain ...[]byte) *querytreepb.Packed {
		p := &querytreepb.Packed{Codec: querytreepb.Packed_ZSTD, Size: uint32(size)}
		for _, b := range plain {
			p.Data = z.EncodeAll(b, p.Data)
		}
		return p
	}
	frame := func(f *querytreepb.ExecFrame) *querytreepb.Packed {
		b, err := proto.Marshal(f)
		if err != nil {
			tb.Fatal(err)
		}
		return pack(len(b), b)
	}
	zeros := make([]byte, 16<<20)
	empty := make([]byte, 0, 3*(maxFrameSeries+1))
	for range maxFrameSeries + 1 {
		empty = append(empty, tagExecSeries<<3|2, 0)
	}
	good := frame(&querytreepb.ExecFrame{Symbols: &querytreepb.Symbols{Added: [][]byte{[]byte("a")}}})
	return map[string]*querytreepb.Packed{
		"nothing":              {},
		"no data":              {Codec: querytreepb.Packed_ZSTD, Size: 10},
		"unknown codec":        {Codec: 7, Size: good.Size, Data: good.Data},
		"no codec":             {Size: good.Size, Data: good.Data},
		"garbage":              {Codec: querytreepb.Packed_ZSTD, Size: 10, Data: []byte("0123456789")},
		"cut off":              {Codec: querytreepb.Packed_ZSTD, Size: good.Size, Data: good.Data[:len(good.Data)-1]},
		"claims 4 GiB":         {Codec: querytreepb.Packed_ZSTD, Size: math.MaxUint32, Data: good.Data},
		"claims too much":      pack(maxPacked+1, zeros[:maxPacked+1]),
		"claims less":          pack(int(good.Size)-1, zeros[:good.Size]),
		"claims more":          pack(int(good.Size)+1, zeros[:good.Size]),
		"bomb":                 pack(maxPacked, zeros),
		"bomb that claims nil": pack(0, zeros),
		"many bombs":           pack(maxPacked, zeros[:maxPacked], zeros[:maxPacked], zeros[:maxPacked]),
		"no message":           pack(4, []byte{0xff, 0xff, 0xff, 0xff}),
		"too many series":      pack(len(empty), empty),
		"packed twice":         frame(&querytreepb.ExecFrame{Packed: good}),
		"with an end":          frame(&querytreepb.ExecFrame{End: &querytreepb.End{}}),
		"planes for nothing":   frame(&querytreepb.ExecFrame{Planes: make([]byte, 8)}),
		"broken planes":        frame(&querytreepb.ExecFrame{Planes: make([]byte, 7), Series: []*querytreepb.GridSeries{{Points: 1}}}),
		"too few words":        frame(&querytreepb.ExecFrame{Planes: make([]byte, 8), Series: []*querytreepb.GridSeries{{Points: 2}}}),
		"no words":             frame(&querytreepb.ExecFrame{Series: []*querytreepb.GridSeries{{Points: math.MaxUint32}}}),
		"words and values":     frame(&querytreepb.ExecFrame{Planes: make([]byte, 8), Series: []*querytreepb.GridSeries{{Points: 1, Values: []float64{1}}}}),
		"off the grid":         frame(&querytreepb.ExecFrame{Planes: make([]byte, 8*11), Series: []*querytreepb.GridSeries{{Points: 11}}}),
		"half a bitmap":        frame(&querytreepb.ExecFrame{Planes: make([]byte, 16), Series: []*querytreepb.GridSeries{{Points: 2, Present: []byte{1}}}}),
	}
}

// Packed nonsense costs the request, as a fault of the child, and next to no
// memory.
func TestMalformedPacked(t *testing.T) {
	registry := newFakeRegistry()
	addr, _ := startServer(t, nil, ServerConfig{Registry: registry})
	evil := &evilTree{}
	up, err := peerSession(t, addr, evil).Attach(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := up.Send(hello(descriptionToWire(leafDescription()))); err != nil {
		t.Fatal(err)
	}
	child := receive(t, "session", registry.sessions).child
	exec := func(frames ...*querytreepb.ExecFrame) error {
		evil.exec = append(frames, &querytreepb.ExecFrame{End: &querytreepb.End{}})
		set, err := child.Exec(t.Context(), querytree.ExecRequest{Start: 0, End: 9, Step: 1})
		if err != nil {
			return err
		}
		defer set.Close()
		drain(set)
		return set.Err()
	}
	faulty := func(name string, err error) {
		if malformed(t, name, err); !errors.Is(err, querytree.ErrUnavailable) {
			t.Errorf("%s: error %v is not the child's", name, err)
		}
	}
	hostile := hostileFrames(t)
	for name, p := range hostile {
		faulty(name, exec(&querytreepb.ExecFrame{Packed: p}))
		evil.sel = []*querytreepb.SelectFrame{{Packed: p}, {End: &querytreepb.End{}}}
		if strings.Contains(name, "words") || strings.Contains(name, "planes") || name == "off the grid" || name == "half a bitmap" {
			continue // unknown fields of frames of raw series
		}
		set := child.Select(t.Context(), querytree.SelectRequest{})
		for set.Next() {
			_ = set.At()
		}
		faulty(name+", raw series", set.Err())
		set.Close()
	}
	packedSelect := func(beside []*querytreepb.RawSeries, series ...*querytreepb.RawSeries) error {
		b, err := proto.Marshal(&querytreepb.SelectFrame{Series: series})
		if err != nil {
			t.Fatal(err)
		}
		p := &querytreepb.Packed{Codec: querytreepb.Packed_ZSTD, Size: uint32(len(b)), Data: testPacker(t).zstd.EncodeAll(b, nil)}
		return (&selectDecoder{unpack: testUnpacker(t)}).add(&querytreepb.SelectFrame{Packed: p, Series: beside})
	}
	if packedSelect(nil, &querytreepb.RawSeries{Chunks: []*querytreepb.Chunk{{}}}) == nil {
		t.Error("packed chunks are accepted")
	}
	if packedSelect([]*querytreepb.RawSeries{{}}, &querytreepb.RawSeries{}) == nil {
		t.Error("packed series are accepted beside others")
	}
	if err := packedSelect(nil, &querytreepb.RawSeries{}); err != nil {
		t.Error("packed series:", err)
	}
	good := &querytreepb.Packed{Codec: querytreepb.Packed_ZSTD}
	faulty("symbols beside", exec(&querytreepb.ExecFrame{Packed: good, Symbols: &querytreepb.Symbols{}}))
	faulty("series beside", exec(&querytreepb.ExecFrame{Packed: good, Series: []*querytreepb.GridSeries{{}}}))
	faulty("planes that are not packed", exec(&querytreepb.ExecFrame{Planes: make([]byte, 8), Series: []*querytreepb.GridSeries{{Points: 1}}}))
	if err := exec(&querytreepb.ExecFrame{Packed: good}); err != nil {
		t.Error("an empty packed frame:", err)
	}

	u := testUnpacker(t)
	for _, name := range []string{"claims 4 GiB", "claims too much", "bomb that claims nil", "garbage"} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 10 {
			if _, err := u.unpack(hostile[name], new([]byte)); err == nil {
				t.Error(name, "was unpacked")
			}
		}
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 2<<20 {
			t.Errorf("%s: 10 times took %d bytes", name, took)
		}
	}
}

// FuzzPacked unpacks whatever the bytes, into no more than is claimed.
func FuzzPacked(f *testing.F) {
	for _, p := range hostileFrames(f) {
		f.Add(p.GetSize(), p.GetData())
	}
	u := testUnpacker(f)
	f.Fuzz(func(t *testing.T, size uint32, data []byte) {
		p := &querytreepb.Packed{Codec: querytreepb.Packed_ZSTD, Size: size, Data: data}
		plain, err := u.unpack(p, new([]byte))
		if err == nil && (len(plain) != int(size) || size > maxPacked) {
			t.Errorf("%d bytes, claimed %d", len(plain), size)
		}
		_, _ = decodeExec(fuzzGrid, &querytreepb.ExecFrame{Packed: p})
		_ = u.selectFrame(&querytreepb.SelectFrame{Packed: p})
	})
}

// FuzzUnmarshal compares the reader of frames with protobuf's own.
func FuzzUnmarshal(f *testing.F) {
	series := append(execSeries()[2:], newWireData().answer(2, 3, fuzzGrid, wireKinds[4].values)...)
	for _, frame := range encodeExec(f, fuzzGrid, series...) {
		b, err := proto.Marshal(frame)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("\x22\x06\x08\x01\x10\x02\x1a\x00\x2a\x01x\x22\x02\x10\x03"))
	f.Add([]byte("\x12\x02\x08\x01\x12\x0b\x29\x00\x00\x00\x00\x00\x00\xf0\x3f\x3a\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var want, got querytreepb.ExecFrame
		wantErr := proto.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(data, &want)
		err := unmarshalExecFrame(bytes.Clone(data), &got, &frameMemory{})
		switch {
		case err == nil && wantErr != nil:
			t.Errorf("accepted what protobuf refuses: %v", wantErr)
		case err != nil && wantErr == nil && !strings.Contains(err.Error(), "frame of"):
			t.Errorf("refused what protobuf accepts: %v", err)
		case err == nil && !equalFrames(&want, &got):
			t.Errorf("want %v\ngot %v", &want, &got)
		}
	})
}

// equalFrames compares by the bytes: proto.Equal takes all NaNs for the same.
func equalFrames(a, b *querytreepb.ExecFrame) bool {
	x, err := proto.MarshalOptions{Deterministic: true}.Marshal(a)
	y, err2 := proto.MarshalOptions{Deterministic: true}.Marshal(b)
	return err == nil && err2 == nil && bytes.Equal(x, y)
}
