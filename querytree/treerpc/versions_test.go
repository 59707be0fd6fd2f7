package treerpc

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/querytreepb"
)

// oldCodec is how a program of the first release reads and writes messages: all
// go through the schema recorded then, which knows nothing of later fields. It
// is safe for concurrent use.
type oldCodec struct {
	encoding.CodecV2
	schema *protoregistry.Files

	mu sync.Mutex
	// later counts the messages received that had fields of later versions, by
	// message and field.
	later map[string]int
}

func newOldCodec(t *testing.T) *oldCodec {
	t.Helper()
	b, err := os.ReadFile("../querytreepb/testdata/tree-v1.binpb")
	if err != nil {
		t.Fatal(err)
	}
	set := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(b, set); err != nil {
		t.Fatal(err)
	}
	schema, err := protodesc.NewFiles(set)
	if err != nil {
		t.Fatal(err)
	}
	return &oldCodec{CodecV2: encoding.GetCodecV2(grpcproto.Name), schema: schema, later: map[string]int{}}
}

// old returns a message as the first release understands it.
func (c *oldCodec) old(b []byte, name protoreflect.FullName) (*dynamicpb.Message, error) {
	d, err := c.schema.FindDescriptorByName(name)
	if err != nil {
		return nil, err
	}
	m := dynamicpb.NewMessage(d.(protoreflect.MessageDescriptor))
	return m, proto.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(b, m)
}

func (c *oldCodec) Marshal(v any) (mem.BufferSlice, error) {
	b, err := proto.Marshal(v.(proto.Message))
	if err != nil {
		return nil, err
	}
	m, err := c.old(b, v.(proto.Message).ProtoReflect().Descriptor().FullName())
	if err != nil {
		return nil, err
	}
	return c.CodecV2.Marshal(m)
}

func (c *oldCodec) Unmarshal(data mem.BufferSlice, v any) error {
	d := v.(proto.Message).ProtoReflect().Descriptor()
	b := data.Materialize()
	m, err := c.old(b, d.FullName())
	if err != nil {
		return err
	}
	err = eachField(b, func(f wireField) error {
		if m.Descriptor().Fields().ByNumber(f.num) == nil {
			c.mu.Lock()
			c.later[fmt.Sprintf("%s.%s", d.Name(), d.Fields().ByNumber(f.num).Name())]++
			c.mu.Unlock()
		}
		return nil
	})
	if err != nil {
		return err
	}
	if b, err = proto.Marshal(m); err != nil {
		return err
	}
	return proto.Unmarshal(b, v.(proto.Message))
}

func (c *oldCodec) count(field string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.later[field]
}

// versionedChild answers every kind of request, and keeps those for series.
func versionedChild(t *testing.T) (child *fakeChild, execs chan querytree.ExecRequest) {
	t.Helper()
	execs = make(chan querytree.ExecRequest, 10)
	d := leafDescription()
	d.Features = []string{querytree.FeatureOps, querytree.FeatureExplain}
	d.Gaps = []querytree.Interval{{Mint: 1, Maxt: 2}}
	report := querytree.Report{Explanation: &querytree.Explanation{Name: "n"}}
	report.Add(d.Name(), querytree.ChildReport{Tier: "leaf", Verdict: querytree.Asked, Requests: 1, Samples: 9})
	return &fakeChild{
		description: d,
		exec: func(_ context.Context, r querytree.ExecRequest) (querytree.ResultSet, error) {
			execs <- r
			return &fakeResult{next: seriesList(versionedAnswer()...), report: report}, nil
		},
		sel: func(context.Context, querytree.SelectRequest) querytree.SeriesSet {
			list := make([]storage.ChunkSeries, 0, 200)
			for _, s := range versionedAnswer() {
				list = append(list, &rawSeries{labels: s.Metric, metas: []chunks.Meta{rawChunk(t, chunkenc.EncXOR, 0, 20)}})
			}
			return &fakeSeries{next: seriesList(list...)}
		},
		names: func(context.Context, querytree.NamesRequest) (querytree.Names, error) {
			return querytree.Names{Names: []string{"a", "b"}}, nil
		},
		metadata: func(context.Context, querytree.MetadataRequest) (querytree.Metadata, error) {
			return querytree.Metadata{}, nil
		},
		exemplars: func(context.Context, querytree.ExemplarsRequest) (querytree.Exemplars, error) {
			return querytree.Exemplars{}, nil
		},
		tree: func(context.Context) ([]querytree.Node, error) {
			return []querytree.Node{{Description: leafDescription()}}, nil
		},
	}, execs
}

// versionedGrid and versionedAnswer are large enough that packing them pays.
var versionedGrid = grid{step: 15_000, steps: 241}

func versionedAnswer() []promql.Series {
	return newWireData().answer(200, versionedGrid.steps, versionedGrid, wireKinds[4].values)
}

