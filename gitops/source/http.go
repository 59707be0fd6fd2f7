package source

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
)

// httpRemote speaks git's smart protocol over HTTP.
type httpRemote struct {
	base   *url.URL // of the repository
	client *http.Client
	auth   func(*http.Request) // adds credentials
}

// newHTTPRemote reads the files with credentials.
func newHTTPRemote(c Config, u *url.URL) (*httpRemote, error) {
	r := &httpRemote{base: u}
	var err error
	if r.auth, err = authorization(c); err != nil {
		return nil, err
	}
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: 10 * time.Second,
		ResponseHeaderTimeout: 30 * time.Second, ForceAttemptHTTP2: true, DisableCompression: true, // what inflates is bounded elsewhere
	}
	if t.TLSClientConfig, err = tlsConfig(c); err != nil {
		return nil, err
	}
	r.client = &http.Client{Transport: t, CheckRedirect: func(req *http.Request, via []*http.Request) error {
		return r.mayFollow(req, via)
	}}
	return r, nil
}

// mayFollow lets a server rename a repository, or say https instead of http,
// but not send us, nor our credentials, elsewhere.
func (r *httpRemote) mayFollow(req *http.Request, via []*http.Request) error {
	switch {
	case len(via) > 3:
		return fail(ReasonRedirect, "more than three redirects")
	case req.URL.Hostname() != r.base.Hostname() || r.base.Scheme == "https" && (req.URL.Scheme != "https" || req.URL.Host != r.base.Host):
		return fail(ReasonRedirect, "the server redirects to %s://%s: if that is right, make it the URL", req.URL.Scheme, req.URL.Host)
	case req.Method != http.MethodGet:
		return fail(ReasonRedirect, "the server redirects a request with a body")
	}
	return nil
}

func authorization(c Config) (func(*http.Request), error) {
	if c.BearerTokenFile != "" {
		token, err := readSecret(c.BearerTokenFile)
		return func(q *http.Request) { q.Header.Set("Authorization", "Bearer "+token) }, err
	}
	if c.UsernameFile == "" {
		return func(*http.Request) {}, nil
	}
	user, err := readSecret(c.UsernameFile)
	if err != nil {
		return nil, err
	}
	password, err := readSecret(c.PasswordFile)
	return func(q *http.Request) { q.SetBasicAuth(user, password) }, err
}

func tlsConfig(c Config) (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		pem, err := readFile(c.CAFile)
		if err != nil {
			return nil, err
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fail(ReasonCredentials, "file %q holds no certificate in PEM", c.CAFile)
		}
	}
	if c.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, fail(ReasonCredentials, "client certificate %q: %w", c.CertFile, err)
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return conf, nil
}

func (r *httpRemote) close() { r.client.CloseIdleConnections() }

func (r *httpRemote) advertise(ctx context.Context) (*packp.AdvRefs, error) {
	u := r.base.JoinPath("info", "refs")
	u.RawQuery = "service=git-upload-pack"
	resp, err := r.do(ctx, http.MethodGet, u, nil, "application/x-git-upload-pack-advertisement")
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	// The repository may have been renamed; ask there for the pack.
	final := *resp.Request.URL
	if path, ok := strings.CutSuffix(final.Path, "/info/refs"); ok {
		final.Path, final.RawPath, final.RawQuery = path, "", ""
		r.base = &final
	}
	return decodeRefs(resp.Body)
}

func (r *httpRemote) upload(ctx context.Context, request []byte) (io.ReadCloser, error) {
	resp, err := r.do(ctx, http.MethodPost, r.base.JoinPath("git-upload-pack"), request, "application/x-git-upload-pack-result")
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// do sends a request, and refuses answers of another kind than wanted.
func (r *httpRemote) do(ctx context.Context, method string, u *url.URL, body []byte, kind string) (*http.Response, error) {
	q, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	q.Header.Set("User-Agent", "git/pando")
	if body != nil {
		q.Header.Set("Content-Type", "application/x-git-upload-pack-request")
	}
	q.Header.Set("Accept", kind)
	r.auth(q)
	resp, err := r.client.Do(q)
	if err != nil {
		return nil, httpError(err)
	}
	if err := checkStatus(resp, kind); err != nil {
		_ = resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

// httpError drops the URL of net/http's errors, which may have a query, and
// keeps ours.
func httpError(err error) error {
	if e, ok := unwrapOwn(err); ok {
		return e
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	var cert *tls.CertificateVerificationError
	if errors.As(err, &cert) {
		return fail(ReasonDenied, "the server's certificate is not trusted: %w", err)
	}
	return fail(ReasonUnreachable, "ask the server: %w", err)
}

func checkStatus(resp *http.Response, kind string) error {
	switch s := resp.StatusCode; {
	case s == http.StatusOK:
	case s == http.StatusUnauthorized || s == http.StatusForbidden:
		return fail(ReasonDenied, "the server refuses the credentials (HTTP status %d)", s)
	case s == http.StatusNotFound || s == http.StatusGone:
		return fail(ReasonNotFound, "no such repository, or not for these credentials (HTTP status %d)", s)
	case s == http.StatusTooManyRequests || s >= 500:
		return fail(ReasonServer, "the server fails (HTTP status %d)", s)
	default:
		return fail(ReasonProtocol, "the server answers HTTP status %d", s)
	}
	if got := resp.Header.Get("Content-Type"); got != kind {
		return fail(ReasonProtocol, "the server answers with %.80q instead of %q: is it a git repository?", got, kind)
	}
	return nil
}
