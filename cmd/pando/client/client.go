package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/pandometrics/pando/querytree/treehttp"
)

// Exit codes of the commands.
const (
	// OK is for a whole answer.
	OK = 0
	// Failed is for no answer.
	Failed = 1
	// Partial is for an answer from which a child's part is missing.
	Partial = 3
)

// DefaultServer is where a tier listens on the user's own machine.
const DefaultServer = "http://127.0.0.1:9090"

// maxAnswerBytes bounds an answer held in memory.
const maxAnswerBytes = 512 << 20

// connection is a tier's HTTP API.
type connection struct {
	base *url.URL
	http *http.Client
}

// connect checks the address; nothing is sent yet. An address without a scheme
// is taken to be of HTTP.
func connect(server string, hc *http.Client) (connection, error) {
	if server == "" {
		server = DefaultServer
	}
	if !strings.Contains(server, "://") {
		server = "http://" + server
	}
	u, err := url.Parse(server)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return connection{}, fmt.Errorf("server %q is not an address such as %s", server, DefaultServer)
	}
	if hc == nil {
		hc = &http.Client{}
	}
	return connection{base: u, http: hc}, nil
}

// envelope is what Prometheus' API wraps around answers.
type envelope struct {
	Status    string          `json:"status"`
	Data      json.RawMessage `json:"data"`
	ErrorType string          `json:"errorType"`
	Error     string          `json:"error"`
	Warnings  []string        `json:"warnings"`
	Infos     []string        `json:"infos"`

	// partial is told by a header.
	partial bool
}

// apiError is an error that Prometheus' API tells of.
type apiError struct{ kind, text string }

func (e *apiError) Error() string { return e.kind + ": " + e.text }

// call asks an endpoint of Prometheus' API. Parameters go in the body, where
// long queries fit.
func (c connection) call(ctx context.Context, path string, params url.Values) (envelope, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base.JoinPath(path).String(), strings.NewReader(params.Encode()))
	if err != nil {
		return envelope{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, body, err := c.do(req)
	if err != nil {
		return envelope{}, err
	}
	var e envelope
	if err := json.Unmarshal(body, &e); err != nil || e.Status == "" {
		return envelope{}, fmt.Errorf("%s answered %s, not as a Prometheus does: %.200q", req.URL.Redacted(), resp.Status, body)
	}
	e.partial = resp.Header.Get(treehttp.PartialHeader) == "true"
	if e.Status != "success" {
		return e, &apiError{kind: e.ErrorType, text: e.Error}
	}
	return e, nil
}

// get reads a JSON document of Pando's own API.
func (c connection) get(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base.JoinPath(path).String(), nil)
	if err != nil {
		return err
	}
	resp, body, err := c.do(req)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return &statusError{url: req.URL.Redacted(), status: resp.Status, code: resp.StatusCode}
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("read answer of %s: %w", req.URL.Redacted(), err)
	}
	return nil
}

// statusError says that a server answered, and not with what was asked for.
type statusError struct {
	url, status string
	code        int
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%s answered %s; is it a Pando?", e.url, e.status)
}

// final reports whether to ask again would not help: it is the request that is refused.
func (e *statusError) final() bool {
	return e.code/100 == 4 && e.code != http.StatusRequestTimeout && e.code != http.StatusTooManyRequests
}

func (c connection) do(req *http.Request) (*http.Response, []byte, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // The address is named below, once.
		}
		return nil, nil, fmt.Errorf("ask %s: %w", c.base.Redacted(), err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes+1))
	if err != nil {
		return nil, nil, fmt.Errorf("read answer of %s: %w", c.base.Redacted(), err)
	}
	if len(body) > maxAnswerBytes {
		return nil, nil, fmt.Errorf("answer of %s is larger than %d bytes; narrow the query", c.base.Redacted(), maxAnswerBytes)
	}
	return resp, body, nil
}
