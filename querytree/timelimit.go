package querytree

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/prometheus/promql"
)

// timed returns a context that ends when a query has taken as long as the tier
// allows, or a client that asked for less. Its cause is a *LimitError then, in this
// tier and in all that work for the query below.
func (l Limits) timed(ctx context.Context, o Options, tier string) (context.Context, context.CancelFunc) {
	own := l.timeLimit(ctx, o, tier)
	return context.WithDeadlineCause(context.WithValue(ctx, timeLimitKey{}, own), own.end, own.limit)
}

// timeLimit returns that of a query which begins now.
func (l Limits) timeLimit(ctx context.Context, o Options, tier string) timeLimit {
	limit := &LimitError{What: "time of one query", Flag: flagTimeout, Limit: int64(l.Timeout), Value: int64(l.Timeout), Tier: tier}
	end := time.Now().Add(l.Timeout)
	// What a parent allows is its own limit, of which it tells.
	if asked, ok := ctx.Deadline(); ok && o.Budget == 0 && asked.Before(end) {
		given := int64(rounded(time.Until(asked)))
		limit.Flag, limit.Limit, limit.Value, end = paramTimeout, given, given, asked
	}
	return timeLimit{end, limit}
}

// rounded returns a time that is left without the little that has passed of it.
func rounded(left time.Duration) time.Duration {
	if left < 200*time.Millisecond {
		return max(left.Round(time.Millisecond), time.Millisecond)
	}
	return left.Round(10 * time.Millisecond)
}

// timeLimit is that of a query in its tier. It is also a value of the context:
// what several wait for has a context of its own, without the cause of theirs.
type timeLimit struct {
	end   time.Time
	limit *LimitError
}

type timeLimitKey struct{}

// limitOfTime returns the limit on time by which ctx ended; nil if it did not, or
// by something else.
func limitOfTime(ctx context.Context) *LimitError {
	var limit *LimitError
	if errors.As(context.Cause(ctx), &limit) {
		if !limit.ofTime() {
			return nil
		}
		return limit
	}
	own, _ := ctx.Value(timeLimitKey{}).(timeLimit)
	end, ends := ctx.Deadline()
	if own.limit == nil || ctx.Err() == nil || !ends || end.Before(own.end) || time.Now().Before(own.end) {
		return nil
	}
	return own.limit
}

// contextError says why the whole request ended: which limit, if it was one.
func contextError(ctx context.Context) error {
	var limit *LimitError
	switch {
	case errors.As(context.Cause(ctx), &limit):
		return limit
	case limitOfTime(ctx) != nil:
		return limitOfTime(ctx)
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
	if limit := limitOfTime(ctx); limit != nil {
		return limit
	}
	return err
}

// isTimeout reports whether err says that time is over.
func isTimeout(err error) bool {
	var timeout promql.ErrQueryTimeout
	return errors.As(err, &timeout) || errors.Is(err, context.DeadlineExceeded)
}
