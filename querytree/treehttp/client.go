package treehttp

import (
	"net"
	"net/http"
)

// maxClientLength bounds the name of a client, which travels with each request.
const maxClientLength = 64

// client names who sent a request: the user, if passwords are checked before
// requests come here, else the address they came from. Headers that anyone can
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
	return name[:min(len(name), maxClientLength)]
}
