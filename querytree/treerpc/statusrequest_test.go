package treerpc

import (
	"bytes"
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/querytreepb"
)

// statusChild is a fakeChild that answers status requests.
type statusChild struct {
	fakeChild
	status func(context.Context, querytree.StatusRequest, func(querytree.StatusAnswer) error) error
}

func (c *statusChild) Status(ctx context.Context, r querytree.StatusRequest, answer func(querytree.StatusAnswer) error) error {
	return c.status(ctx, r, answer)
}

// statusOf asks a child, which must be one that can be asked.
func statusOf(ctx context.Context, t *testing.T, c querytree.Child, r querytree.StatusRequest) (a querytree.StatusAnswer, err error) {
	t.Helper()
	reader, ok := c.(querytree.StatusReader)
	if !ok {
		t.Fatal("a connection passes no status requests on")
	}
	err = reader.Status(ctx, r, func(got querytree.StatusAnswer) error {
		a = got
		return nil
	})
	return a, err
}

func TestStatusRoundTrip(t *testing.T) {
	want := querytree.StatusRequest{
		Member: "zone=eu,cluster=\xff", Path: "/api/v1/targets", Query: "a=\xfe&b", AcceptEncoding: "gzip", ID: "id", Budget: 3 * time.Second,
	}
	for _, size := range []int{0, 1, frameSize, frameSize + 1, 5 * frameSize, querytree.MaxStatusAnswer} {
		answer := querytree.StatusAnswer{
			Member: want.Member, Code: 418, ContentType: "application/json", ContentEncoding: "gzip", Body: bytes.Repeat([]byte("x\x00"), size)[:size],
		}
		held := 0
		child := linked(t, &statusChild{fakeChild{description: leafDescription()}, func(_ context.Context, r querytree.StatusRequest, send func(querytree.StatusAnswer) error) error {
			if d := cmp.Diff(want, r); d != "" {
				t.Error(d)
			}
			return send(answer)
		}})
		req := want
		req.Hold = func(n int) error { held += n; return nil }
		got, err := statusOf(t.Context(), t, child, req)
		if err != nil || held != size || !bytes.Equal(got.Body, answer.Body) {
			t.Errorf("%d bytes: held %d, error %v, body of %d", size, held, err, len(got.Body))
		}
		got.Body, answer.Body = nil, nil
		if d := cmp.Diff(answer, got); d != "" {
			t.Error(d)
		}
	}
}

