package treehttp

import (
	"bytes"
	"context"
	"net/http"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/util/stats"
	apiv1 "github.com/prometheus/prometheus/web/api/v1"
)

// Prometheus' API encodes an answer whole, and only then writes it. The text of a
// large matrix is several times the size of the matrix, and takes as much again
// while it grows. So of an answer that holds a matrix the codec encodes all but
// the matrix, and an answerWriter puts the text of the matrix in its place as it
// is sent. What the client receives is the same.
//
// The codec is not told which request an answer belongs to. The statistics are
// part of the answer and made for the request: they bring the writer along.

// answerWriter is what a request's answer is written to.
type answerWriter struct {
	http.ResponseWriter
	pending *pendingAnswer
	turn    *turnWriter // what the text goes to in the end
}

// pendingAnswer is an answer of which nothing has been sent.
type pendingAnswer struct {
	before, after []byte
	matrix        promql.Matrix
}

type answerWriterKey struct{}

// streamed lets the answers of a handler of Prometheus' be sent as they are
// encoded, compressed if the client wants that.
func (h *Handler) streamed(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		turn := &turnWriter{ResponseWriter: w, turns: h.cfg.Turns, ctx: r.Context()}
		inner := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			out := &answerWriter{ResponseWriter: w, turn: turn}
			r = r.WithContext(context.WithValue(r.Context(), answerWriterKey{}, out))
			// What comes here must be plain text, which is compressed outside.
			r.Header = r.Header.Clone()
			r.Header.Del("Accept-Encoding")
			w.Header().Del("Vary") // the handler's own compression says the same
			next(out, r)
		})
		h.compressors.serve(inner, turn, r)
	}
}

// Write sends a part of the body; what the codec held back comes in place of the
// empty text that it returned.
func (w *answerWriter) Write(b []byte) (int, error) {
	p := w.pending
	if p == nil || len(b) > 0 {
		return w.ResponseWriter.Write(b)
	}
	w.pending = nil
	if _, err := w.ResponseWriter.Write(p.before); err != nil {
		return 0, err
	}
	err := w.turn.during(p.matrix, func() error { return writeMatrix(w.ResponseWriter, p.matrix) })
	if err != nil {
		return 0, err
	}
	_, err = w.ResponseWriter.Write(p.after)
	return 0, err
}

// Unwrap is for http.ResponseController.
func (w *answerWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// addressedStats are the statistics of an answer, nil if none are shown, and the
// writer that the answer goes to.
type addressedStats struct {
	stats.QueryStats
	to *answerWriter
}

// addressed adds the request's writer, if it has one.
func addressed(ctx context.Context, s stats.QueryStats) stats.QueryStats {
	if w, ok := ctx.Value(answerWriterKey{}).(*answerWriter); ok {
		return &addressedStats{s, w}
	}
	return s
}

// streamCodec is Prometheus' JSON codec, but leaves matrices to the request's
// writer.
type streamCodec struct{ apiv1.JSONCodec }

// Encode implements apiv1.Codec. What it returns is empty if it left the answer
// to the writer.
func (c streamCodec) Encode(resp *apiv1.Response) ([]byte, error) {
	data, ok := resp.Data.(*apiv1.QueryData)
	if !ok {
		return c.JSONCodec.Encode(resp)
	}
	addressed, ok := data.Stats.(*addressedStats)
	if !ok {
		return c.JSONCodec.Encode(resp)
	}
	plain, shown := *resp, *data
	plain.Data, shown.Stats = &shown, addressed.QueryStats
	m, ok := data.Result.(promql.Matrix)
	if !ok {
		return c.JSONCodec.Encode(&plain)
	}
	shown.Result = promql.Matrix{}
	around, err := c.JSONCodec.Encode(&plain)
	if err != nil {
		return nil, err
	}
	// Before the result are only the status and the type.
	const result = `"result":`
	before, after, ok := bytes.Cut(around, []byte(result+"[]"))
	if !ok {
		shown.Result = m
		return c.JSONCodec.Encode(&plain)
	}
	addressed.to.pending = &pendingAnswer{before: append(before[:len(before):len(before)], result...), after: after, matrix: m}
	return nil, nil
}
