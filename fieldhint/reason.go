package fieldhint

import "errors"

// Reason is why a child's hint is not in use. The child is asked then.
type Reason string

// The reasons.
const (
	// ReasonDisconnected: there is no stream of the child.
	ReasonDisconnected Reason = "disconnected"
	// ReasonNeverSynced: nothing has come of the stream yet, or not all of it.
	ReasonNeverSynced Reason = "never-synced"
	// ReasonIncomplete: the child says that it does not know all that it holds.
	ReasonIncomplete Reason = "incomplete"
	// ReasonWaiting: others send their snapshots first.
	ReasonWaiting Reason = "waiting"
	// ReasonLate: the last frame is older than IndexConfig.MaxAge.
	ReasonLate Reason = "late"
	// ReasonTooLarge: the hint is beyond what an index keeps of one child.
	ReasonTooLarge Reason = "too-large"
	// ReasonForeignVersion: the frames are in the format of another release.
	ReasonForeignVersion Reason = "foreign-version"
	// ReasonTruncated, ReasonChecksum, ReasonMalformed: a frame was cut short,
	// damaged, or cannot be read though it is as it was sent; ReasonOutOfOrder: it
	// does not follow the one before. The stream begins anew with a snapshot.
	ReasonTruncated  Reason = "truncated"
	ReasonChecksum   Reason = "checksum"
	ReasonMalformed  Reason = "malformed"
	ReasonOutOfOrder Reason = "out-of-order"
)

// Reasons returns all reasons.
func Reasons() []Reason {
	return []Reason{
		ReasonDisconnected, ReasonNeverSynced, ReasonIncomplete, ReasonWaiting, ReasonLate, ReasonTooLarge,
		ReasonForeignVersion, ReasonTruncated, ReasonChecksum, ReasonMalformed, ReasonOutOfOrder,
	}
}

// unused says why a hint is not in use: for programs, and for people.
type unused struct {
	reason Reason
	text   string
}

// faultOf is what an error of a frame says of the hint; zero if that is nothing,
// since the feed had ended before.
func faultOf(err error) unused {
	text := err.Error()
	switch {
	case errors.Is(err, ErrClosed):
		return unused{}
	case errors.Is(err, errTruncated):
		return unused{ReasonTruncated, text}
	case errors.Is(err, errChecksum):
		return unused{ReasonChecksum, text}
	case errors.Is(err, ErrGap), errors.Is(err, ErrEpoch):
		return unused{ReasonOutOfOrder, text}
	default:
		return unused{ReasonMalformed, text}
	}
}

// why returns why the hint is not in use; zero if it is. c.mu must be held.
func (c *child) why(usable bool) unused {
	switch {
	case usable:
		return unused{}
	case c.feed == nil && c.fault.reason != "":
		return c.fault // the child is about to begin anew
	case c.feed == nil:
		return unused{ReasonDisconnected, "not connected"}
	case c.unused.reason == ReasonNeverSynced && c.fault.reason != "":
		return c.fault
	case c.unused.reason != "":
		return c.unused
	default:
		return unused{ReasonLate, "the last frame is too old"}
	}
}
