package source

import (
	"errors"
	"fmt"
)

// ErrUnchanged says that the reference still names the revision that was seen.
var ErrUnchanged = errors.New("the reference names the revision that was seen already")

// Reason is why no revision was got: one word for metrics, and for the status.
type Reason string

// The reasons. Those up to ReasonNotFound are retried; the others need a new
// commit, or a change of the loop's configuration.
const (
	ReasonUnreachable Reason = "unreachable" // no answer, or half of one
	ReasonTimeout     Reason = "timeout"     // it took longer than Limits.Timeout
	ReasonServer      Reason = "server"      // the server failed
	ReasonNotFound    Reason = "not-found"   // no such repository or reference, now
	ReasonDenied      Reason = "denied"      // the credentials are refused
	ReasonCredentials Reason = "credentials" // a file of credentials or keys cannot be used
	ReasonRedirect    Reason = "redirect"    // the server points to another host
	ReasonProtocol    Reason = "protocol"    // the server speaks something else
	ReasonTooLarge    Reason = "too-large"   // a limit is exceeded
	ReasonCorrupt     Reason = "corrupt"     // objects are missing or broken
	ReasonUnsigned    Reason = "unsigned"    // no signature where one is asked for
	ReasonUntrusted   Reason = "untrusted"   // signed, but by none of the keys
	ReasonRewound     Reason = "rewound"     // does not descend from the last applied
	ReasonTree        Reason = "tree"        // a name or a kind of file that is refused
)

// Error is why no revision was got.
type Error struct {
	// Op is what was done, such as "fetch refs/heads/main".
	Op string
	// Reason is the kind of it.
	Reason Reason
	// Revision is the commit that it is about, "" if none was named yet.
	Revision string
	// Err says it in words. It holds no credentials.
	Err error
}

// Error implements error.
func (e *Error) Error() string {
	if e.Revision != "" {
		return fmt.Sprintf("%s: revision %s: %v", e.Op, short(e.Revision), e.Err)
	}
	return fmt.Sprintf("%s: %v", e.Op, e.Err)
}

// Unwrap returns the error that caused it.
func (e *Error) Unwrap() error { return e.Err }

// Stalled says that trying again changes nothing: somebody has to change the
// repository or the loop's configuration.
func (e *Error) Stalled() bool {
	switch e.Reason {
	case ReasonUnreachable, ReasonTimeout, ReasonServer, ReasonNotFound:
		return false
	}
	return true
}

// fail makes an Error without an Op, which the exported methods add.
func fail(r Reason, format string, args ...any) *Error {
	return &Error{Reason: r, Err: fmt.Errorf(format, args...)}
}

// asError makes an *Error of any error.
func asError(err error, op, revision string) error {
	if err == nil || errors.Is(err, ErrUnchanged) {
		return err
	}
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{Reason: ReasonUnreachable, Err: err}
	}
	out := *e
	out.Op = op
	if out.Revision == "" {
		out.Revision = revision
	}
	return &out
}

func short(hash string) string {
	if len(hash) > 12 {
		return hash[:12]
	}
	return hash
}
