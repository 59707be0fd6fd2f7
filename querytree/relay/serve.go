package relay

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/pandometrics/pando/querytree"
)

// idHeader names a request in the logs, as treehttp has it.
const idHeader = "X-Request-Id"

// serve has the tier answer itself. What does not heed its context is left behind
// when the time is over, and keeps its slot until it has ended.
func (r *Relay) serve(ctx context.Context, req querytree.StatusRequest, self string, answer func(querytree.StatusAnswer) error) error {
	handler := r.handler.Load()
	if handler == nil {
		return &querytree.StatusError{Kind: querytree.StatusBusy, Member: self, Text: fmt.Sprintf("%q is starting: try again", self)}
	}
	select {
	case r.served <- struct{}{}:
	case <-ctx.Done():
		if !errors.Is(context.Cause(ctx), errSlow) {
			return context.Cause(ctx)
		}
		return &querytree.StatusError{Kind: querytree.StatusBusy, Member: self, Text: fmt.Sprintf("%q answers %d status requests already: try again", self, cap(r.served))}
	}
	done := make(chan *recorder)
	go func() {
		r.metrics.inFlight.WithLabelValues(roleServed).Inc()
		defer r.metrics.inFlight.WithLabelValues(roleServed).Dec()
		defer func() { <-r.served }()
		rec := &recorder{header: http.Header{}, hold: hold{relay: r}}
		rec.run(*handler, request(ctx, req))
		select {
		case done <- rec:
		case <-ctx.Done():
			rec.hold.release()
		}
	}()
	select {
	case rec := <-done:
		defer rec.hold.release()
		a, err := rec.answer(self)
		if err != nil {
			return err
		}
		return answer(a)
	case <-ctx.Done():
		if errors.Is(context.Cause(ctx), errSlow) {
			return slow(self)
		}
		return context.Cause(ctx)
	}
}

// request is the request as the tier's own handler gets it.
func request(ctx context.Context, req querytree.StatusRequest) *http.Request {
	r := &http.Request{
		Method: http.MethodGet, URL: &url.URL{Path: req.Path, RawQuery: req.Query}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: http.NoBody, Host: "member", RemoteAddr: "parent", RequestURI: req.Path,
	}
	if req.Query != "" {
		r.RequestURI += "?" + req.Query
	}
	if req.AcceptEncoding != "" {
		r.Header.Set("Accept-Encoding", req.AcceptEncoding)
	}
	if req.ID != "" {
		r.Header.Set(idHeader, req.ID)
	}
	return r.WithContext(ctx)
}

// errTooLarge ends the writing of an answer.
var errTooLarge = errors.New("answer is too large to be passed on")

// recorder keeps what a handler answers. It is used by one goroutine at a time.
type recorder struct {
	header http.Header
	sent   http.Header // as it was when the body began
	code   int
	body   []byte
	hold   hold
	err    error
}

// run has the handler answer.
func (w *recorder) run(h http.Handler, r *http.Request) {
	defer func() {
		if p := recover(); p != nil {
			w.err = fmt.Errorf("it ended in a panic: %v", p)
		}
		w.WriteHeader(http.StatusOK)
	}()
	h.ServeHTTP(w, r)
}

// Header implements http.ResponseWriter.
func (w *recorder) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *recorder) WriteHeader(code int) {
	if w.code == 0 && code >= http.StatusOK {
		w.code, w.sent = code, w.header.Clone()
	}
}

// Write implements http.ResponseWriter.
func (w *recorder) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.err == nil && len(w.body)+len(b) > querytree.MaxStatusAnswer {
		w.err = errTooLarge
	}
	if w.err == nil {
		w.err = w.grow(len(b))
	}
	if w.err != nil {
		return 0, w.err
	}
	w.body = append(w.body, b...)
	return len(b), nil
}

// grow makes room for n bytes more, and accounts for it before it is taken.
func (w *recorder) grow(n int) error {
	need := len(w.body) + n
	if need <= cap(w.body) {
		return nil
	}
	room := min(max(need, 2*cap(w.body), 4<<10), querytree.MaxStatusAnswer)
	if err := w.hold.take(room - cap(w.body)); err != nil {
		return err
	}
	w.body = append(make([]byte, 0, room), w.body...)
	return nil
}

// answer returns what was answered.
func (w *recorder) answer(self string) (querytree.StatusAnswer, error) {
	busy, isBusy := errors.AsType[*querytree.StatusError](w.err)
	switch {
	case isBusy:
		busy.Member = self
		return querytree.StatusAnswer{}, busy
	case errors.Is(w.err, errTooLarge):
		return querytree.StatusAnswer{}, &querytree.StatusError{
			Kind: querytree.StatusTooLarge, Member: self,
			Text: fmt.Sprintf("the answer of %q is larger than %d bytes, the most that is passed on: ask for less of it, or at its own address", self, querytree.MaxStatusAnswer),
		}
	case w.err != nil:
		return querytree.StatusAnswer{}, &querytree.StatusError{Kind: querytree.StatusFailed, Member: self, Text: fmt.Sprintf("status request at %q: %v", self, w.err)}
	}
	return querytree.StatusAnswer{
		Member: self, Code: w.code, Body: w.body,
		ContentType: w.sent.Get("Content-Type"), ContentEncoding: w.sent.Get("Content-Encoding"),
	}, nil
}
