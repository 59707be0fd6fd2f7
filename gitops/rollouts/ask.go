package rollouts

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/pandometrics/pando/gitops"
)

// answerLimit bounds what is read of a loop's answer: an overview of 10,000
// clusters, or what differs between two revisions.
const answerLimit = 16 << 20

// remote is a control loop at an address.
type remote struct {
	base   string
	client *http.Client
	limit  time.Duration

	mu      sync.Mutex
	cluster string // as it said last, "" if it never did
}

// name is what the loop's cluster is called, or else its address.
func (r *remote) name() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cluster
}

// status asks for a Status, without waves and history if it is to be brief.
func (r *remote) status(ctx context.Context, brief bool) (gitops.Status, error) {
	var s gitops.Status
	path := ""
	if brief {
		path = "?brief=1"
	}
	err := r.get(ctx, path, &s)
	if err == nil && s.Cluster == "" {
		err = errors.New("what answers is not a control loop")
	}
	if err == nil {
		r.mu.Lock()
		r.cluster = s.Cluster
		r.mu.Unlock()
	}
	return s, err
}

// get asks for what is below the loop's path.
func (r *remote) get(ctx context.Context, path string, into any) error {
	data, err := r.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("read the answer of the control loop at %s: %w", r.base, err)
	}
	return nil
}

// command tells the loop to do something.
func (r *remote) command(ctx context.Context, c gitops.Command) (string, error) {
	body, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	data, err := r.do(ctx, http.MethodPost, "/"+url.PathEscape(c.Name), body)
	if err != nil {
		return "", err
	}
	var s gitops.Said
	if err := json.Unmarshal(data, &s); err != nil {
		return "", fmt.Errorf("read the answer of the control loop at %s: %w", r.base, err)
	}
	return s.Done, nil
}

// saidError is what a loop says against a request.
type saidError struct {
	status int
	text   string
}

func (e *saidError) Error() string { return e.text }

func (r *remote) do(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, r.limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, r.base+gitops.Path+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the control loop: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit+1))
	if err != nil {
		return nil, fmt.Errorf("ask the control loop at %s: %w", r.base, err)
	}
	if len(data) > answerLimit {
		return nil, fmt.Errorf("ask the control loop at %s: its answer is longer than %d bytes", r.base, answerLimit)
	}
	if resp.StatusCode == http.StatusOK {
		return data, nil
	}
	var s gitops.Said
	if json.Unmarshal(data, &s) == nil && s.Error != "" {
		return nil, &saidError{resp.StatusCode, s.Error}
	}
	return nil, fmt.Errorf("ask the control loop at %s: HTTP status %d: %.200s", r.base, resp.StatusCode, strings.TrimSpace(strings.ToValidUTF8(string(data), "?")))
}

// each asks loops, a bounded number at the same time.
func each(loops []*remote, f func(i int, r *remote)) {
	var wg sync.WaitGroup
	tokens := make(chan struct{}, parallel)
	for i, r := range loops {
		tokens <- struct{}{}
		wg.Go(func() {
			defer func() { <-tokens }()
			f(i, r)
		})
	}
	wg.Wait()
}
