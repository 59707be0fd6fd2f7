package treerpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
	"google.golang.org/grpc"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/querytreepb"
)

// maxListSize bounds the bytes of an answer that is held whole: names,
// metadata and exemplars.
const maxListSize = 64 << 20

// remoteChild is a connection as a Child: it is the inverse of treeService.
type remoteChild struct {
	tree     querytreepb.TreeClient
	down     func() bool
	describe atomic.Pointer[querytree.Description]
	metrics  *linkMetrics
	unpack   *unpacker // nil asks for frames that are not packed
}

var _ querytree.Child = (*remoteChild)(nil)

// newRemoteChild returns the child at the other end of conn; down reports
// whether conn is gone.
func newRemoteChild(conn grpc.ClientConnInterface, down func() bool, m *linkMetrics, u *unpacker) *remoteChild {
	return &remoteChild{tree: querytreepb.NewTreeClient(conn), down: down, metrics: m, unpack: u}
}

// Describe implements querytree.Child: the description last received.
func (c *remoteChild) Describe() querytree.Description {
	if d := c.describe.Load(); d != nil {
		return *d
	}
	return querytree.Description{}
}

func (c *remoteChild) name() string { return c.Describe().Name() }

// callOf makes a call, the answer to which is frames F.
type callOf[F any] = func(context.Context, grpc.CallOption) (grpc.ServerStreamingClient[F], error)

// start makes a call.
func start[F any](ctx context.Context, c *remoteChild, call callOf[F]) (*answer[F], error) {
	if c.down() {
		return nil, fmt.Errorf("child %q: %w", c.name(), ErrDisconnected)
	}
	ctx, cancel := context.WithCancel(ctx)
	codec := newCallCodec()
	stream, err := call(ctx, grpc.ForceCodecV2(codec))
	if err != nil {
		err = fromStatus(ctx, err, c.name())
		cancel()
		return nil, err
	}
	return &answer[F]{ctx: ctx, cancel: cancel, stream: stream, codec: codec, child: c}, nil
}

// open makes a call and waits for its first frame, or for the error instead
// of an answer.
func open[F any](ctx context.Context, c *remoteChild, call callOf[F]) (*answer[F], *F, error) {
	a, err := start(ctx, c, call)
	if err != nil {
		return nil, nil, err
	}
	f, err := a.recv()
	if err != nil {
		a.cancel()
		return nil, nil, err
	}
	return a, f, nil
}

// answer is a stream of frames.
type answer[F any] struct {
	ctx    context.Context
	cancel context.CancelFunc
	stream grpc.ServerStreamingClient[F]
	codec  *callCodec
	child  *remoteChild
}

// recv returns the next frame. That there is none is an error: answers say
// where they end.
func (a *answer[F]) recv() (*F, error) {
	f, err := a.stream.Recv()
	switch {
	case err == nil:
		return f, nil
	case errors.Is(err, io.EOF):
		return nil, a.malformed(errors.New("answer without an end"))
	default:
		return nil, fromStatus(a.ctx, err, a.child.name())
	}
}

// finish lets the call end in order, after its last frame.
func (a *answer[F]) finish() error {
	_, err := a.stream.Recv()
	switch {
	case err == nil:
		return a.malformed(errors.New("answer goes on after its end"))
	case errors.Is(err, io.EOF):
		return nil
	default:
		return fromStatus(a.ctx, err, a.child.name())
	}
}

// report returns the report of an answer that has ended, with a row for the
// child itself: a leaf's own, or one that counts what came from a mixer.
func (a *answer[F]) report(end *querytreepb.End, series, samples int64) querytree.Report {
	r := reportFromWire(end.GetReport())
	d := a.child.Describe()
	row, ok := r.Children[d.Name()]
	if !ok {
		row = querytree.ChildReport{Tier: d.Tier, Verdict: querytree.Asked, Requests: 1, Series: series, Samples: samples}
	}
	row.Bytes = a.codec.received
	if r.Children == nil {
		r.Children = map[string]querytree.ChildReport{}
	}
	r.Children[d.Name()] = row
	return r
}

// malformed is the error of an answer that cannot be understood. It costs the
// request; a connection that is garbage itself ends in the layers below.
func (a *answer[F]) malformed(err error) error {
	a.child.metrics.garbage.Inc()
	return fmt.Errorf("child %q: %w: malformed answer: %w", a.child.name(), querytree.ErrUnavailable, err)
}

// Exec implements querytree.Child.
func (c *remoteChild) Exec(ctx context.Context, req querytree.ExecRequest) (querytree.ResultSet, error) {
	g, err := newGrid(req)
	if err != nil {
		return nil, err
	}
	a, first, err := open(ctx, c, func(ctx context.Context, codec grpc.CallOption) (grpc.ServerStreamingClient[querytreepb.ExecFrame], error) {
		return c.tree.Exec(ctx, execToWire(req, c.unpack.accepts()), codec)
	})
	if err != nil {
		return nil, err
	}
	s := &resultSet{answer: a, decoder: &execDecoder{grid: g, unpack: c.unpack}, endOf: (*querytreepb.ExecFrame).GetEnd}
	s.frame(first)
	return s, nil
}

// Select implements querytree.Child. It does not wait for the child: Next does.
func (c *remoteChild) Select(ctx context.Context, req querytree.SelectRequest) querytree.SeriesSet {
	a, err := start(ctx, c, func(ctx context.Context, codec grpc.CallOption) (grpc.ServerStreamingClient[querytreepb.SelectFrame], error) {
		return c.tree.Select(ctx, selectToWire(req, c.unpack.accepts()), codec)
	})
	if err != nil {
		return failedSet[querytreepb.SelectFrame, storage.ChunkSeries](err)
	}
	return &seriesSet{answer: a, decoder: &selectDecoder{labelsOnly: req.LabelsOnly, unpack: c.unpack}, endOf: (*querytreepb.SelectFrame).GetEnd}
}

