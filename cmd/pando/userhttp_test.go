package main

import (
	"bytes"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// secured is a server that wants a password or a token, over TLS.
func secured(t *testing.T) (srv *httptest.Server, file func(name, text string) string) {
	t.Helper()
	srv = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if (user != "ann" || password != "secret") && r.Header.Get("Authorization") != "Bearer token" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.URL.Path == "/pando/api/v1/tree" {
			_, _ = io.WriteString(w, `{"self":{"name":"root","tier":"root","state":"connected"}}`)
			return
		}
		_, _ = io.WriteString(w, `{"status":"success","data":{"resultType":"scalar","result":[1,"42"]}}`)
	}))
	t.Cleanup(srv.Close)
	dir := t.TempDir()
	return srv, func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
}

// Every command of users can be told how to reach a server, by flags or by the
// file that promtool takes.
func TestUserCommandsAuthenticate(t *testing.T) {
	srv, file := secured(t)
	ca := "--http.ca-file=" + file("ca.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})))
	password, token := file("password", "secret"), file("token", "token\n")
	config := file("http.yml", "basic_auth: {username: ann, password: secret}\ntls_config: {ca_file: ca.crt}\n")
	for name, c := range map[string]struct {
		flags []string
		fails string
	}{
		"password":          {[]string{ca, "--http.user=ann", "--http.password-file=" + password}, ""},
		"token":             {[]string{ca, "--http.bearer-token-file=" + token}, ""},
		"file":              {[]string{"--http.config.file=" + config}, ""},
		"no credentials":    {[]string{ca}, "401"},
		"no authority":      {nil, "certificate"},
		"half a credential": {[]string{ca, "--http.user=ann"}, "need each other"},
		"two credentials":   {[]string{ca, "--http.user=ann", "--http.password-file=" + password, "--http.bearer-token-file=" + token}, "exclude each other"},
		"file and flags":    {[]string{ca, "--http.config.file=" + config}, "leave out the other"},
		"no such file":      {[]string{"--http.config.file=" + config + ".bak"}, "no such file"},
	} {
		for _, command := range [][]string{{"query", "42"}, {"tree"}, {"why", "--audit", "42"}} {
			var out, errs bytes.Buffer
			code := runMain(t.Context(), append(append(command, "--server="+srv.URL), c.flags...), &out, &errs)
			if c.fails == "" && code != 0 || c.fails != "" && (code == 0 || !strings.Contains(errs.String(), c.fails)) {
				t.Errorf("%s, %s: exit code %d, %s%s", name, command[0], code, out.String(), errs.String())
			}
		}
	}
}

func TestStepIsADurationOrSeconds(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"15": 15 * time.Second, "0.5": 500 * time.Millisecond, "1m": time.Minute, "1m30s": 90 * time.Second,
		"": 0, "0": 0, "-5": 0, "x": 0, "NaN": 0, "+Inf": 0, "1e300": 0,
	} {
		var s stepValue
		if err := s.Set(text); (err == nil) != (want != 0) || time.Duration(s) != want {
			t.Errorf("%q: %s, %v", text, time.Duration(s), err)
		}
	}
}
