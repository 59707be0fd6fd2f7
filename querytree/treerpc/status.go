package treerpc

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/querytreepb"
)

// ErrDisconnected is wrapped by the errors of requests that failed with their
// connection: there is no answer, and the child may be gone.
var ErrDisconnected = fmt.Errorf("%w: not connected", querytree.ErrUnavailable)

// errBadData marks requests that cannot be answered as they stand, besides
// those that do not parse.
var errBadData = errors.New("bad request")

// IsLimit reports whether err says, here or at any tier below, that a limit
// was exceeded.
func IsLimit(err error) bool {
	var samples promql.ErrTooManySamples
	return querytree.IsLimit(err) || errors.As(err, &samples) || status.Code(err) == codes.ResourceExhausted
}

// remoteError is an error of a child: its whole text, and an error of the same
// kind as the one that the text came from.
type remoteError struct {
	text  string
	cause error
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.cause }

// kinds is the table of errors that keep their kind between tiers, the first
// that fits being the one.
var kinds = []struct {
	kind querytreepb.Error_Kind
	code codes.Code
	// cause returns the text of the error of this kind that err is or wraps.
	cause func(err error) (string, bool)
	// rebuild returns an error of this kind.
	rebuild func(cause string) error
}{
	{
		querytreepb.Error_QUERY_TIMEOUT, codes.DeadlineExceeded,
		func(err error) (string, bool) {
			e, ok := errors.AsType[promql.ErrQueryTimeout](err)
			return string(e), ok
		},
		func(cause string) error { return promql.ErrQueryTimeout(cause) },
	},
	{
		querytreepb.Error_QUERY_CANCELED, codes.Canceled,
		func(err error) (string, bool) {
			e, ok := errors.AsType[promql.ErrQueryCanceled](err)
			return string(e), ok
		},
		func(cause string) error { return promql.ErrQueryCanceled(cause) },
	},
	{
		querytreepb.Error_TOO_MANY_SAMPLES, codes.ResourceExhausted,
		func(err error) (string, bool) {
			e, ok := errors.AsType[promql.ErrTooManySamples](err)
			return string(e), ok
		},
		func(cause string) error { return promql.ErrTooManySamples(cause) },
	},
	{
		querytreepb.Error_UNAVAILABLE, codes.Unknown, is(querytree.ErrUnavailable),
		func(string) error { return querytree.ErrUnavailable },
	},
	{querytreepb.Error_CANCELED, codes.Canceled, is(context.Canceled), always(context.Canceled)},
	{querytreepb.Error_DEADLINE_EXCEEDED, codes.DeadlineExceeded, is(context.DeadlineExceeded), always(context.DeadlineExceeded)},
	{
		querytreepb.Error_BAD_DATA, codes.InvalidArgument, badData,
		func(cause string) error {
			return parser.ParseErrors{{Err: errors.New(cause)}}
		},
	},
	{
		querytreepb.Error_STORAGE, codes.Unknown,
		func(err error) (string, bool) {
			e, ok := errors.AsType[promql.ErrStorage](err)
			if !ok || e.Err == nil {
				return "", ok
			}
			return e.Err.Error(), true
		},
		func(cause string) error { return promql.ErrStorage{Err: errors.New(cause)} },
	},
}

func is(target error) func(error) (string, bool) {
	return func(err error) (string, bool) { return target.Error(), errors.Is(err, target) }
}

func always(err error) func(string) error {
	return func(string) error { return err }
}

func badData(err error) (string, bool) {
	var one *parser.ParseErr
	var all parser.ParseErrors
	return err.Error(), errors.Is(err, errBadData) || errors.As(err, &one) || errors.As(err, &all)
}

// errorToWire puts an error into the form in which it travels.
func errorToWire(err error) (*querytreepb.Error, codes.Code) {
	w := &querytreepb.Error{Text: clip(err.Error())}
	if le, ok := errors.AsType[*querytree.LimitError](err); ok {
		w.Kind = querytreepb.Error_LIMIT
		code := codes.ResourceExhausted
		if timeout, ok := errors.AsType[promql.ErrQueryTimeout](le); ok {
			// A tier that is older knows it as what it is for its query: too late.
			w.Kind, w.Cause, code = querytreepb.Error_QUERY_TIMEOUT, clip(string(timeout)), codes.DeadlineExceeded
		}
		w.Limit = &querytreepb.Limit{
			What: clip(le.What), Flag: clip(le.Flag), Limit: le.Limit, Value: le.Value, Tier: clip(le.Tier),
		}
		return w, code
	}
	for _, k := range kinds {
		if cause, ok := k.cause(err); ok {
			w.Kind, w.Cause = k.kind, clip(cause)
			return w, k.code
		}
	}
	return w, codes.Unknown
}

// errorFromWire is the inverse of errorToWire.
func errorFromWire(w *querytreepb.Error) error {
	e := &remoteError{text: string(w.GetText())}
	if limit := limitFromWire(w); limit != nil {
		e.cause = limit
	}
	for _, k := range kinds {
		if e.cause == nil && k.kind == w.GetKind() {
			e.cause = k.rebuild(string(w.GetCause()))
		}
	}
	if e.cause != nil && e.cause.Error() == e.text {
		return e.cause
	}
	return e
}

// limitFromWire returns the limit that an error is, or nil.
func limitFromWire(w *querytreepb.Error) *querytree.LimitError {
	l := w.GetLimit()
	if l == nil {
		return nil
	}
	e := &querytree.LimitError{
		What: string(l.GetWhat()), Flag: string(l.GetFlag()), Limit: l.GetLimit(), Value: l.GetValue(), Tier: string(l.GetTier()),
	}
	late := errors.As(e, new(promql.ErrQueryTimeout))
	if kind := w.GetKind(); kind == querytreepb.Error_LIMIT || late && kind == querytreepb.Error_QUERY_TIMEOUT {
		return e
	}
	return nil
}

// toStatus turns the error of a request without an answer into what the
// handler returns.
func toStatus(err error) error {
	w, code := errorToWire(err)
	st, detailErr := status.New(code, "").WithDetails(w)
	if detailErr != nil {
		return status.Error(code, err.Error())
	}
	return st.Err()
}

// fromStatus turns the error of a call to peer back into that of the child, or
// into one that says what became of the call. ctx is the caller's.
func fromStatus(ctx context.Context, err error, peer string) error {
	if ctx.Err() != nil {
		return fmt.Errorf("child %q: %w", peer, endOfContext(ctx))
	}
	st, _ := status.FromError(err)
	for _, detail := range st.Details() {
		if w, ok := detail.(*querytreepb.Error); ok {
			return errorFromWire(w)
		}
	}
	switch st.Code() {
	case codes.Unavailable, codes.Canceled:
		return fmt.Errorf("child %q: %w: %s", peer, ErrDisconnected, st.Message())
	case codes.DeadlineExceeded:
		return fmt.Errorf("child %q: %w", peer, context.DeadlineExceeded)
	default:
		return fmt.Errorf("child %q: %w: %w", peer, querytree.ErrUnavailable, err)
	}
}

// endOfContext is why ctx ended: its error, and its cause if that says more.
func endOfContext(ctx context.Context) error {
	if cause := context.Cause(ctx); !errors.Is(cause, ctx.Err()) {
		return fmt.Errorf("%w: %w", ctx.Err(), cause)
	}
	return ctx.Err()
}