func versionedRequest() querytree.ExecRequest {
	return querytree.ExecRequest{
		Options: querytree.Options{Explain: querytree.ExplainAnalyze, Strict: true}, Query: "sum(x)",
		End: 240 * 15_000, Step: 15_000, Ops: []string{"sum", "count"}, ByGroup: true,
	}
}

// A child of the first release under a parent of this one: it registers, has no
// features, and answers all that is asked of it.
func TestOldChild(t *testing.T) {
	codec := newOldCodec(t)
	fake, execs := versionedChild(t)
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
	srv := grpc.NewServer(grpc.ForceServerCodecV2(codec))
	querytreepb.RegisterTreeServer(srv, &treeService{child: fake, pack: testPacker(t)})
	background(t, func(ctx context.Context) error {
		sess.serve(ctx, srv)
		return nil
	})
	up, err := querytreepb.NewParentClient(sess.client).Attach(t.Context(), grpc.ForceCodecV2(codec))
	if err != nil {
		t.Fatal(err)
	}
	if err := up.Send(hello(descriptionToWire(fake.Describe()))); err != nil {
		t.Fatal(err)
	}
	s := receive(t, "session", registry.sessions)
	child := s.child
	for i := range 3 { // hints are taken as ever, and not acknowledged
		frame := &querytreepb.Hint{Run: 1, Frame: fmt.Append(nil, i)}
		if err := up.Send(&querytreepb.Up{Message: &querytreepb.Up_Hint{Hint: frame}}); err != nil {
			t.Fatal(err)
		}
		if got := string(receive(t, "hint", s.hints)); got != fmt.Sprint(i) {
			t.Errorf("hint %q, want %d", got, i)
		}
	}
	want := firstDescription()
	if diff := cmp.Diff(want, child.Describe(), sameBits); diff != "" || child.Describe().Has(querytree.FeatureOps) {
		t.Errorf("description without later fields:\n%s", diff)
	}

	set, err := child.Exec(t.Context(), versionedRequest())
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	if !sameSeries(versionedAnswer(), drain(set)) || set.Err() != nil {
		t.Error("exec: other series, error", set.Err())
	}
	// Why it must not be asked for what it does not know: it would not notice.
	if got := <-execs; got.Ops != nil || got.ByGroup || got.Explain != querytree.ExplainOff || !got.Strict || got.Query != "sum(x)" {
		t.Errorf("request as the old child sees it: %+v", got)
	}
	report := set.Report()
	if row := ownRow(child, &report); row.Bytes < 8*200*241 || row.Samples != 9 || report.Explanation != nil {
		t.Errorf("row %+v, explanation %v", row, report.Explanation)
	}
	answersRest(t, child)
	if codec.count("ExecRequest.accept") == 0 {
		t.Error("the codec has dropped nothing: is its schema the old one?")
	}
	if err := up.Send(&querytreepb.Up{Message: &querytreepb.Up_Hint{Hint: &querytreepb.Hint{Run: 1, Frame: []byte("bad")}}}); err != nil {
		t.Fatal(err)
	}
	for asked := false; !asked; { // what comes first is the greeting, and that it is accepted
		down, err := up.Recv()
		if err != nil {
			t.Fatal(err)
		}
		asked = down.GetResync().GetRun() == 1
	}
	if n := codec.count("Down.applied") + codec.count("Accepted.cursor") + codec.count("Resync.cursor"); n != 0 {
		t.Errorf("%d messages about hints that an old child cannot read", n)
	}
}

// answersRest asks a child for all but Exec.
func answersRest(t *testing.T, child querytree.Child) {
	t.Helper()
	raw := child.Select(t.Context(), querytree.SelectRequest{})
	defer raw.Close()
	n := 0
	for raw.Next() {
		n++
	}
	if n != 200 || raw.Err() != nil {
		t.Errorf("select: %d series, error %v", n, raw.Err())
	}
	if names, err := child.Names(t.Context(), querytree.NamesRequest{}); err != nil || len(names.Names) != 2 {
		t.Error("names:", names, err)
	}
	if _, err := child.Metadata(t.Context(), querytree.MetadataRequest{}); err != nil {
		t.Error("metadata:", err)
	}
	if _, err := child.Exemplars(t.Context(), querytree.ExemplarsRequest{}); err != nil {
		t.Error("exemplars:", err)
	}
	if nodes, err := child.Tree(t.Context()); err != nil || len(nodes) != 1 {
		t.Error("tree:", nodes, err)
	}
}

// oldParent is a parent of the first release: it greets and accepts whoever
// comes.
type oldParent struct {
	querytreepb.UnimplementedParentServer
	hellos chan *querytreepb.Hello
	hints  chan *querytreepb.Hint
}

