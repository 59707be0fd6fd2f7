package rollouts

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
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
	*seen
}

// seen is what a loop was like when it was asked last.
type seen struct {
	mu      sync.Mutex
	cluster string // as it said last, "" if it never did
	hearing hearing
}

// hearing tells what came of the last question; loops are asked in this order.
type hearing int

const (
	heard   hearing = iota - 1
	unasked         // or there was not time enough
	unheard
)

// errNoTime says that a loop was not given its time to answer.
var errNoTime = errors.New("there was no time left for it, for too many others do not answer")

// name is what the loop's cluster is called, "" if it never said.
func (s *seen) name() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cluster
}

func (s *seen) heard() hearing {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hearing
}

func (s *seen) note(h hearing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hearing = h
}

// patient returns the same loop, with another time for its answers.
func (r *remote) patient(limit time.Duration) *remote {
	p := *r
	p.limit = limit
	return &p
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

// do asks, and notes what came of it, unless nobody waits for the answer any more.
func (r *remote) do(ctx context.Context, method, path string, body []byte) (data []byte, err error) {
	if err = ctx.Err(); err == nil {
		data, err = r.send(ctx, method, path, body)
	}
	var said *saidError
	switch {
	case err == nil || errors.As(err, &said):
		r.note(heard)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		r.note(unasked)
		return nil, fmt.Errorf("ask the control loop at %s: %w", r.base, errNoTime)
	case ctx.Err() == nil:
		r.note(unheard)
	}
	return data, err
}

func (r *remote) send(ctx context.Context, method, path string, body []byte) ([]byte, error) {
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

// inOrder returns the places of loops: first of those that answered last time,
// last of those that did not, so that these take no time from the others.
func inOrder(loops []*remote) []int {
	out, was := make([]int, len(loops)), make([]hearing, len(loops))
	for i, r := range loops {
		out[i], was[i] = i, r.heard()
	}
	slices.SortStableFunc(out, func(a, b int) int { return cmp.Compare(was[a], was[b]) })
	return out
}

// enough is how long a loop has to have kept silent to be called silent.
const enough = 2 * time.Second

// each asks loops in order, a bounded number at the same time, until the context's
// deadline. All have their share of the time, so that all are asked, however many
// keep silent.
func each(ctx context.Context, loops []*remote, f func(ctx context.Context, i int, r *remote)) {
	var wg sync.WaitGroup
	tokens := make(chan struct{}, parallel)
	for n, i := range inOrder(loops) {
		tokens <- struct{}{}
		wg.Go(func() {
			defer func() { <-tokens }()
			ctx, r, cancel := share(ctx, loops[i], len(loops)-n)
			defer cancel()
			f(ctx, i, r)
		})
	}
	wg.Wait()
}

// share bounds the time for a question by what is left for it and those to come.
func share(ctx context.Context, r *remote, left int) (context.Context, *remote, context.CancelFunc) {
	end, ok := ctx.Deadline()
	part := time.Until(end) / time.Duration(left+parallel) * parallel // the last ones too end in time
	switch {
	case !ok || part >= r.limit:
		return ctx, r, func() {}
	case part >= enough:
		return ctx, r.patient(part), func() {}
	}
	ctx, cancel := context.WithTimeout(ctx, part)
	return ctx, r, cancel
}
