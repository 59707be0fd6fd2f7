package treerpc

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"google.golang.org/grpc"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/querytreepb"
)

// Bytes that are no session cost their connection, on either side, and nobody
// else anything.
func TestGarbageConnection(t *testing.T) {
	registry := newFakeRegistry()
	addr, _ := startServer(t, nil, ServerConfig{Registry: registry})
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	garbage := [][]byte{
		[]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		bytes.Repeat([]byte{0}, 4096), // data for streams that do not exist
		bytes.Repeat([]byte{0xff}, 4096),
		{0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff}, // a stream, and 4 GiB for it
		{0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0},             // the same stream twice
	}
	for _, g := range garbage {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(g); err != nil {
			t.Fatal(err)
		}
		_ = conn.(*net.TCPConn).CloseWrite()
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%q: connection is kept", g)
		}
		_ = conn.Close()
	}
	link, _ := startLink(t, LinkConfig{Child: &fakeChild{}, Parents: []string{lis.Addr().String(), addr}, MinBackoff: time.Millisecond, MaxBackoff: time.Millisecond})
	for _, g := range garbage {
		conn, err := lis.Accept()
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write(g)
		_ = conn.Close()
	}
	receive(t, "session of the good parent", registry.sessions)
	if len(link.Status()) != 2 {
		t.Errorf("status %+v", link.Status())
	}
}

// evilTree answers with frames that no child of this program sends.
type evilTree struct {
	querytreepb.UnimplementedTreeServer
	exec  []*querytreepb.ExecFrame
	sel   []*querytreepb.SelectFrame
	names []*querytreepb.NamesFrame
}

func (e *evilTree) Exec(_ *querytreepb.ExecRequest, s grpc.ServerStreamingServer[querytreepb.ExecFrame]) error {
	return sendAll(s, e.exec)
}

func (e *evilTree) Select(_ *querytreepb.SelectRequest, s grpc.ServerStreamingServer[querytreepb.SelectFrame]) error {
	return sendAll(s, e.sel)
}

func (e *evilTree) Names(_ *querytreepb.NamesRequest, s grpc.ServerStreamingServer[querytreepb.NamesFrame]) error {
	return sendAll(s, e.names)
}

func sendAll[F any](s grpc.ServerStreamingServer[F], frames []*F) error {
	for _, f := range frames {
		if err := s.Send(f); err != nil {
			return err
		}
	}
	return nil
}

// peerSession dials a server the way a child does, serving tree, and returns a
// client for Attach.
func peerSession(t *testing.T, addr string, tree querytreepb.TreeServer) querytreepb.ParentClient {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	sess, err := newSession(conn, true, quiet(), maxFrameSize)
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer()
	querytreepb.RegisterTreeServer(srv, tree)
	background(t, func(ctx context.Context) error {
		sess.serve(ctx, srv)
		return nil
	})
	return querytreepb.NewParentClient(sess.client)
}

func hello(d *querytreepb.Description) *querytreepb.Up {
	return &querytreepb.Up{Message: &querytreepb.Up_Hello{Hello: &querytreepb.Hello{Version: 1, MinVersion: 1, Description: d}}}
}

