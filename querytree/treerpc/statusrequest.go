package treerpc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/querytreepb"
)

// maxNear bounds the names that a failure suggests.
const maxNear = 5

var _ querytree.StatusReader = (*remoteChild)(nil)

// Status implements querytree.StatusReader.
func (c *remoteChild) Status(ctx context.Context, req querytree.StatusRequest, answer func(querytree.StatusAnswer) error) error {
	a, f, err := open(ctx, c, func(ctx context.Context, codec grpc.CallOption) (grpc.ServerStreamingClient[querytreepb.StatusFrame], error) {
		return c.tree.Status(ctx, statusToWire(req), codec)
	})
	if err != nil {
		if status.Code(err) == codes.Unimplemented {
			err = &querytree.StatusError{
				Kind: querytree.StatusTooOld, Member: c.name(),
				Text: fmt.Sprintf("%q does not pass status requests on: %v", c.name(), err),
			}
		}
		return err
	}
	defer a.cancel()
	in := statusReceiver{hold: req.Hold}
	for {
		if err := in.add(f); err != nil {
			return err
		}
		if in.wrong != nil {
			return a.malformed(in.wrong)
		}
		if f.GetEnd() != nil {
			break
		}
		if f, err = a.recv(); err != nil {
			return err
		}
	}
	if err := a.finish(); err != nil {
		return err
	}
	return answer(in.answer)
}

// statusReceiver puts an answer together.
type statusReceiver struct {
	hold   func(int) error
	answer querytree.StatusAnswer
	begun  bool
	size   int
	// wrong is what the frames have that no answer has.
	wrong error
}

// add takes a frame in. It returns the member's failure, or that of hold.
func (r *statusReceiver) add(f *querytreepb.StatusFrame) error {
	if w := f.GetFailure(); w != nil {
		return failureFromWire(w)
	}
	if w := f.GetEnd().GetError(); w != nil {
		return errorFromWire(w)
	}
	if h := f.GetHead(); h != nil {
		if r.begun || h.GetSize() > querytree.MaxStatusAnswer {
			r.wrong = fmt.Errorf("second head, or one that announces %d bytes, more than %d", h.GetSize(), querytree.MaxStatusAnswer)
			return nil
		}
		r.begun, r.size = true, int(h.GetSize())
		if r.hold != nil {
			if err := r.hold(r.size); err != nil {
				return err
			}
		}
		r.answer = querytree.StatusAnswer{
			Member: string(h.GetMember()), Code: int(h.GetCode()),
			ContentType: string(h.GetContentType()), ContentEncoding: string(h.GetContentEncoding()),
			Body: make([]byte, 0, r.size),
		}
	}
	if len(r.answer.Body)+len(f.GetBody()) > r.size {
		r.wrong = fmt.Errorf("more than the %d bytes announced", r.size)
		return nil
	}
	r.answer.Body = append(r.answer.Body, f.GetBody()...)
	if f.GetEnd() != nil && (!r.begun || len(r.answer.Body) < r.size) {
		r.wrong = fmt.Errorf("%d of %d bytes announced", len(r.answer.Body), r.size)
	}
	return nil
}

// Status implements querytreepb.TreeServer.
func (s *treeService) Status(w *querytreepb.StatusRequest, stream grpc.ServerStreamingServer[querytreepb.StatusFrame]) error {
	reader, ok := s.child.(querytree.StatusReader)
	if !ok {
		return status.Error(codes.Unimplemented, "status requests are not passed on here")
	}
	begun := false
	err := reader.Status(stream.Context(), statusFromWire(w), func(a querytree.StatusAnswer) error {
		begun = true
		return sendStatus(stream, a)
	})
	switch failure, known := errors.AsType[*querytree.StatusError](err); {
	case err == nil, begun:
		return sent(stream.Context(), err)
	case known:
		return sent(stream.Context(), stream.Send(&querytreepb.StatusFrame{Failure: failureToWire(failure), End: &querytreepb.End{}}))
	default:
		return toStatus(err)
	}
}

// sendStatus sends an answer in frames.
func sendStatus(stream grpc.ServerStreamingServer[querytreepb.StatusFrame], a querytree.StatusAnswer) error {
	f := &querytreepb.StatusFrame{Head: &querytreepb.StatusHead{
		Member: []byte(a.Member), Code: uint32(max(a.Code, 0)), ContentType: clip(a.ContentType), ContentEncoding: clip(a.ContentEncoding),
		Size: count(len(a.Body)),
	}}
	for rest := a.Body; ; f = new(querytreepb.StatusFrame) {
		n := min(len(rest), frameSize)
		if f.Body, rest = rest[:n], rest[n:]; len(rest) == 0 {
			f.End = &querytreepb.End{}
			return stream.Send(f)
		}
		if err := stream.Send(f); err != nil {
			return err
		}
	}
}

func statusToWire(r querytree.StatusRequest) *querytreepb.StatusRequest {
	return &querytreepb.StatusRequest{
		Member: []byte(r.Member), Path: []byte(r.Path), Query: []byte(r.Query),
		AcceptEncoding: []byte(r.AcceptEncoding), Id: []byte(r.ID), Budget: int64(r.Budget),
	}
}

func statusFromWire(w *querytreepb.StatusRequest) querytree.StatusRequest {
	return querytree.StatusRequest{
		Member: string(w.GetMember()), Path: string(w.GetPath()), Query: string(w.GetQuery()),
		AcceptEncoding: string(w.GetAcceptEncoding()), ID: string(w.GetId()), Budget: max(time.Duration(w.GetBudget()), 0),
	}
}

func failureToWire(e *querytree.StatusError) *querytreepb.StatusFailure {
	w := &querytreepb.StatusFailure{
		Kind: utf8(string(e.Kind)), Member: clip(e.Member), At: clip(e.At), Near: toBytes(e.Near[:min(len(e.Near), maxNear)]), Text: clip(e.Text),
	}
	if !e.Since.IsZero() {
		w.Since = e.Since.UnixMilli()
	}
	return w
}

// failureFromWire returns the failure as one of those that are known here: what
// only later versions know is a failure all the same.
func failureFromWire(w *querytreepb.StatusFailure) *querytree.StatusError {
	e := &querytree.StatusError{
		Kind: querytree.StatusKind(w.GetKind()), Member: string(clip(string(w.GetMember()))), At: string(clip(string(w.GetAt()))),
		Text: string(clip(string(w.GetText()))),
	}
	for _, name := range w.GetNear()[:min(len(w.GetNear()), maxNear)] {
		e.Near = append(e.Near, string(clip(string(name))))
	}
	if !e.Kind.Known() {
		e.Kind = querytree.StatusFailed
	}
	if w.GetSince() != 0 {
		e.Since = time.UnixMilli(w.GetSince())
	}
	return e
}
