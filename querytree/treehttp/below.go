package treehttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	apiv1 "github.com/prometheus/prometheus/web/api/v1"

	"github.com/pandometrics/pando/querytree"
)

// belowPrefix is where the paths of members begin.
const belowPrefix = "/pando/api/v1/below"

// MemberHeader names the member whose answer it is.
const MemberHeader = "Pando-Member"

// belowWrite is how long a client may take to receive the answer of a member, which
// is held for it, and with it the slot of the relay.
const belowWrite = 30 * time.Second

// below serves what a member below answers to the path and the parameters that
// follow the prefix.
func (h *Handler) below(w http.ResponseWriter, r *http.Request) {
	if h.cfg.Below == nil {
		respondError(w, http.StatusNotFound, errNotFound, "this tier does not ask those below for their status")
		return
	}
	members := r.Form["member"]
	if len(members) != 1 || members[0] == "" {
		respondError(w, http.StatusBadRequest, errBadData, "parameter \"member\" must be given once: the name of a node of /pando/api/v1/tree")
		return
	}
	id, _ := r.Context().Value(idKey{}).(string)
	req := querytree.StatusRequest{
		// As it was sent: what is encoded in it is not one of the paths.
		Member: members[0], Path: strings.TrimPrefix(r.URL.EscapedPath(), belowPrefix), Query: withoutMember(r.URL.RawQuery),
		AcceptEncoding: r.Header.Get("Accept-Encoding"), ID: id,
	}
	written := false
	err := h.cfg.Below.Status(r.Context(), req, func(a querytree.StatusAnswer) error {
		written = true
		return writeMember(w, a, h.belowWrite)
	})
	if err != nil && !written {
		respondBelow(w, err)
	}
}

// withoutMember takes the member out of the parameters, and leaves the others as
// they are.
func withoutMember(query string) string {
	var out []string
	for p := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(p, "=")
		if name, err := url.QueryUnescape(name); p != "" && (err != nil || name != "member") {
			out = append(out, p)
		}
	}
	return strings.Join(out, "&")
}

// writeMember writes the answer of a member as it is. It is none of this tier's:
// browsers must not take it for anything but what it says it is.
func writeMember(w http.ResponseWriter, a querytree.StatusAnswer, within time.Duration) error {
	for _, header := range []struct{ name, value string }{
		{"Content-Type", a.ContentType},
		{"Content-Encoding", a.ContentEncoding},
		{"Content-Length", strconv.Itoa(len(a.Body))},
		{"Vary", "Accept-Encoding"},
		{"X-Content-Type-Options", "nosniff"},
		{MemberHeader, printable(a.Member)},
	} {
		if header.value != "" {
			w.Header().Set(header.name, header.value)
		}
	}
	// What cannot set deadlines has none, as in tests.
	out := http.NewResponseController(w)
	if out.SetWriteDeadline(time.Now().Add(within)) == nil {
		defer func() { _ = out.SetWriteDeadline(time.Time{}) }()
	}
	w.WriteHeader(a.Code)
	_, err := w.Write(a.Body)
	return err
}

// printable makes a header's value of a name, in which labels may have any bytes.
func printable(name string) string {
	var b strings.Builder
	for _, c := range []byte(name) {
		if c < ' ' || c > '~' || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// BelowFailure is the data of an answer that says why there is none of the member.
type BelowFailure struct {
	// Member is whom it is about: the one that was asked for, or one on the way. At
	// is the tier that says so.
	Member string `json:"member"`
	At     string `json:"at"`
	// Since is when a missing member was last there.
	Since time.Time `json:"since,omitzero"`
	// Near are names that look like that of an unknown member, Allowed the paths
	// that are passed on.
	Near    []string `json:"near,omitempty"`
	Allowed []string `json:"allowed,omitempty"`
}

// belowCode is the table from kinds of failure to status codes.
func belowCode(k querytree.StatusKind) int {
	switch k {
	case querytree.StatusBadRequest:
		return http.StatusBadRequest
	case querytree.StatusRefused:
		return http.StatusForbidden
	case querytree.StatusNotAllowed, querytree.StatusUnknownMember:
		return http.StatusNotFound
	case querytree.StatusTooOld:
		return http.StatusNotImplemented
	case querytree.StatusMissing, querytree.StatusBusy:
		return http.StatusServiceUnavailable
	case querytree.StatusSlow:
		return http.StatusGatewayTimeout
	default:
		return http.StatusBadGateway
	}
}

// respondBelow says why there is no answer of a member.
func respondBelow(w http.ResponseWriter, err error) {
	e, ok := errors.AsType[*querytree.StatusError](err)
	if errors.Is(err, context.Canceled) && !ok {
		respondErr(w, err)
		return
	}
	if !ok {
		e = &querytree.StatusError{Kind: querytree.StatusFailed, Text: err.Error()}
	}
	data := &BelowFailure{Member: e.Member, At: e.At, Since: tellable(e.Since), Near: e.Near}
	switch e.Kind {
	case querytree.StatusNotAllowed:
		data.Allowed = querytree.StatusPaths()
	case querytree.StatusBusy:
		w.Header().Set("Retry-After", "1")
	}
	writeJSON(w, belowCode(e.Kind), apiv1.Response{Status: "error", ErrorType: string(e.Kind), Error: e.Text, Data: data})
}