// Malformed answers are errors that name the child, and cost it the request.
func TestMalformedAnswers(t *testing.T) {
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

	symbols := &querytreepb.Symbols{Added: [][]byte{[]byte("a"), []byte("1"), []byte("2")}}
	grids := func(series ...*querytreepb.GridSeries) []*querytreepb.ExecFrame {
		return []*querytreepb.ExecFrame{{Symbols: symbols, Series: series}, {End: &querytreepb.End{}}}
	}
	bad := &querytreepb.FloatHistogram{PositiveSpans: []int64{0, math.MaxUint32}}
	for name, frames := range map[string][]*querytreepb.ExecFrame{
		"no frame":            {},
		"no end":              {{}},
		"more after the end":  {{End: &querytreepb.End{}}, {}},
		"unknown symbol":      grids(&querytreepb.GridSeries{Labels: []uint32{0, 3}}),
		"name without value":  grids(&querytreepb.GridSeries{Labels: []uint32{0}}),
		"labels not sorted":   grids(&querytreepb.GridSeries{Labels: []uint32{1, 0, 0, 0, 0, 0}}),
		"series not sorted":   grids(&querytreepb.GridSeries{Labels: []uint32{0, 2}}, &querytreepb.GridSeries{Labels: []uint32{0, 1}}),
		"series twice":        grids(&querytreepb.GridSeries{}, &querytreepb.GridSeries{}),
		"point off the grid":  grids(&querytreepb.GridSeries{First: 10, Values: []float64{1}}),
		"far off the grid":    grids(&querytreepb.GridSeries{First: math.MaxUint32, Values: []float64{1}}),
		"bitmap off the grid": grids(&querytreepb.GridSeries{First: 8, Present: []byte{5}, Values: []float64{1, 2}}),
		"too few bits":        grids(&querytreepb.GridSeries{Present: []byte{1}, Values: []float64{1, 2}}),
		"too many bits":       grids(&querytreepb.GridSeries{Present: []byte{3}, Values: []float64{1}}),
		"padded bitmap":       grids(&querytreepb.GridSeries{Present: []byte{1, 0, 0}, Values: []float64{1}}),
		"points out of order": grids(&querytreepb.GridSeries{First: 3, Values: []float64{1}, More: true}, &querytreepb.GridSeries{First: 3, Values: []float64{1}}),
		"endless series":      grids(&querytreepb.GridSeries{More: true}),
		"empty part":          grids(&querytreepb.GridSeries{More: true}, &querytreepb.GridSeries{More: true}),
		"labels within":       grids(&querytreepb.GridSeries{More: true}, &querytreepb.GridSeries{Labels: []uint32{0, 1}}),
		"huge histogram":      grids(&querytreepb.GridSeries{Histograms: []*querytreepb.GridHistogram{{Histogram: bad}}}),
		"no histogram":        grids(&querytreepb.GridSeries{Histograms: []*querytreepb.GridHistogram{{}}}),
		"histogram off grid":  grids(&querytreepb.GridSeries{Histograms: []*querytreepb.GridHistogram{{Step: 10, Histogram: &querytreepb.FloatHistogram{}}}}),
	} {
		evil.exec = frames
		set, err := child.Exec(t.Context(), querytree.ExecRequest{Start: 0, End: 9, Step: 1})
		if err == nil {
			drain(set)
			err = set.Err()
			set.Close()
		}
		malformed(t, name, err)
	}

	evil.exec = grids(&querytreepb.GridSeries{Labels: []uint32{0, 2}}, &querytreepb.GridSeries{Labels: []uint32{0, 1}})
	if set, err := child.Exec(t.Context(), querytree.ExecRequest{}); err != nil || len(drain(set)) != 2 || set.Err() != nil {
		t.Error("an instant query has to have an order:", err)
	}
	evil.exec = grids(&querytreepb.GridSeries{Labels: []uint32{0, 2}}, &querytreepb.GridSeries{Labels: []uint32{0, 1}}, &querytreepb.GridSeries{Labels: []uint32{0, 2}})
	set, err := child.Exec(t.Context(), querytree.ExecRequest{})
	if err == nil {
		drain(set)
		err = set.Err()
	}
	malformed(t, "series twice at an instant", err)

	raws := func(series ...*querytreepb.RawSeries) []*querytreepb.SelectFrame {
		return []*querytreepb.SelectFrame{{Symbols: symbols, Series: series}, {End: &querytreepb.End{}}}
	}
	xor := &querytreepb.Chunk{Encoding: 1, Data: []byte{0, 0}, Mint: 5, Maxt: 6}
	for name, frames := range map[string][]*querytreepb.SelectFrame{
		"no end":              {{}},
		"unknown symbol":      raws(&querytreepb.RawSeries{Labels: []uint32{7, 7}}),
		"series not sorted":   raws(&querytreepb.RawSeries{Labels: []uint32{0, 2}}, &querytreepb.RawSeries{Labels: []uint32{0, 1}}),
		"unknown encoding":    raws(&querytreepb.RawSeries{Chunks: []*querytreepb.Chunk{{Encoding: 77, Data: []byte{0, 0, 0}}}}),
		"wrapped encoding":    raws(&querytreepb.RawSeries{Chunks: []*querytreepb.Chunk{{Encoding: 257, Data: []byte{0, 0, 0}}}}),
		"short chunk":         raws(&querytreepb.RawSeries{Chunks: []*querytreepb.Chunk{{Encoding: 1, Data: []byte{1}}}}),
		"chunk back in time":  raws(&querytreepb.RawSeries{Chunks: []*querytreepb.Chunk{{Encoding: 1, Data: []byte{0, 0}, Mint: 6, Maxt: 5}}}),
		"chunks out of order": raws(&querytreepb.RawSeries{Chunks: []*querytreepb.Chunk{xor, {Encoding: 1, Data: []byte{0, 0}}}}),
		"endless series":      raws(&querytreepb.RawSeries{Chunks: []*querytreepb.Chunk{xor}, More: true}),
	} {
		evil.sel = frames
		set := child.Select(t.Context(), querytree.SelectRequest{})
		for set.Next() {
			_ = set.At()
		}
		malformed(t, name, set.Err())
		set.Close()
	}
	evil.names = []*querytreepb.NamesFrame{{Names: [][]byte{[]byte("b"), []byte("a")}}}
	_, err = child.Names(t.Context(), querytree.NamesRequest{})
	malformed(t, "names", err)
}

