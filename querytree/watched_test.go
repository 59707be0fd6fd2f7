package querytree

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A child that says by its own clock that its time is over, a moment before it is
// by its parent's, is late like any other. One that says so much sooner is not.
func TestChildIsLateByItsOwnClock(t *testing.T) {
	for sooner, late := range map[time.Duration]bool{time.Millisecond: true, time.Second: false} {
		synctest.Test(t, func(t *testing.T) {
			_, err := watched(t.Context(), 10*time.Second, func(context.Context) (int, error) {
				<-time.After(10*time.Second - sooner)
				return 0, context.DeadlineExceeded
			})
			if errors.Is(err, ErrLate) != late || err == nil {
				t.Errorf("%v sooner: %v", sooner, err)
			}
		})
	}
}
