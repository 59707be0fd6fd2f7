package treehttp

import (
	"context"
	"net"
	"net/http"
)

// maxClientLength bounds the name of a client, which travels with each request.
const maxClientLength = 64

type clientKey struct{}

// WithClient names who sends a request, for who has checked that otherwise than by a
// password: by a certificate.
func WithClient(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, clientKey{}, name)
}

// ClientOf returns the name that WithClient gave, "" for none.
func ClientOf(ctx context.Context) string {
	name, _ := ctx.Value(clientKey{}).(string)
	return name
}

// client names who sent a request: who was named by WithClient, or the user, if
// passwords are checked before requests come here, else the address they came from. Headers that anyone can
// set, X-Forwarded-For among them, name nobody: whoever could choose a name for
// each request would never wait behind his own.
func (h *Handler) client(r *http.Request) string {
	name := "address " + r.RemoteAddr
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		name = "address " + host
	}
	if user, _, ok := r.BasicAuth(); ok && h.cfg.Authenticated {
		name = "user " + user
	}
	if known := ClientOf(r.Context()); known != "" {
		name = known
	}
	return name[:min(len(name), maxClientLength)]
}
