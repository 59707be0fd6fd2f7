package treehttp

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"

	"github.com/pandometrics/pando/querytree"
)

// slowClient takes nothing before it is told to.
type slowClient struct {
	*httptest.ResponseRecorder
	asked, take chan struct{}
}

// Write implements io.Writer.
func (c slowClient) Write(b []byte) (int, error) {
	select {
	case c.asked <- struct{}{}:
	default:
	}
	<-c.take
	return c.ResponseRecorder.Write(b)
}

// A client that does not take its large answer keeps no other's from being
// written, and both get all of theirs.
func TestLargeAnswersAreWrittenInTurns(t *testing.T) {
	s := promql.Series{Metric: labels.FromStrings("a", "b")}
	for i := range 10 * lightAnswer {
		s.Floats = append(s.Floats, promql.FPoint{T: int64(i), F: float64(i)})
	}
	m := promql.Matrix{s}
	var want bytes.Buffer
	if err := writeMatrix(&want, m); err != nil {
		t.Fatal(err)
	}
	turns := querytree.NewTurns(1, true)
	answer := func(to http.ResponseWriter) error {
		w := &turnWriter{ResponseWriter: to, turns: turns, ctx: t.Context()}
		return w.during(m, func() error { return writeMatrix(w, m) })
	}
	slow := slowClient{httptest.NewRecorder(), make(chan struct{}, 1), make(chan struct{})}
	done := make(chan error, 1)
	go func() { done <- answer(slow) }()
	<-slow.asked
	quick := httptest.NewRecorder()
	if err := answer(quick); err != nil {
		t.Fatal(err)
	}
	close(slow.take)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]*httptest.ResponseRecorder{"slow": slow.ResponseRecorder, "quick": quick} {
		if !bytes.Equal(got.Body.Bytes(), want.Bytes()) {
			t.Errorf("the %s client got %d bytes, want %d", name, got.Body.Len(), want.Len())
		}
	}
}

// A compressor that was used before gives the bytes of a new one.
func TestCompressorsAreUsedAgain(t *testing.T) {
	c := &compressors{}
	send := func(text string) []byte {
		r, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
		r.Header.Set("Accept-Encoding", "br, gzip")
		c.serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if _, err := w.Write([]byte(text)); err != nil {
				t.Error(err)
			}
		}), w, r)
		if got := w.Header().Get("Content-Encoding"); got != "gzip" {
			t.Errorf("encoded as %q", got)
		}
		return w.Body.Bytes()
	}
	first := send("some text, some text")
	send("another one")
	if again := send("some text, some text"); !bytes.Equal(first, again) {
		t.Errorf("first %x, then %x", first, again)
	}
}