func (p *oldParent) Attach(s grpc.BidiStreamingServer[querytreepb.Up, querytreepb.Down]) error {
	if err := s.Send(&querytreepb.Down{Message: &querytreepb.Down_Greeting{Greeting: &querytreepb.Greeting{Version: 1, MinVersion: 1, Instance: "old"}}}); err != nil {
		return err
	}
	up, err := s.Recv()
	if err != nil {
		return err
	}
	p.hellos <- up.GetHello()
	if err := s.Send(&querytreepb.Down{Message: &querytreepb.Down_Accepted{Accepted: &querytreepb.Accepted{Parent: descriptionToWire(parentSelf())}}}); err != nil {
		return err
	}
	for {
		up, err := s.Recv()
		if err != nil {
			return nil
		}
		if h := up.GetHint(); h != nil {
			p.hints <- h
		}
	}
}

// A child of this version under a parent of the first release: nothing of what
// it answers is in a form that the parent does not know.
func TestOldParent(t *testing.T) {
	codec := newOldCodec(t)
	fake, _ := versionedChild(t)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	startLink(t, LinkConfig{Child: fake, Hints: make(cursors, 1), Parents: []string{lis.Addr().String()}})
	conn, err := lis.Accept()
	if err != nil {
		t.Fatal(err)
	}
	sess, err := newSession(conn, false, quiet(), maxFrameSize)
	if err != nil {
		t.Fatal(err)
	}
	parent := &oldParent{hellos: make(chan *querytreepb.Hello, 1), hints: make(chan *querytreepb.Hint, 10)}
	srv := grpc.NewServer(grpc.ForceServerCodecV2(codec))
	querytreepb.RegisterParentServer(srv, parent)
	background(t, func(ctx context.Context) error {
		sess.serve(ctx, srv)
		return nil
	})
	hello := receive(t, "hello", parent.hellos)
	for _, want := range []string{"from ", "second", "third"} { // it waits for nothing that the parent does not know
		if h := receive(t, "hint", parent.hints); string(h.GetFrame()) != want || h.GetRun() != 1 {
			t.Errorf("hint %v, want %q", h, want)
		}
	}
	d, err := descriptionFromWire(hello.GetDescription())
	if diff := cmp.Diff(firstDescription(), d, sameBits); diff != "" || err != nil {
		t.Errorf("description (error %v):\n%s", err, diff)
	}

	tree := querytreepb.NewTreeClient(sess.client)
	execs, err := tree.Exec(t.Context(), execToWire(versionedRequest(), acceptZstd), grpc.ForceCodecV2(codec))
	if err != nil {
		t.Fatal(err)
	}
	dec := &execDecoder{grid: versionedGrid}
	n := 0
	for end := (*querytreepb.End)(nil); end == nil; {
		f, err := execs.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if err := dec.add(f); err != nil {
			t.Fatal(err)
		}
		for _, ok, err := dec.next(); ok || err != nil; _, ok, err = dec.next() {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if end = f.GetEnd(); end.GetError() != nil {
			t.Error(end)
		}
	}
	if _, samples := dec.counts(); n != 200 || samples != 200*241 {
		t.Errorf("%d series, %d samples", n, samples)
	}
	sels, err := tree.Select(t.Context(), selectToWire(querytree.SelectRequest{}, acceptZstd), grpc.ForceCodecV2(codec))
	if err != nil {
		t.Fatal(err)
	}
	raw := 0
	for end := false; !end; {
		f, err := sels.Recv()
		if err != nil {
			t.Fatal(err)
		}
		raw += len(f.GetSeries())
		end = f.GetEnd() != nil
	}
	if raw != 200 {
		t.Errorf("%d raw series", raw)
	}
	if n := codec.count("ExecFrame.packed") + codec.count("SelectFrame.packed") + codec.count("ExecFrame.planes"); n != 0 {
		t.Errorf("%d frames that an old parent cannot read", n)
	}
}

// Between two of this version features arrive, and frames are packed.
func TestFeatures(t *testing.T) {
	fake, execs := versionedChild(t)
	child := linked(t, fake)
	if d := child.Describe(); !d.Has(querytree.FeatureOps) || !d.Has(querytree.FeatureExplain) || len(d.Gaps) != 1 {
		t.Errorf("description %+v", d)
	}
	set, err := child.Exec(t.Context(), versionedRequest())
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	if !sameSeries(versionedAnswer(), drain(set)) || set.Err() != nil {
		t.Error("exec: other series, error", set.Err())
	}
	if got := <-execs; len(got.Ops) != 2 || !got.ByGroup || got.Explain != querytree.ExplainAnalyze {
		t.Errorf("request %+v", got)
	}
	report := set.Report()
	if row := ownRow(child, &report); row.Bytes > 2*200*241 || report.Explanation == nil {
		t.Errorf("row %+v, explanation %v", row, report.Explanation)
	}
	answersRest(t, child)
}

// firstDescription is leafDescription as the schema first released has room for.
func firstDescription() querytree.Description {
	d := leafDescription()
	d.Features, d.Epochs, d.Settled = nil, nil, 0
	d.Revision, d.ReloadFailed, d.Earliest = "", false, 0
	return d
}
