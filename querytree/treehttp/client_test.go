package treehttp

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pandometrics/pando/querytree"
)

// A client is who it was shown to be, not who it says it is.
func TestClient(t *testing.T) {
	for _, c := range []struct {
		name          string
		authenticated bool
		remote, user  string
		headers       map[string]string
		known         string
		want          string
	}{
		{"an address", false, "192.0.2.7:4711", "", nil, "", "address 192.0.2.7"},
		{"an address of version 6", false, "[2001:db8::7]:4711", "", nil, "", "address 2001:db8::7"},
		{"a user", true, "192.0.2.7:4711", "alice", nil, "", "user alice"},
		{"a user whom nobody checked", false, "192.0.2.7:4711", "alice", nil, "", "address 192.0.2.7"},
		{"no user although they are checked", true, "192.0.2.7:4711", "", nil, "", "address 192.0.2.7"},
		{"headers that anyone can set", false, "192.0.2.7:4711", "", map[string]string{
			"X-Forwarded-For": "198.51.100.1", "X-Real-Ip": "198.51.100.1", "X-Scope-OrgID": "bob", "Forwarded": "for=198.51.100.1",
		}, "", "address 192.0.2.7"},
		{"who was shown to be somebody by other means", false, "192.0.2.7:4711", "alice", nil, "loop a", "loop a"},
		{"a long name", true, "192.0.2.7:4711", strings.Repeat("a", 100), nil, "", "user " + strings.Repeat("a", 59)},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &Handler{cfg: Config{Authenticated: c.authenticated, Defaults: querytree.Options{}}}
			h.tuning.Store(tuningOf(h.cfg))
			r := httptest.NewRequest("GET", "/api/v1/query", nil)
			r.RemoteAddr = c.remote
			if c.known != "" {
				r = r.WithContext(WithClient(r.Context(), c.known))
			}
			if c.user != "" {
				r.SetBasicAuth(c.user, "secret")
			}
			for name, value := range c.headers {
				r.Header.Set(name, value)
			}
			o, err := h.options(r)
			if err != nil {
				t.Fatal(err)
			}
			if o.Client != c.want {
				t.Errorf("want client %q, got %q", c.want, o.Client)
			}
		})
	}
}
