package querytree

import (
	"context"
	"fmt"
	"mime"
	"slices"
	"strings"
	"time"
)

// Features of status requests, as told in Description.Features.
const (
	// FeatureStatus: the child is a StatusReader.
	FeatureStatus = "status"
	// FeatureStatusRefused: the child passes status requests on, and refuses to
	// answer any itself.
	FeatureStatusRefused = "status-refused"
)

// StatusReader is a Child that passes status requests on to members below it, and
// answers those about itself. Only children with FeatureStatus are asked.
type StatusReader interface {
	// Status calls answer with what a member answers, at most once, and returns
	// its error: what the answer takes is held until answer returns. Otherwise an
	// error that is or wraps a *StatusError says why there is no answer; any other
	// means that the child failed. It is safe for concurrent use, and returns soon
	// after ctx ends.
	Status(ctx context.Context, req StatusRequest, answer func(StatusAnswer) error) error
}

// StatusRequest asks one member of the tree for its own answer to a GET request.
type StatusRequest struct {
	// Member is the Identity.Name of whom it is for.
	Member string
	// Path is one that StatusPath allows, Query what follows the question mark.
	Path, Query string
	// AcceptEncoding is the header of that name.
	AcceptEncoding string
	// ID names the request in the logs of every tier. May be empty.
	ID string
	// Budget is the time that there is for the answer, from when the request is
	// received. Zero means that of the tier.
	Budget time.Duration
	// Hold is told how many bytes more of the answer are to be held, before they
	// are; its error ends the request. It does not travel. May be nil.
	Hold func(bytes int) error
}

const (
	// MaxStatusRequest bounds the bytes of a request's texts together.
	MaxStatusRequest = 8 << 10
	// MaxStatusAnswer bounds the body of an answer.
	MaxStatusAnswer = 16 << 20
)

// Validate reports why a request may not be passed on, as a *StatusError.
func (r StatusRequest) Validate() error {
	switch n := len(r.Member) + len(r.Path) + len(r.Query) + len(r.AcceptEncoding) + len(r.ID); {
	case n > MaxStatusRequest:
		return &StatusError{Kind: StatusBadRequest, Member: cut(r.Member), Text: fmt.Sprintf("status request of %d bytes: at most %d are passed on, ask for less at a time", n, MaxStatusRequest)}
	case r.Member == "":
		return &StatusError{Kind: StatusBadRequest, Text: "status request without a member: name one as the tree does"}
	case !StatusPath(r.Path):
		return &StatusError{Kind: StatusNotAllowed, Member: r.Member, Text: fmt.Sprintf("path %q is not among those that are passed on: %s", cut(r.Path), strings.Join(StatusPaths(), ", "))}
	}
	return nil
}

// cut bounds what an error repeats of a request.
func cut(s string) string { return s[:min(len(s), 200)] }

// StatusAnswer is the answer of a member.
type StatusAnswer struct {
	// Member is who answered.
	Member string
	// Code is the HTTP status.
	Code int
	// ContentType and ContentEncoding are the headers of those names.
	ContentType, ContentEncoding string
	// Body is not changed by anyone.
	Body []byte
}

// Check reports why an answer is not passed on to users. It comes from afar, and
// is shown by the tier that was asked, to whom users show their passwords: it must
// not be a page.
func (a StatusAnswer) Check() error {
	media, _, err := mime.ParseMediaType(a.ContentType)
	switch {
	case a.Code < 200 || a.Code > 599:
		return fmt.Errorf("status code %d", a.Code)
	case len(a.Body) > MaxStatusAnswer:
		return fmt.Errorf("body of %d bytes, more than %d", len(a.Body), MaxStatusAnswer)
	case !slices.Contains([]string{"", "gzip", "deflate"}, a.ContentEncoding):
		return fmt.Errorf("content encoding %q", cut(a.ContentEncoding))
	case a.ContentType == "" && len(a.Body) == 0:
		return nil
	case err != nil || media != "application/json" && media != "text/plain" || strings.ContainsAny(a.ContentType, "\r\n"):
		return fmt.Errorf("content type %q", cut(a.ContentType))
	}
	return nil
}

// StatusKind says why there is no answer.
type StatusKind string

// Kinds of StatusError.
const (
	StatusBadRequest    StatusKind = "bad_data"
	StatusNotAllowed    StatusKind = "path_not_allowed"
	StatusUnknownMember StatusKind = "member_unknown"
	StatusMissing       StatusKind = "member_missing"
	StatusRefused       StatusKind = "member_refuses"
	StatusTooOld        StatusKind = "member_too_old"
	StatusTooLarge      StatusKind = "member_too_large"
	StatusSlow          StatusKind = "member_slow"
	StatusFailed        StatusKind = "member_failed"
	StatusBusy          StatusKind = "busy"
)

// Known reports whether the kind is one of those above.
func (k StatusKind) Known() bool {
	switch k {
	case StatusBadRequest, StatusNotAllowed, StatusUnknownMember, StatusMissing, StatusRefused, StatusTooOld, StatusTooLarge, StatusSlow, StatusFailed, StatusBusy:
		return true
	default:
		return false
	}
}

// StatusError says why a status request has no answer.
type StatusError struct {
	Kind StatusKind
	// Member is whom it is about: the one that was asked for, or one on the way
	// there. At is the tier that says so.
	Member, At string
	// Since is when a missing member was last there; zero if unknown.
	Since time.Time
	// Near are names that an unknown member's looks like.
	Near []string
	// Text says what is wrong and what to do.
	Text string
}

// Error implements error.
func (e *StatusError) Error() string { return e.Text }

// statusPaths are those that can be asked of a member: what is read only, cheap
// for the member, and what its own users get of it.
func statusPaths() []string {
	return []string{
		"/api/v1/alertmanagers",
		"/api/v1/alerts",
		"/api/v1/metadata",
		"/api/v1/rules",
		"/api/v1/scrape_pools",
		"/api/v1/status/buildinfo",
		"/api/v1/status/config",
		"/api/v1/status/flags",
		"/api/v1/status/runtimeinfo",
		"/api/v1/status/tsdb",
		"/api/v1/status/walreplay",
		"/api/v1/targets",
		"/api/v1/targets/metadata",
		"/api/v1/targets/relabel_steps",
		"/pando/api/v1/config",
		"/pando/api/v1/hints",
		"/pando/api/v1/queries",
		"/pando/api/v1/rollups",
		"/pando/api/v1/tree",
	}
}

// statusQueries precedes the id of a query.
const statusQueries = "/pando/api/v1/queries/"

// StatusPaths lists the paths that can be asked of a member.
func StatusPaths() []string { return append(statusPaths(), statusQueries+"<id>") }

// StatusPath reports whether a path can be asked of a member. It must be spelled
// as it is in the list: nothing is cleaned or decoded, so that no two tiers can take
// one path for two.
func StatusPath(path string) bool {
	if id, ok := strings.CutPrefix(path, statusQueries); ok {
		return id != "" && len(id) <= 64 && !strings.ContainsFunc(id, notOfID)
	}
	return slices.Contains(statusPaths(), path)
}

// notOfID reports whether a character cannot be in the id of a query.
func notOfID(c rune) bool {
	return !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '_')
}