// collect reads an answer to its end, and returns what it says of itself. add
// takes a frame in, and returns its size and its end.
func collect[F any](ctx context.Context, c *remoteChild, call callOf[F], add func(*F) (int, *querytreepb.End, error)) (annotations.Annotations, querytree.Report, error) {
	a, f, err := open(ctx, c, call)
	if err != nil {
		return nil, querytree.Report{}, err
	}
	defer a.cancel()
	for size := 0; ; {
		n, end, err := add(f)
		switch {
		case err != nil:
			return nil, querytree.Report{}, a.malformed(err)
		case end.GetError() != nil:
			return nil, querytree.Report{}, errorFromWire(end.GetError())
		case end != nil:
			err := a.finish()
			return annotationsFromWire(end.GetAnnotations()), a.report(end, 0, 0), err
		}
		if size += n; size > maxListSize {
			return nil, querytree.Report{}, &querytree.LimitError{
				What: "bytes of one list", Flag: "query.max-series", Limit: maxListSize, Value: int64(size), Tier: c.name(),
			}
		}
		if f, err = a.recv(); err != nil {
			return nil, querytree.Report{}, err
		}
	}
}

// Names implements querytree.Child.
func (c *remoteChild) Names(ctx context.Context, req querytree.NamesRequest) (querytree.Names, error) {
	var out querytree.Names
	warn, report, err := collect(ctx, c, func(ctx context.Context, codec grpc.CallOption) (grpc.ServerStreamingClient[querytreepb.NamesFrame], error) {
		return c.tree.Names(ctx, namesToWire(req), codec)
	}, func(f *querytreepb.NamesFrame) (int, *querytreepb.End, error) {
		size := 0
		for _, b := range f.GetNames() {
			name := string(b)
			if n := len(out.Names); n > 0 && out.Names[n-1] >= name {
				return 0, nil, fmt.Errorf("name %q after %q", name, out.Names[n-1])
			}
			out.Names = append(out.Names, name)
			size += len(name) + 16
		}
		return size, f.GetEnd(), nil
	})
	if err != nil {
		return querytree.Names{}, err
	}
	out.Warnings, out.Report = warn, report
	return out, nil
}

// Metadata implements querytree.Child.
func (c *remoteChild) Metadata(ctx context.Context, req querytree.MetadataRequest) (querytree.Metadata, error) {
	out := querytree.Metadata{Families: map[string][]metadata.Metadata{}}
	warn, report, err := collect(ctx, c, func(ctx context.Context, codec grpc.CallOption) (grpc.ServerStreamingClient[querytreepb.MetadataFrame], error) {
		return c.tree.Metadata(ctx, metadataToWire(req), codec)
	}, func(f *querytreepb.MetadataFrame) (int, *querytreepb.End, error) {
		size := 0
		for _, family := range f.GetFamilies() {
			metric := string(family.GetMetric())
			entries := out.Families[metric]
			size += len(metric) + 64
			for _, e := range family.GetEntries() {
				entries = append(entries, metadata.Metadata{
					Type: model.MetricType(e.GetType()), Unit: string(e.GetUnit()), Help: string(e.GetHelp()),
				})
				size += len(e.GetType()) + len(e.GetUnit()) + len(e.GetHelp()) + 48
			}
			out.Families[metric] = entries
		}
		return size, f.GetEnd(), nil
	})
	if err != nil {
		return querytree.Metadata{}, err
	}
	out.Warnings, out.Report = warn, report
	return out, nil
}

// Exemplars implements querytree.Child.
func (c *remoteChild) Exemplars(ctx context.Context, req querytree.ExemplarsRequest) (querytree.Exemplars, error) {
	var out querytree.Exemplars
	warn, report, err := collect(ctx, c, func(ctx context.Context, codec grpc.CallOption) (grpc.ServerStreamingClient[querytreepb.ExemplarsFrame], error) {
		return c.tree.Exemplars(ctx, exemplarsToWire(req), codec)
	}, func(f *querytreepb.ExemplarsFrame) (size int, end *querytreepb.End, err error) {
		for _, s := range f.GetSeries() {
			n, err := addExemplars(&out.Results, s)
			if err != nil {
				return 0, nil, err
			}
			size += n
		}
		return size, f.GetEnd(), nil
	})
	if err != nil {
		return querytree.Exemplars{}, err
	}
	out.Warnings, out.Report = warn, report
	if row := report.Children[c.name()]; row.Series == 0 {
		row.Series = int64(len(out.Results))
		report.Children[c.name()] = row
	}
	return out, nil
}

// addExemplars adds a series, or a further part of the last one.
func addExemplars(results *[]exemplar.QueryResult, s *querytreepb.SeriesExemplars) (size int, err error) {
	ls, err := labelSetFromWire(s.GetLabels())
	if err != nil {
		return 0, err
	}
	order := 1
	if n := len(*results); n > 0 {
		order = labels.Compare(ls, (*results)[n-1].SeriesLabels)
	}
	switch {
	case order < 0:
		return 0, fmt.Errorf("series %s: not sorted by labels", ls)
	case order > 0:
		*results = append(*results, exemplar.QueryResult{SeriesLabels: ls})
	}
	r := &(*results)[len(*results)-1]
	size = 64
	for _, e := range s.GetExemplars() {
		els, err := labelSetFromWire(e.GetLabels())
		if err != nil {
			return 0, err
		}
		r.Exemplars = append(r.Exemplars, exemplar.Exemplar{Labels: els, Value: e.GetValue(), Ts: e.GetTimestamp(), HasTs: e.GetHasTimestamp()})
		size += 128
	}
	return size, nil
}
