package querytree

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/prometheus/promql"
)

// timed returns a context that ends when a query has taken as long as the tier
// allows. Its cause is a *LimitError then, in this tier and in all that work for
// the query below.
func (l Limits) timed(ctx context.Context, tier string) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, l.Timeout, &LimitError{
		What: "time of one query", Flag: flagTimeout, Limit: int64(l.Timeout), Value: int64(l.Timeout), Tier: tier,
	})
}

// contextError says why the whole request ended: which limit, if it was one.
func contextError(ctx context.Context) error {
	var limit *LimitError
	switch {
	case errors.As(context.Cause(ctx), &limit):
		return limit
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return promql.ErrQueryTimeout("query execution")
	}
	return promql.ErrQueryCanceled("query execution")
}

// ofTime returns err, or if that says no more than that the time is over and the
// tier's limit is why, that limit. The engine and what else runs on a timer of
// its own may notice a moment before ctx does.
func ofTime(ctx context.Context, err error) error {
	if err == nil || IsLimit(err) || !isTimeout(err) {
		return err
	}
	if end, ok := ctx.Deadline(); ok && time.Until(end) < clockDifference {
		<-ctx.Done()
	}
	var limit *LimitError
	if errors.As(context.Cause(ctx), &limit) && limit.Flag == flagTimeout {
		return limit
	}
	return err
}

// isTimeout reports whether err says that time is over.
func isTimeout(err error) bool {
	var timeout promql.ErrQueryTimeout
	return errors.As(err, &timeout) || errors.Is(err, context.DeadlineExceeded)
}
