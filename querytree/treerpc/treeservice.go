package treerpc

import (
	"context"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/util/annotations"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/querytreepb"
)

// treeService serves a Child: it is the inverse of remoteChild.
type treeService struct {
	querytreepb.UnimplementedTreeServer
	child querytree.Child
	pack  *packer // nil packs nothing
}

// endOf is the last word of an answer. Positions of annotations are those in
// query.
func endOf(as annotations.Annotations, query string, report querytree.Report, err error) *querytreepb.End {
	end := &querytreepb.End{Annotations: annotationsToWire(as, query)}
	if err != nil {
		end.Error, _ = errorToWire(err)
	}
	end.Report = reportToWire(report, maxFrameSize-proto.Size(end))
	return end
}

// sent turns the error of a handler that has begun to answer into what it
// returns: the peer is told by End, if it still listens.
func sent(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	return status.FromContextError(ctx.Err()).Err()
}

// Exec implements querytreepb.TreeServer.
func (s *treeService) Exec(w *querytreepb.ExecRequest, stream grpc.ServerStreamingServer[querytreepb.ExecFrame]) error {
	ctx := stream.Context()
	req, g, err := execFromWire(w)
	if err != nil {
		return toStatus(err)
	}
	set, err := s.child.Exec(ctx, req)
	if err != nil {
		return toStatus(err)
	}
	defer set.Close()
	if err := stream.Send(&querytreepb.ExecFrame{}); err != nil {
		return sent(ctx, err)
	}
	out := frameSender[querytreepb.ExecFrame]{stream: stream}
	enc := &execEncoder{grid: g, send: out.send, pack: s.pack.accepting(w.GetAccept())}
	defer enc.pack.release()
	for err == nil && ctx.Err() == nil && set.Next() {
		err = enc.add(set.At())
	}
	if out.err != nil || ctx.Err() != nil {
		return sent(ctx, out.err)
	}
	if err == nil {
		err = set.Err()
	}
	return sent(ctx, enc.end(endOf(set.Warnings(), req.Query, set.Report(), err)))
}

// Select implements querytreepb.TreeServer.
func (s *treeService) Select(w *querytreepb.SelectRequest, stream grpc.ServerStreamingServer[querytreepb.SelectFrame]) error {
	ctx := stream.Context()
	req, err := selectFromWire(w)
	if err != nil {
		return toStatus(err)
	}
	set := s.child.Select(ctx, req)
	defer set.Close()
	if err := stream.Send(&querytreepb.SelectFrame{}); err != nil {
		return sent(ctx, err)
	}
	out := frameSender[querytreepb.SelectFrame]{stream: stream}
	enc := &selectEncoder{labelsOnly: req.LabelsOnly, send: out.send, pack: s.pack.accepting(w.GetAccept())}
	defer enc.pack.release()
	for err == nil && ctx.Err() == nil && set.Next() {
		err = enc.add(set.At())
	}
	if out.err != nil || ctx.Err() != nil {
		return sent(ctx, out.err)
	}
	if err == nil {
		err = set.Err()
	}
	return sent(ctx, enc.end(endOf(set.Warnings(), "", set.Report(), err)))
}

// frameSender remembers the error of the connection, to tell it from those of
// the answer.
type frameSender[F any] struct {
	stream grpc.ServerStreamingServer[F]
	err    error
}

// send encodes the frame, and keeps nothing of it: gRPC asks not to change a
// message that a stats handler or a tracer may still look at, but those of this
// program only count bytes.
func (s *frameSender[F]) send(f *F) error {
	s.err = s.stream.Send(f)
	return s.err
}