func malformed(t *testing.T, name string, err error) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), leafDescription().Name()) || !strings.Contains(err.Error(), "malformed answer") {
		t.Errorf("%s: error %v", name, err)
	}
}

// A child that introduces itself badly is refused, or loses its connection.
func TestMalformedRegistration(t *testing.T) {
	registry := newFakeRegistry()
	addr, _ := startServer(t, nil, ServerConfig{Registry: registry})
	half := &querytreepb.Description{Labels: &querytreepb.LabelSet{Pairs: [][]byte{{'a'}}}}
	for name, up := range map[string]*querytreepb.Up{
		"nothing":        {},
		"hint first":     {Message: &querytreepb.Up_Hint{Hint: &querytreepb.Hint{}}},
		"no description": hello(nil),
		"half a label":   hello(half),
		"future version": {Message: &querytreepb.Up_Hello{Hello: &querytreepb.Hello{Version: 9, MinVersion: 9, Description: &querytreepb.Description{}}}},
	} {
		stream, err := peerSession(t, addr, &evilTree{}).Attach(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if down, err := stream.Recv(); err != nil || down.GetGreeting().GetInstance() != "parent-1" {
			t.Fatal("no greeting:", err)
		}
		if err := stream.Send(up); err != nil {
			t.Fatal(err)
		}
		down, err := stream.Recv()
		if err == nil && down.GetRefused() == nil {
			t.Errorf("%s: accepted", name)
		}
		if name == "future version" && down.GetRefused().GetCode() != querytreepb.Refused_VERSION {
			t.Errorf("%s: %v, error %v", name, down, err)
		}
	}
	// After a good start, garbage ends the session.
	client := peerSession(t, addr, &evilTree{})
	stream, err := client.Attach(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(hello(descriptionToWire(leafDescription()))); err != nil {
		t.Fatal(err)
	}
	s := receive(t, "session", registry.sessions)
	if again, err := client.Attach(t.Context()); err == nil {
		if _, err = again.Recv(); err == nil {
			t.Error("attached twice")
		}
	}
	if err := stream.Send(&querytreepb.Up{Message: &querytreepb.Up_Description{Description: half}}); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, "close", s.closed); !strings.Contains(fmt.Sprint(err), "malformed") {
		t.Error("closed because of", err)
	}
	if len(registry.sessions) != 0 {
		t.Error("a malformed child was admitted")
	}
}

// Cancelling a request, or closing its answer, ends it at the child, and the
// connection goes on.
func TestCancel(t *testing.T) {
	begun, stopped := make(chan struct{}, 10), make(chan struct{}, 10)
	endless := func(ctx context.Context) func() (promql.Series, bool) {
		n := 0
		return func() (promql.Series, bool) {
			n++
			return promql.Series{Metric: labels.FromStrings("n", fmt.Sprintf("%09d", n)), Floats: []promql.FPoint{{}}}, ctx.Err() == nil
		}
	}
	remote := linked(t, &fakeChild{exec: func(ctx context.Context, r querytree.ExecRequest) (querytree.ResultSet, error) {
		if r.Query == "hang" {
			begun <- struct{}{}
			<-ctx.Done()
			stopped <- struct{}{}
			return nil, ctx.Err()
		}
		return &fakeResult{next: endless(ctx), closed: func() { stopped <- struct{}{} }}, nil
	}})
	ctx, cancel := context.WithCancel(t.Context())
	set, err := remote.Exec(ctx, querytree.ExecRequest{})
	if err != nil || !set.Next() {
		t.Fatal("no series:", err)
	}
	cancel()
	if drain(set); !errors.Is(set.Err(), context.Canceled) {
		t.Error("error after cancel:", set.Err())
	}
	receive(t, "end at the child", stopped)

	set, err = remote.Exec(t.Context(), querytree.ExecRequest{})
	if err != nil {
		t.Fatal(err)
	}
	set.Close()
	set.Close()
	receive(t, "end at the child", stopped)

	// A deadline that passes before the child is asked shows nothing of the child.
	for timeout := 20 * time.Millisecond; len(begun) == 0 && timeout < patience; timeout *= 2 {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		if _, err := remote.Exec(ctx, querytree.ExecRequest{Query: "hang"}); !errors.Is(err, context.DeadlineExceeded) {
			t.Error("error after the deadline:", err)
		}
		cancel()
	}
	receive(t, "request at the child", begun)
	receive(t, "end at the child", stopped)
}

// A reader that stops reading holds the child back.
func TestSlowReader(t *testing.T) {
	value := make([]byte, 10_000)
	var made atomic.Int64
	remote := linked(t, &fakeChild{exec: func(ctx context.Context, _ querytree.ExecRequest) (querytree.ResultSet, error) {
		return &fakeResult{next: func() (promql.Series, bool) {
			n := made.Add(1)
			_, _ = rand.Read(value) // packing must not make it smaller
			return promql.Series{Metric: labels.FromStrings("n", fmt.Sprintf("%09d%s", n, value))}, n < 100_000
		}}, nil
	}})
	set, err := remote.Exec(t.Context(), querytree.ExecRequest{})
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	last := int64(-1)
	eventually(t, "the child stands still", func() bool {
		time.Sleep(20 * time.Millisecond)
		was := last
		last = made.Load()
		return was == last
	})
	// Windows of gRPC and frames in the making: far less than the gigabyte.
	if held := last * int64(len(value)); held > 8*streamWindow {
		t.Errorf("the child went on for %d bytes", held)
	}
	for range 5000 {
		if !set.Next() {
			t.Fatal(set.Err())
		}
	}
	if made.Load() < 5000 {
		t.Error("read what was not made")
	}
}

// A panic of the child costs the request.
func TestPanic(t *testing.T) {
	remote := linked(t, &fakeChild{
		exec: func(context.Context, querytree.ExecRequest) (querytree.ResultSet, error) {
			var none []int
			return nil, fmt.Errorf("%d", none[1])
		},
		names: func(context.Context, querytree.NamesRequest) (querytree.Names, error) { return querytree.Names{}, nil },
	})
	if _, err := remote.Exec(t.Context(), querytree.ExecRequest{}); err == nil || !strings.Contains(err.Error(), "panic") {
		t.Error("exec:", err)
	}
	if _, err := remote.Names(t.Context(), querytree.NamesRequest{}); err != nil {
		t.Error("names after the panic:", err)
	}
}

// Connections beyond the limit are closed at once.
func TestMaxConnections(t *testing.T) {
	addr, _ := startServer(t, nil, ServerConfig{Registry: newFakeRegistry(), MaxConnections: 1})
	first, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	second, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	_ = second.SetReadDeadline(time.Now().Add(patience))
	if _, err := second.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Error("second connection:", err)
	}
}

