package main

import (
	"sync/atomic"

	"github.com/pandometrics/pando/gitops/dirs"
)

// resident is a tier in the process of its control loop, which the loop tells to
// reload and asks what it has loaded. The loop may run before the tier does.
type resident struct {
	tier  atomic.Pointer[node]
	stuck atomic.Pointer[stuck]
}

// stuck says that the tier could not be opened with what was delivered.
type stuck struct {
	revision string
	cause    error
	read     func() (string, error) // the revision that is delivered
	moved    func()                 // called once another is
}

var _ dirs.Resident = (*resident)(nil)

// open lets the loop know the tier.
func (r *resident) open(n *node) { r.tier.Store(n) }

// notOpen says that the tier is not open yet.
type notOpen struct{}

// Error implements error.
func (notOpen) Error() string { return "it is not open yet" }

// Temporary says that it is about the moment.
func (notOpen) Temporary() bool { return true }

// Reload implements dirs.Resident.
func (r *resident) Reload() error {
	if n := r.tier.Load(); n != nil {
		return n.reload()
	}
	s := r.stuck.Load()
	if s == nil {
		return notOpen{}
	}
	if now, err := s.read(); err != nil || now == s.revision {
		return s.cause
	}
	s.moved()
	return notOpen{}
}

// Revision implements dirs.Resident.
func (r *resident) Revision() (string, error) {
	n := r.tier.Load()
	if n == nil || n.revision == nil {
		return "", notOpen{}
	}
	return n.revision(), nil
}
