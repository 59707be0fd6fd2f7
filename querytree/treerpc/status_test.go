package treerpc

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/pandometrics/pando/querytree"
)

// Errors keep their text and their kind on the way up, whether they come
// instead of an answer or within it.
func TestErrorsRoundTrip(t *testing.T) {
	limit := &querytree.LimitError{What: "series of one request", Flag: "query.max-series", Limit: 5, Value: 6, Tier: "zone=eu"}
	late := &querytree.LimitError{What: "time of one query", Flag: "query.timeout", Limit: 5e9, Value: 5e9, Tier: "zone=eu"}
	_, parseErr := parser.NewParser(parser.Options{}).ParseExpr("sum(")
	as := func(target any) func(error) bool {
		return func(err error) bool { return errors.As(err, target) }
	}
	is := func(target error) func(error) bool {
		return func(err error) bool { return errors.Is(err, target) }
	}
	for _, c := range []struct {
		err  error
		kind func(error) bool
	}{
		{errors.New("found duplicate series for the match group \xff"), func(error) bool { return true }},
		{context.Canceled, is(context.Canceled)},
		{fmt.Errorf("on leaf: %w", context.DeadlineExceeded), is(context.DeadlineExceeded)},
		{promql.ErrQueryTimeout("expression evaluation"), as(new(promql.ErrQueryTimeout))},
		{fmt.Errorf("on leaf: %w", promql.ErrQueryTimeout("expression evaluation")), is(promql.ErrQueryTimeout("expression evaluation"))},
		{promql.ErrQueryCanceled("queue"), as(new(promql.ErrQueryCanceled))},
		{promql.ErrTooManySamples("query execution"), func(err error) bool {
			return errors.As(err, new(promql.ErrTooManySamples)) && IsLimit(err)
		}},
		{promql.ErrStorage{Err: errors.New("disk on fire")}, as(new(promql.ErrStorage))},
		{parseErr, as(new(parser.ParseErrors))},
		{limit, func(err error) bool {
			var le *querytree.LimitError
			return errors.As(err, &le) && *le == *limit && IsLimit(err)
		}},
		{fmt.Errorf("on leaf: %w", limit), IsLimit},
		{late, func(err error) bool {
			var le *querytree.LimitError
			return errors.As(err, &le) && *le == *late && errors.As(err, new(promql.ErrQueryTimeout))
		}},
	} {
		within := false
		remote := linked(t, &fakeChild{
			exec: func(context.Context, querytree.ExecRequest) (querytree.ResultSet, error) {
				if within {
					return &fakeResult{err: c.err}, nil
				}
				return nil, c.err
			},
			names: func(context.Context, querytree.NamesRequest) (querytree.Names, error) {
				return querytree.Names{}, c.err
			},
		})
		_, err := remote.Exec(t.Context(), querytree.ExecRequest{})
		sameError(t, c.err, err, c.kind)
		_, err = remote.Names(t.Context(), querytree.NamesRequest{})
		sameError(t, c.err, err, c.kind)
		within = true
		set, err := remote.Exec(t.Context(), querytree.ExecRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if set.Next() {
			t.Error("series instead of an error")
		}
		sameError(t, c.err, set.Err(), c.kind)
		set.Close()
	}
}

func sameError(t *testing.T, want, got error, kind func(error) bool) {
	t.Helper()
	if got == nil || got.Error() != want.Error() || !kind(got) {
		t.Errorf("got %#v (%v), want %v", got, got, want)
	}
}

// What cannot be asked is refused as such, by either side.
func TestBadRequests(t *testing.T) {
	remote := linked(t, &fakeChild{})
	for _, r := range []querytree.ExecRequest{
		{Start: 5, End: 4, Step: 1}, {Start: 1, End: 2}, {Step: -1}, {Start: 0, End: 1 << 60, Step: 1}, {Lookback: -1},
	} {
		if _, err := remote.Exec(t.Context(), r); err == nil || errors.Is(err, errNotFaked) {
			t.Errorf("%+v: error %v", r, err)
		}
	}
	bad := &labels.Matcher{Type: labels.MatchRegexp, Name: "a", Value: "("}
	set := remote.Select(t.Context(), querytree.SelectRequest{Matchers: []*labels.Matcher{bad}})
	defer set.Close()
	if set.Next() || !errors.As(set.Err(), new(parser.ParseErrors)) {
		t.Error("bad regexp:", set.Err())
	}
}
