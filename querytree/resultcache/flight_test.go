package resultcache

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/promql"

	"github.com/pandometrics/pando/querytree"
)

// slow makes a tree answer after a while, or when it is told to end.
func (f *fakeTree) slow(d time.Duration) {
	f.before = func(ctx context.Context, _ querytree.ExecRequest, _ *querytree.Answer) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Equal requests at the same time are evaluated once; each caller owns its
// answer.
func TestSingleFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f := testCache(t, nil), newTree(t)
		f.slow(time.Second)
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				a, err := f.ask(t.Context(), c, minutes(995, 1000))
				if err != nil || len(a.Matrix) != 1 || a.Matrix[0].Floats[0].F != 995*60_000 || !a.Report.Cache.Shared {
					t.Errorf("%+v, %v", a, err)
					return
				}
				a.Matrix[0].Floats[0].F = float64(i)
				a.Report.Children["leaf"] = querytree.ChildReport{}
			})
		}
		wg.Wait()
		if got := f.took(); got != "995-1000" {
			t.Errorf("the tree was asked %q", got)
		}
		// One after the other is not at the same time.
		f.check(c, minutes(995, 1000), "miss", "995-1000")
	})
}

// Requests that may fail differently do not share.
func TestFlightsApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f := testCache(t, nil), newTree(t)
		f.slow(time.Second)
		var wg sync.WaitGroup
		for _, change := range []func(*querytree.ExecRequest){
			func(*querytree.ExecRequest) {}, func(r *querytree.ExecRequest) { r.Strict = true },
			func(r *querytree.ExecRequest) { r.MaxSeries = 5 }, func(r *querytree.ExecRequest) { r.MaxSamples = 50 },
			func(r *querytree.ExecRequest) { r.NoCache = true }, func(r *querytree.ExecRequest) { r.Detail = true },
		} {
			wg.Go(func() {
				req := minutes(995, 995)
				change(&req)
				if _, err := f.ask(t.Context(), c, req); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := len(f.asked); n != 6 {
			t.Errorf("%d evaluations", n)
		}
	})
}

// Whoever leaves does not take the evaluation along; the last one does.
func TestCancellation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f := testCache(t, nil), newTree(t)
		ended := make(chan error, 1)
		f.before = func(ctx context.Context, _ querytree.ExecRequest, _ *querytree.Answer) error {
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
			ended <- ctx.Err()
			return ctx.Err()
		}
		ask := func() (cancel func(), result chan error) {
			ctx, cancel := context.WithCancel(t.Context())
			result = make(chan error, 1)
			go func() {
				_, err := f.ask(ctx, c, minutes(995, 1000))
				result <- err
			}()
			synctest.Wait()
			return cancel, result
		}
		var canceled promql.ErrQueryCanceled
		leave, first := ask()
		_, second := ask()
		leave()
		if err := <-first; !errors.As(err, &canceled) {
			t.Errorf("who left got %v", err)
		}
		if err := <-second; err != nil || <-ended != nil {
			t.Errorf("who stayed got %v", err)
		}
		f.took()
		leave1, first := ask()
		leave2, second := ask()
		leave1()
		leave2()
		<-first
		<-second
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the evaluation for nobody ended with %v", err)
		}
		// And nobody joins what was given up.
		_, third := ask()
		if err := <-third; err != nil || f.took() != "995-1000 995-1000" {
			t.Errorf("afterwards: %v", err)
		}
	})
}

// An evaluation that several wait for is on no account of theirs, and has its own
// until it ends.
func TestSharedEvaluation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f := testCache(t, nil), newTree(t)
		type shared struct{}
		begun, ended := 0, 0
		ask := func(ctx context.Context) chan error {
			result := make(chan error, 1)
			go func() {
				_, err := c.Range(ctx, minutes(995, 1000), querytree.Evaluator{
					Expr: parse(t, "x"), Describe: func() querytree.Description { return f.desc },
					Share: func(ctx context.Context) (context.Context, func()) {
						begun++
						return context.WithValue(ctx, shared{}, true), func() { ended++ }
					},
					Eval: func(ctx context.Context, req querytree.ExecRequest) (querytree.Answer, error) {
						<-time.After(time.Second)
						if ctx.Value(shared{}) == nil || ended > 0 {
							t.Error("evaluated on the account of a request")
						}
						return f.eval(ctx, req)
					},
				})
				result <- err
			}()
			synctest.Wait()
			return result
		}
		first, leave := context.WithCancel(t.Context())
		ask(first)
		second := ask(t.Context())
		leave()
		if err := <-second; err != nil || begun != 1 || ended != 1 {
			t.Errorf("who stayed got %v; begun %d times, ended %d", err, begun, ended)
		}
	})
}

// A request with more time than the one it joined does not fail for the other's
// haste.
func TestHaste(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f := testCache(t, nil), newTree(t)
		f.slow(10 * time.Second)
		short, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		long, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var wg sync.WaitGroup
		var timeout promql.ErrQueryTimeout
		wg.Go(func() {
			if _, err := f.ask(short, c, minutes(995, 1000)); !errors.As(err, &timeout) && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("short: %v", err)
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if _, err := f.ask(long, c, minutes(995, 1000)); err != nil {
				t.Errorf("long: %v", err)
			}
		})
		wg.Wait()
	})
}

// The same, where the time is given by the parents' budgets.
func TestHastyBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f := testCache(t, nil), newTree(t)
		f.before = func(_ context.Context, req querytree.ExecRequest, a *querytree.Answer) error {
			if <-time.After(min(10*time.Second, req.Budget)); req.Budget < 10*time.Second {
				a.Report.Add("leaf", querytree.ChildReport{Failed: "late", Late: true})
			}
			return nil
		}
		var wg sync.WaitGroup
		for budget, partial := range map[time.Duration]bool{5 * time.Second: true, 20 * time.Second: false} {
			wg.Go(func() {
				if !partial { // It comes second.
					<-time.After(time.Second)
				}
				req := minutes(995, 1000)
				req.Budget = budget
				if a, err := f.ask(t.Context(), c, req); err != nil || a.Report.Partial() != partial {
					t.Errorf("with %s: %+v, %v", budget, a.Report, err)
				}
			})
		}
		wg.Wait()
	})
}
