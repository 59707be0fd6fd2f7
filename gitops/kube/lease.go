package kube

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/pandometrics/pando/gitops"
)

// leadership is whether this process holds the lease. Who does not use Lead
// needs none.
type leadership struct {
	mu   sync.Mutex
	used bool
	held context.Context // ends with the lease; nil without one
}

// gain notes that the lease is held until a context ends.
func (l *leadership) gain(held context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.used, l.held = true, held
}

// lose notes that the lease is not held, or not yet.
func (l *leadership) lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.used, l.held = true, nil
}

// guard returns a context that ends when the lease is lost, or an error if there
// is none.
func (l *leadership) guard(ctx context.Context) (context.Context, context.CancelFunc, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.used && l.held == nil {
		return nil, nil, &gitops.UnavailableError{What: "write to the cluster", Err: errors.New("the lease is not held: the API server did not renew it")}
	}
	ctx, cancel := context.WithCancel(ctx)
	if !l.used {
		return ctx, cancel, nil
	}
	stop := context.AfterFunc(l.held, cancel)
	return ctx, func() { stop(); cancel() }, nil
}

// Lead has run go on while this process is the leader, until ctx ends or run
// returns. If the lease is lost because the API server is away, run goes on, but
// nothing can be delivered until the lease is back; it ends once another leads,
// and begins anew when this process leads again. The identity is unique among
// the candidates, such as the name of the pod.
func (d *Deliverer) Lead(ctx context.Context, identity string, run func(context.Context) error) error {
	d.lead.lose()
	lock, err := resourcelock.New(resourcelock.LeasesResourceLock, d.cfg.Namespace, d.cfg.lease(), d.api.typed.CoreV1(), d.api.typed.CoordinationV1(),
		resourcelock.ResourceLockConfig{Identity: identity})
	if err != nil {
		return fmt.Errorf("lease %s: %w", d.cfg.lease(), err)
	}
	electing, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	r := &runner{run: run, ended: make(chan error, 1)}
	go func() { // the lease is released only after what it guards has ended
		select {
		case <-ctx.Done():
			r.stop(true)
		case err := <-r.ended:
			r.result = err
		case <-electing.Done():
		}
		stop()
	}()
	for electing.Err() == nil {
		e, err := leaderelection.NewLeaderElector(d.election(lock, r, identity))
		if err != nil {
			return fmt.Errorf("lease %s: %w", d.cfg.lease(), err)
		}
		e.Run(electing)
	}
	r.stop(true)
	return r.result
}

// election configures one campaign.
func (d *Deliverer) election(lock resourcelock.Interface, r *runner, identity string) leaderelection.LeaderElectionConfig {
	return leaderelection.LeaderElectionConfig{
		// Renewing it is all that is written while nothing changes.
		Lock: lock, LeaseDuration: d.cfg.Lease, RenewDeadline: d.cfg.Lease * 2 / 3, RetryPeriod: d.cfg.Lease / 6,
		ReleaseOnCancel: true, Name: d.cfg.lease(),
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(held context.Context) {
				d.metrics.leader.Set(1)
				d.deps.Logger.Info("leading", "lease", d.cfg.lease(), "identity", identity)
				d.lead.gain(held)
				r.start()
			},
			OnStoppedLeading: func() {
				d.metrics.leader.Set(0)
				d.lead.lose()
			},
			OnNewLeader: func(leader string) {
				if leader != identity && leader != "" {
					d.deps.Logger.Info("another leads", "lease", d.cfg.lease(), "identity", leader)
					r.stop(false)
				}
			},
		},
	}
}

// runner runs something at most once at a time.
type runner struct {
	run    func(context.Context) error
	ended  chan error // run returned by itself
	result error

	mu     sync.Mutex
	closed bool // it must not start again
	cancel context.CancelFunc
	done   chan struct{}
}

func (r *runner) start() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cancel != nil || r.closed {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	r.cancel, r.done = cancel, done
	go func() {
		defer close(done)
		if err := r.run(ctx); ctx.Err() == nil {
			select {
			case r.ended <- err:
			default:
			}
		}
	}()
}

// stop ends run and waits for it.
func (r *runner) stop(forever bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = r.closed || forever
	if r.cancel == nil {
		return
	}
	r.cancel()
	<-r.done
	r.cancel = nil
}
