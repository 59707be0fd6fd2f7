// Package garbletest has leaves that register as they should, and then answer with
// garbage: for tests of what one bad child costs the others.
package garbletest

import (
	"context"
	"io"
	"math"
	"net"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/yamux"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/querytreepb"
)

// Leaf is a child that registers as it should, and answers whatever it is asked with
// the bytes of the last Answer that it was given. It is safe for concurrent use.
type Leaf struct {
	answer atomic.Pointer[Answer]
	asked  atomic.Int64
}

// Answer is what a Leaf answers to any request: messages, and how they end. All of it
// may be what no child of Pando sends.
type Answer struct {
	// Messages are sent as they are.
	Messages [][]byte
	// Endless, if not nil, makes one message after the other, until the parent has had
	// enough.
	Endless func(i int) []byte
	// Hang is set if the answer then does not end.
	Hang bool
	// Err is the status at the end.
	Err error
}

// Give makes it answer so from now on.
func (l *Leaf) Give(a Answer) { l.answer.Store(&a) }

// Asked returns how often it was asked.
func (l *Leaf) Asked() int64 { return l.asked.Load() }

// rawCodec leaves messages as they are.
type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (rawCodec) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = slices.Clone(data)
	return nil
}
func (rawCodec) Name() string { return "proto" }

func (l *Leaf) handle(_ any, s grpc.ServerStream) error {
	var request []byte
	if err := s.RecvMsg(&request); err != nil {
		return err
	}
	l.asked.Add(1)
	a := l.answer.Load()
	for _, m := range a.Messages {
		if err := s.SendMsg(&m); err != nil {
			return err
		}
	}
	for i := 0; a.Endless != nil; i++ {
		m := a.Endless(i)
		if err := s.SendMsg(&m); err != nil {
			return err
		}
	}
	if a.Hang {
		<-s.Context().Done()
	}
	return a.Err
}

// Register makes a Leaf of that zone and cluster a child of the parent at an address,
// until the test ends. It answers nothing yet.
func Register(t testing.TB, parent, zone, cluster string) *Leaf {
	t.Helper()
	l := &Leaf{}
	l.Give(Answer{})
	conn, err := net.Dial("tcp", parent)
	if err != nil {
		t.Fatal(err)
	}
	cfg := yamux.DefaultConfig()
	cfg.LogOutput = io.Discard
	mux, err := yamux.Client(conn, cfg)
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer(grpc.ForceServerCodec(rawCodec{}), grpc.UnknownServiceHandler(l.handle))
	served := make(chan struct{})
	go func() { defer close(served); _ = srv.Serve(mux) }()
	client, err := grpc.NewClient("passthrough:///parent", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return mux.Open() }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close(); _ = mux.Close(); srv.Stop(); <-served })
	l.introduce(t, querytreepb.NewParentClient(client), zone, cluster)
	return l
}

// introduce says who it is, and returns once that was accepted.
func (l *Leaf) introduce(t testing.TB, parent querytreepb.ParentClient, zone, cluster string) {
	t.Helper()
	up, err := parent.Attach(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text := func(words ...string) (out [][]byte) {
		for _, w := range words {
			out = append(out, []byte(w))
		}
		return out
	}
	hello := &querytreepb.Hello{Version: 1, MinVersion: 1, Description: &querytreepb.Description{
		Tier: querytree.TierLeaf, Labels: &querytreepb.LabelSet{Pairs: text("cluster", cluster, "zone", zone)}, Instance: "garbler", Version: "0.1.0",
		Mint: 0, Maxt: math.MaxInt64 / 2, Series: 1, Samples: 1, Leaves: 1,
	}}
	if err := up.Send(&querytreepb.Up{Message: &querytreepb.Up_Hello{Hello: hello}}); err != nil {
		t.Fatal(err)
	}
	for {
		down, err := up.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if down.GetRefused() != nil {
			t.Fatalf("refused: %v", down.GetRefused())
		}
		if down.GetAccepted() != nil {
			return
		}
	}
}
