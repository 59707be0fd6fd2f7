package gitops

import "errors"

// UnavailableError says that what stands between the loop and the workload is
// away, or does not let the loop do its work. That says nothing of a revision,
// so that none is given up for it: the loop tries again.
type UnavailableError struct {
	// What is not available, and what was to be done with it.
	What string
	Err  error
}

// Error implements error.
func (e *UnavailableError) Error() string { return e.What + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *UnavailableError) Unwrap() error { return e.Err }

// unavailable tells whether an error says nothing of the revision.
func unavailable(err error) bool {
	var e *UnavailableError
	return errors.As(err, &e)
}

// ProgressError says that the workload is on its way to what was delivered, as
// one that rolls its instances: that says nothing of the revision yet. The loop
// waits for Config.ProgressTimeout before it counts against it.
type ProgressError struct {
	// What is on its way, and how far it is.
	What string
	// Obstacle is what somebody has to remove, "" for nothing: the workload may get
	// there by itself, but a newer revision does not wait for that.
	Obstacle string
}

// Error implements error.
func (e *ProgressError) Error() string {
	if e.Obstacle == "" {
		return e.What
	}
	return e.What + "; " + e.Obstacle
}

// progressing tells whether the workload is on its way.
func progressing(err error) bool {
	var e *ProgressError
	return errors.As(err, &e)
}

// obstructed tells whether something stands in the way that a newer revision may
// remove.
func obstructed(err error) bool {
	var e *ProgressError
	return unavailable(err) || errors.As(err, &e) && e.Obstacle != ""
}

// UnwrittenError says that a delivery has not changed anything that the workload may
// read, so that the workload has not begun with it.
type UnwrittenError struct{ Err error }

// Error implements error.
func (e *UnwrittenError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *UnwrittenError) Unwrap() error { return e.Err }

// unwritten tells whether an error left the workload as it was.
func unwritten(err error) bool {
	var e *UnwrittenError
	return errors.As(err, &e)
}

// MixedError says that parts of the workload have loaded different bundles, or that
// not all could be asked.
type MixedError struct {
	Err error
	// Hashes are what those that could be asked have loaded, each once; "" is nothing.
	Hashes []string
}

// Error implements error.
func (e *MixedError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *MixedError) Unwrap() error { return e.Err }

// mixed returns what parts of the workload have loaded, nil if that is not known.
func mixed(err error) []string {
	var e *MixedError
	if !errors.As(err, &e) {
		return nil
	}
	return e.Hashes
}
