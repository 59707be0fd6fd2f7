package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/alecthomas/kingpin/v2"

	"github.com/pandometrics/pando/gitops/rollouts"
	"github.com/pandometrics/pando/querytree"
)

// rolloutsOf are the flags of a root that is started with arguments.
func rolloutsOf(t *testing.T, args ...string) *rolloutFlags {
	t.Helper()
	app, f := kingpin.New("pando", ""), &rolloutFlags{}
	f.register(app.Command("root", ""))
	if _, err := app.Parse(append([]string{"root"}, args...)); err != nil {
		t.Fatal(err)
	}
	return f
}

// Who may query the root may not command all clusters, but for those who are named.
func TestWhoCommandsAtTheRoot(t *testing.T) {
	for name, c := range map[string]struct {
		args          []string
		dev           bool
		authenticated bool
		user, from    string
		may           bool
		why           string
	}{
		"off, a user":              {nil, false, true, "ada", "10.0.0.1:5", false, "--rollouts.commands"},
		"off, this machine":        {nil, false, false, "", "127.0.0.1:5", false, "--rollouts.commands"},
		"named":                    {[]string{"--rollouts.commands=bob", "--rollouts.commands=ada"}, false, true, "ada", "10.0.0.1:5", true, ""},
		"another":                  {[]string{"--rollouts.commands=bob"}, false, true, "ada", "10.0.0.1:5", false, "--rollouts.commands"},
		"another, of this machine": {[]string{"--rollouts.commands=bob"}, false, true, "ada", "127.0.0.1:5", false, "--rollouts.commands"},
		"all users":                {[]string{"--rollouts.commands=*"}, false, true, "ada", "10.0.0.1:5", true, ""},
		"all users, none":          {[]string{"--rollouts.commands=*"}, false, true, "", "10.0.0.1:5", false, "--rollouts.commands"},
		"dev, this machine":        {nil, true, false, "", "127.0.0.1:5", true, ""},
		"dev, another machine":     {nil, true, false, "", "10.0.0.1:5", false, "this machine"},
	} {
		f := &rolloutFlags{}
		if !c.dev {
			f = rolloutsOf(t, c.args...)
		}
		h, err := f.mount(http.NotFoundHandler(), querytree.TierRoot, liveDelivery{}, c.authenticated)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		q := httptest.NewRequest("POST", "http://localhost"+rollouts.Path+"/pause", strings.NewReader("{}"))
		q.Header.Set("Content-Type", "application/json")
		if q.RemoteAddr = c.from; c.user != "" {
			q.SetBasicAuth(c.user, "secret")
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, q)
		// There are no loops: who may command is told that.
		if may := w.Code == http.StatusUnprocessableEntity; may != c.may || !may && w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), c.why) {
			t.Errorf("%s: status %d: %s", name, w.Code, w.Body)
		}
	}
	for says, f := range map[string]*rolloutFlags{"basic_auth_users": rolloutsOf(t, "--rollouts.commands=*"), "must name a user": rolloutsOf(t, "--rollouts.commands=")} {
		if _, err := f.mount(http.NotFoundHandler(), querytree.TierRoot, liveDelivery{}, false); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v, want that it says %s", err, says)
		}
	}
}