// Names implements querytreepb.TreeServer.
func (s *treeService) Names(w *querytreepb.NamesRequest, stream grpc.ServerStreamingServer[querytreepb.NamesFrame]) error {
	req, err := namesFromWire(w)
	if err != nil {
		return toStatus(err)
	}
	names, err := s.child.Names(stream.Context(), req)
	if err != nil {
		return toStatus(err)
	}
	f, size := &querytreepb.NamesFrame{}, 0
	for _, name := range names.Names {
		f.Names = append(f.Names, []byte(name))
		if size += len(name) + 4; size >= frameSize {
			if err := stream.Send(f); err != nil {
				return sent(stream.Context(), err)
			}
			f, size = &querytreepb.NamesFrame{}, 0
		}
	}
	if err := stream.Send(f); err != nil {
		return sent(stream.Context(), err)
	}
	return sent(stream.Context(), stream.Send(&querytreepb.NamesFrame{End: endOf(names.Warnings, "", names.Report, nil)}))
}

// Metadata implements querytreepb.TreeServer.
func (s *treeService) Metadata(w *querytreepb.MetadataRequest, stream grpc.ServerStreamingServer[querytreepb.MetadataFrame]) error {
	md, err := s.child.Metadata(stream.Context(), metadataFromWire(w))
	if err != nil {
		return toStatus(err)
	}
	f, size := &querytreepb.MetadataFrame{}, 0
	for metric, entries := range md.Families {
		family := &querytreepb.MetricFamily{Metric: []byte(metric)}
		f.Families = append(f.Families, family)
		size += len(metric) + 8
		for _, e := range entries {
			family.Entries = append(family.Entries, &querytreepb.MetadataEntry{Type: []byte(e.Type), Unit: []byte(e.Unit), Help: []byte(e.Help)})
			size += len(e.Type) + len(e.Unit) + len(e.Help) + 8
			if size < frameSize {
				continue
			}
			if err := stream.Send(f); err != nil {
				return sent(stream.Context(), err)
			}
			family = &querytreepb.MetricFamily{Metric: []byte(metric)}
			f, size = &querytreepb.MetadataFrame{Families: []*querytreepb.MetricFamily{family}}, 0
		}
	}
	if err := stream.Send(f); err != nil {
		return sent(stream.Context(), err)
	}
	return sent(stream.Context(), stream.Send(&querytreepb.MetadataFrame{End: endOf(md.Warnings, "", md.Report, nil)}))
}

// Exemplars implements querytreepb.TreeServer.
func (s *treeService) Exemplars(w *querytreepb.ExemplarsRequest, stream grpc.ServerStreamingServer[querytreepb.ExemplarsFrame]) error {
	req, err := exemplarsFromWire(w)
	if err != nil {
		return toStatus(err)
	}
	ex, err := s.child.Exemplars(stream.Context(), req)
	if err != nil {
		return toStatus(err)
	}
	f, size := &querytreepb.ExemplarsFrame{}, 0
	for _, r := range ex.Results {
		series := &querytreepb.SeriesExemplars{Labels: labelSetToWire(r.SeriesLabels)}
		f.Series = append(f.Series, series)
		size += 64
		for _, e := range r.Exemplars {
			series.Exemplars = append(series.Exemplars, exemplarToWire(e))
			if size += 192; size < frameSize {
				continue
			}
			if err := stream.Send(f); err != nil {
				return sent(stream.Context(), err)
			}
			series = &querytreepb.SeriesExemplars{Labels: labelSetToWire(r.SeriesLabels)}
			f, size = &querytreepb.ExemplarsFrame{Series: []*querytreepb.SeriesExemplars{series}}, 0
		}
	}
	if err := stream.Send(f); err != nil {
		return sent(stream.Context(), err)
	}
	return sent(stream.Context(), stream.Send(&querytreepb.ExemplarsFrame{End: endOf(ex.Warnings, "", ex.Report, nil)}))
}

func exemplarToWire(e exemplar.Exemplar) *querytreepb.Exemplar {
	return &querytreepb.Exemplar{Labels: labelSetToWire(e.Labels), Value: e.Value, Timestamp: e.Ts, HasTimestamp: e.HasTs}
}

// outOfTurn is what a peer gets that calls out of turn.
func outOfTurn(text string) error { return status.Error(codes.FailedPrecondition, text) }