func TestStatusFailureRoundTrip(t *testing.T) {
	for _, want := range []*querytree.StatusError{
		{Kind: querytree.StatusMissing, Member: "zone=eu", At: "root", Since: time.UnixMilli(1234), Text: "it is away"},
		{Kind: querytree.StatusUnknownMember, Member: "\xff", At: "zone=eu", Near: []string{"a", "\xfe"}, Text: "who?"},
		{Kind: querytree.StatusRefused, Text: "no"},
	} {
		child := linked(t, &statusChild{fakeChild{description: leafDescription()}, func(context.Context, querytree.StatusRequest, func(querytree.StatusAnswer) error) error {
			return want
		}})
		_, err := statusOf(t.Context(), t, child, querytree.StatusRequest{})
		got, ok := errors.AsType[*querytree.StatusError](err)
		if !ok {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	}
	// What only a later version knows is a failure all the same.
	if got := failureFromWire(&querytreepb.StatusFailure{Kind: "member_sings", Text: []byte("la")}); got.Kind != querytree.StatusFailed || got.Text != "la" {
		t.Errorf("%+v", got)
	}
}

// An error that is of no kind, and one of the receiver, end the request.
func TestStatusErrors(t *testing.T) {
	child := linked(t, &statusChild{fakeChild{description: leafDescription()}, func(_ context.Context, r querytree.StatusRequest, send func(querytree.StatusAnswer) error) error {
		if r.ID == "broken" {
			return errors.New("out of order")
		}
		return send(querytree.StatusAnswer{Body: []byte("x")})
	}})
	if _, err := statusOf(t.Context(), t, child, querytree.StatusRequest{ID: "broken"}); err == nil || err.Error() != "out of order" {
		t.Errorf("%v", err)
	}
	full := errors.New("full")
	if _, err := statusOf(t.Context(), t, child, querytree.StatusRequest{Hold: func(int) error { return full }}); !errors.Is(err, full) {
		t.Errorf("%v", err)
	}
}

// A connection that breaks while a member is asked costs the request, at once.
func TestStatusDisconnected(t *testing.T) {
	entered := make(chan struct{})
	registry := newFakeRegistry()
	addr, _ := startServer(t, nil, ServerConfig{Registry: registry})
	_, stop := startLink(t, LinkConfig{Parents: []string{addr}, Child: &statusChild{fakeChild{description: leafDescription()}, func(ctx context.Context, _ querytree.StatusRequest, _ func(querytree.StatusAnswer) error) error {
		close(entered)
		<-ctx.Done()
		return ctx.Err()
	}}})
	child := receive(t, "session", registry.sessions).child
	failed := make(chan error, 1)
	go func() {
		_, err := statusOf(context.WithoutCancel(t.Context()), t, child, querytree.StatusRequest{})
		failed <- err
	}()
	receive(t, "request", entered)
	stop()
	if err := receive(t, "error", failed); !errors.Is(err, querytree.ErrUnavailable) && !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// A child that takes no status requests says so, whether its program knows of them
// or not.
func TestStatusUnknown(t *testing.T) {
	child := linked(t, &fakeChild{description: leafDescription()})
	_, err := statusOf(t.Context(), t, child, querytree.StatusRequest{})
	if e, ok := errors.AsType[*querytree.StatusError](err); !ok || e.Kind != querytree.StatusTooOld || e.Member != child.Describe().Name() {
		t.Errorf("this version: %v", err)
	}

	// A program of before has no such method.
	before := querytreepb.Tree_ServiceDesc
	before.Streams = nil
	for _, s := range querytreepb.Tree_ServiceDesc.Streams {
		if s.StreamName != "Status" {
			before.Streams = append(before.Streams, s)
		}
	}
	registry := newFakeRegistry()
	addr, _ := startServer(t, nil, ServerConfig{Registry: registry})
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	sess, err := newSession(conn, true, quiet(), maxFrameSize)
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer()
	srv.RegisterService(&before, &treeService{child: &fakeChild{}})
	background(t, func(ctx context.Context) error {
		sess.serve(ctx, srv)
		return nil
	})
	up, err := querytreepb.NewParentClient(sess.client).Attach(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := up.Send(hello(descriptionToWire(leafDescription()))); err != nil {
		t.Fatal(err)
	}
	old := receive(t, "session", registry.sessions).child
	_, err = statusOf(t.Context(), t, old, querytree.StatusRequest{})
	if e, ok := errors.AsType[*querytree.StatusError](err); !ok || e.Kind != querytree.StatusTooOld {
		t.Errorf("before: %v", err)
	}
}

// frames that make no answer are refused, and what they announce is not allocated
// beyond the bound.
func TestStatusMalformed(t *testing.T) {
	head := func(size uint64) *querytreepb.StatusHead { return &querytreepb.StatusHead{Size: size} }
	end := &querytreepb.End{}
	for name, frames := range map[string][]*querytreepb.StatusFrame{
		"no head":        {{End: end}},
		"body, no head":  {{Body: []byte("x"), End: end}},
		"two heads":      {{Head: head(1)}, {Head: head(1), Body: []byte("x"), End: end}},
		"too short":      {{Head: head(2), Body: []byte("x"), End: end}},
		"too long":       {{Head: head(1), Body: []byte("x")}, {Body: []byte("y"), End: end}},
		"too large":      {{Head: head(querytree.MaxStatusAnswer + 1)}},
		"far too large":  {{Head: head(1 << 63)}},
		"empty and then": {{}, {}, {Body: []byte("x")}},
	} {
		in := statusReceiver{}
		for _, f := range frames {
			if err := in.add(f); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if in.wrong != nil {
				break
			}
		}
		if in.wrong == nil {
			t.Errorf("%s: taken, %+v", name, in.answer)
		}
	}
}

// Whatever the bytes, reading them ends, without a panic, in an answer of the size
// that was announced, in a failure of a known kind, or in an error.
func FuzzStatusFrame(f *testing.F) {
	for _, w := range []*querytreepb.StatusFrame{
		{Head: &querytreepb.StatusHead{Member: []byte("m"), Code: 200, Size: 1}, Body: []byte("x"), End: &querytreepb.End{}},
		{Failure: failureToWire(&querytree.StatusError{Kind: querytree.StatusMissing, Since: time.UnixMilli(5), Near: []string{"a"}})},
		{Head: &querytreepb.StatusHead{Size: 1 << 40}},
	} {
		b, err := proto.Marshal(w)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, b)
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		in := statusReceiver{hold: func(n int) error {
			if n < 0 || n > querytree.MaxStatusAnswer {
				t.Errorf("%d bytes to be held", n)
			}
			return nil
		}}
		for _, b := range [][]byte{first, second} {
			w := &querytreepb.StatusFrame{}
			if proto.Unmarshal(b, w) != nil {
				return
			}
			err := in.add(w)
			if e, ok := errors.AsType[*querytree.StatusError](err); ok && (!e.Kind.Known() || len(e.Near) > maxNear) {
				t.Errorf("%+v", e)
			}
			if err != nil || in.wrong != nil {
				return
			}
			if w.GetEnd() != nil {
				if !in.begun || len(in.answer.Body) != in.size {
					t.Errorf("%+v", in)
				}
				return
			}
		}
	})
}
