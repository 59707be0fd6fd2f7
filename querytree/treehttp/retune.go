package treehttp

import (
	"errors"
	"net/http"
	"time"

	"github.com/prometheus/prometheus/util/httputil"

	"github.com/pandometrics/pando/querytree"
)

// Tuning is what may change of a Config while the tier answers: its fields of the
// same names.
type Tuning struct {
	Limits            querytree.Limits
	Defaults          querytree.Options
	Lookback          time.Duration
	ExplainSlowerThan time.Duration
	// Flags must not be changed any more.
	Flags map[string]string
}

// tuningOf returns what a Config says of it.
func tuningOf(c Config) *Tuning {
	return &Tuning{Limits: c.Limits, Defaults: c.Defaults, Lookback: c.Lookback, ExplainSlowerThan: c.ExplainSlowerThan, Flags: c.Flags}
}

// Retune changes the tuning of requests that come from now on. It is safe for
// concurrent use.
func (h *Handler) Retune(t Tuning) error {
	switch {
	case t.Lookback <= 0:
		return errors.New("--query.lookback-delta must be greater than zero")
	case t.ExplainSlowerThan < 0:
		return errors.New("--query.explain-slower-than must not be negative")
	}
	if err := t.Limits.Validate(); err != nil {
		return err
	}
	if t.Flags == nil {
		t.Flags = map[string]string{}
	}
	h.tuning.Store(&t)
	return nil
}

// flags shows the flags as they are in effect.
func (h *Handler) flags(w http.ResponseWriter, r *http.Request) {
	httputil.SetCORS(w, h.cfg.CORSOrigin, r)
	respond(w, h.tuning.Load().Flags, nil)
}

// limits returns those of the moment.
func (h *Handler) limits() querytree.Limits { return h.tuning.Load().Limits }
