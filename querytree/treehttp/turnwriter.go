package treehttp

import (
	"bufio"
	"context"
	"net/http"

	"github.com/prometheus/prometheus/promql"

	"github.com/pandometrics/pando/querytree"
)

const (
	// lightAnswer is how many points an answer may have whose text is written at
	// once: to write and compress them takes a processor one or two milliseconds.
	lightAnswer = 10_000
	// turnBuffer is how much text is gathered before it is sent.
	turnBuffer = 32 << 10
)

// turnWriter is where the text of an answer leaves for the client, compressed if
// it is. Large answers are written in turns with others; nobody has a turn while
// it waits for its client.
type turnWriter struct {
	http.ResponseWriter
	turns *querytree.Turns
	ctx   context.Context
	buf   *bufio.Writer // while there is a turn
}

// Write sends a part of the body, or keeps it for a moment.
func (w *turnWriter) Write(b []byte) (int, error) {
	if w.buf != nil {
		return w.buf.Write(b)
	}
	return w.ResponseWriter.Write(b)
}

// during calls write, which writes m, when there is a turn for it.
func (w *turnWriter) during(m promql.Matrix, write func() error) error {
	if pointsBeyond(m, lightAnswer) <= lightAnswer {
		return write()
	}
	o, _ := querytree.OptionsFrom(w.ctx)
	return w.turns.Heavy(w.ctx, o.Client, func(t *querytree.Turn) error {
		w.buf = bufio.NewWriterSize(pausingWriter{w, t}, turnBuffer)
		defer func() { w.buf = nil }()
		if err := write(); err != nil {
			return err
		}
		return w.buf.Flush()
	})
}

// pointsBeyond counts points, a histogram as many as it has buckets, until there
// are more than most.
func pointsBeyond(m promql.Matrix, most int) (n int) {
	for _, s := range m {
		n += len(s.Floats)
		for _, p := range s.Histograms {
			n += 1 + len(p.H.PositiveBuckets) + len(p.H.NegativeBuckets)
		}
		if n > most {
			break
		}
	}
	return n
}

// pausingWriter has no turn while it sends.
type pausingWriter struct {
	w    *turnWriter
	turn *querytree.Turn
}

// Write implements io.Writer.
func (p pausingWriter) Write(b []byte) (int, error) {
	p.turn.Pause()
	n, err := p.w.ResponseWriter.Write(b)
	p.turn.PassNow(p.w.ctx)
	return n, err
}