// A peer that connects and says nothing, or half of it, is hung up on.
func TestHelloTimeout(t *testing.T) {
	addr, _ := startServer(t, nil, ServerConfig{Registry: newFakeRegistry(), HelloTimeout: 20 * time.Millisecond})
	silent, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	_ = silent.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, silent); err != nil {
		t.Error("silent peer:", err)
	}
	// A peer slower than the timeout is hung up on before it is greeted, which
	// shows nothing of those who were.
	for timeout := 20 * time.Millisecond; timeout < patience; timeout *= 2 {
		if greetedThenHungUpOn(t, timeout) {
			return
		}
	}
	t.Error("no peer without a hello was greeted")
}

// greetedThenHungUpOn reports whether a server with the timeout greeted a peer
// that never says hello. Whether or not, it waits until the peer is hung up on.
func greetedThenHungUpOn(t *testing.T, timeout time.Duration) (greeted bool) {
	t.Helper()
	addr, _ := startServer(t, nil, ServerConfig{Registry: newFakeRegistry(), HelloTimeout: timeout})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stream, err := peerSession(t, addr, &evilTree{}).Attach(ctx)
	for err == nil {
		var down *querytreepb.Down
		if down, err = stream.Recv(); err == nil {
			greeted = greeted || down.GetGreeting() != nil
		}
	}
	if ctx.Err() != nil {
		t.Fatal("peer without a hello:", err)
	}
	return greeted
}

// holdingProxy forwards connections to addr until held is set; then it keeps
// them open and forwards nothing.
func holdingProxy(t *testing.T, addr string, held *atomic.Bool) string {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	forward := func(to, from net.Conn) {
		defer to.Close()
		buf := make([]byte, 32<<10)
		for {
			n, err := from.Read(buf)
			if err != nil {
				return
			}
			if held.Load() {
				continue
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			in, err := lis.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", addr)
			if err != nil {
				_ = in.Close()
				return
			}
			wg.Go(func() { forward(in, out) })
			wg.Go(func() { forward(out, in) })
		}
	})
	t.Cleanup(wg.Wait)
	t.Cleanup(func() { _ = lis.Close() })
	return lis.Addr().String()
}

// A connection that is half open is found out by alive, before it times out;
// requests on it end with their deadline.
func TestHalfOpen(t *testing.T) {
	registry := newFakeRegistry()
	addr, _ := startServer(t, nil, ServerConfig{Registry: registry})
	var held atomic.Bool
	proxy := holdingProxy(t, addr, &held)
	startLink(t, LinkConfig{Child: &fakeChild{description: leafDescription()}, Parents: []string{proxy}})
	s := receive(t, "session", registry.sessions)
	if err := s.alive(t.Context()); err != nil {
		t.Fatal(err)
	}
	held.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.alive(ctx); err == nil {
		t.Error("alive")
	}
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.child.Names(ctx, querytree.NamesRequest{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Error("names:", err)
	}
}
