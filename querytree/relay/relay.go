package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pandometrics/pando/querytree"
)

// Config is what a Relay is made of.
type Config struct {
	// Describe returns the tier's own description. It must be cheap.
	Describe func() querytree.Description
	// Members returns a snapshot of the children, Nodes what is known of each
	// besides, as for a querytree.MixerConfig. A leaf has neither; Nodes may be nil
	// in any case.
	Members func() []querytree.Member
	Nodes   func() []querytree.Node
	// Refuse keeps the tier's own status from those above it. What is below it is
	// reached all the same: it answers for itself.
	Refuse bool
	// Timeout is the time for an answer. Zero means 10 s.
	Timeout time.Duration
	// MaxPassed bounds the requests that are passed on at a time, MaxServed those
	// that the tier answers itself, MaxHeld the bytes of all answers held. Zero
	// means 16, 4 and 64 MiB.
	MaxPassed, MaxServed int
	MaxHeld              int64
	// Logger and Registerer may be nil.
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Validate reports what is missing or out of range.
func (c Config) Validate() error {
	switch {
	case c.Describe == nil:
		return errors.New("relay: describe is required")
	case c.Timeout < 0 || c.MaxPassed < 0 || c.MaxServed < 0 || c.MaxHeld < 0:
		return errors.New("relay: bounds must not be negative; use zero for the defaults")
	}
	return nil
}

func (c Config) withDefaults() Config {
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	if c.MaxPassed == 0 {
		c.MaxPassed = 16
	}
	if c.MaxServed == 0 {
		c.MaxServed = 4
	}
	if c.MaxHeld == 0 {
		c.MaxHeld = 4 * querytree.MaxStatusAnswer
	}
	if c.Members == nil {
		c.Members = func() []querytree.Member { return nil }
	}
	if c.Nodes == nil {
		c.Nodes = func() []querytree.Node { return nil }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Relay passes status requests on, and answers those about its own tier. It is safe
// for concurrent use.
type Relay struct {
	cfg     Config
	metrics *metrics
	passed  chan struct{}
	served  chan struct{}
	held    atomic.Int64
	handler atomic.Pointer[http.Handler]
}

var _ querytree.StatusReader = (*Relay)(nil)

// New returns a Relay, and registers its metrics.
func New(cfg Config) (*Relay, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		return nil, err
	}
	return &Relay{
		cfg: cfg, metrics: m, passed: make(chan struct{}, cfg.MaxPassed), served: make(chan struct{}, cfg.MaxServed),
	}, nil
}

// Serve makes h what the tier answers itself. Until then it says that it is
// starting.
func (r *Relay) Serve(h http.Handler) { r.handler.Store(&h) }

// Child returns a child of the same tier that parents may send status requests to.
func (r *Relay) Child(c querytree.Child) querytree.Child { return child{c, r} }

// child is a Child and a StatusReader.
type child struct {
	querytree.Child
	relay *Relay
}

// Describe implements querytree.Child.
func (c child) Describe() querytree.Description {
	d := c.Child.Describe()
	d.Features = slices.Concat(d.Features, []string{querytree.FeatureStatus})
	if c.relay.cfg.Refuse {
		d.Features = append(d.Features, querytree.FeatureStatusRefused)
	}
	return d
}

// Status implements querytree.StatusReader, for parents.
func (c child) Status(ctx context.Context, req querytree.StatusRequest, answer func(querytree.StatusAnswer) error) error {
	return c.relay.status(ctx, req, c.relay.cfg.Refuse, answer)
}

// Status implements querytree.StatusReader, for the users of this tier.
func (r *Relay) Status(ctx context.Context, req querytree.StatusRequest, answer func(querytree.StatusAnswer) error) error {
	return r.status(ctx, req, false, answer)
}

// status answers a request or passes it on.
func (r *Relay) status(ctx context.Context, req querytree.StatusRequest, refuse bool, answer func(querytree.StatusAnswer) error) (err error) {
	self := r.cfg.Describe().Name()
	role, do := rolePassed, r.pass
	if req.Member == self {
		role, do = roleServed, r.serve
	}
	defer r.observe(req, role, time.Now(), &err)
	if err := req.Validate(); err != nil {
		return r.signed(err, self)
	}
	if role == roleServed && refuse {
		return &querytree.StatusError{
			Kind: querytree.StatusRefused, Member: self, At: self,
			Text: fmt.Sprintf("%q does not tell tiers above of its status: it was started with --no-web.status-to-parents", self),
		}
	}
	budget := r.cfg.Timeout
	if req.Budget > 0 {
		budget = min(budget, req.Budget)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, budget, errSlow)
	defer cancel()
	h := hold{relay: r}
	defer h.release()
	req.Budget, req.Hold = budget*9/10, h.take
	return r.signed(do(ctx, req, self, answer), self)
}

// errSlow is the cause of a request's end if its time is over.
var errSlow = errors.New("time is over")

// signed notes who says why there is no answer.
func (r *Relay) signed(err error, self string) error {
	if e, ok := errors.AsType[*querytree.StatusError](err); ok && e.At == "" {
		e.At = self
	}
	return err
}

// hold counts the bytes of one request's answer. It is used by one goroutine at a
// time.
type hold struct {
	relay *Relay
	bytes int64
}

// take holds some more bytes, or reports that the tier holds too many.
func (h *hold) take(n int) error {
	if h.relay.held.Add(int64(n)) > h.relay.cfg.MaxHeld {
		h.relay.held.Add(-int64(n))
		return &querytree.StatusError{Kind: querytree.StatusBusy, Text: fmt.Sprintf("answers to status requests take %d bytes here, of which there may be no more: try again", h.relay.cfg.MaxHeld)}
	}
	h.bytes += int64(n)
	return nil
}

func (h *hold) release() {
	h.relay.held.Add(-h.bytes)
	h.bytes = 0
}

// observe counts and logs a request that has ended.
func (r *Relay) observe(req querytree.StatusRequest, role string, start time.Time, err *error) {
	took, outcome := time.Since(start), "answered"
	failure, known := errors.AsType[*querytree.StatusError](*err)
	switch {
	case known:
		outcome = string(failure.Kind)
	case errors.Is(*err, context.Canceled):
		outcome = "canceled"
	case *err != nil:
		outcome = "broken"
	}
	r.metrics.requests.WithLabelValues(role, outcome).Inc()
	r.metrics.duration.WithLabelValues(role).Observe(took.Seconds())
	r.cfg.Logger.Debug("status request", "role", role, "member", req.Member, "path", req.Path, "id", req.ID, "outcome", outcome, "duration", took, "err", *err)
}
