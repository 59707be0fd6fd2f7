package treerpc

import (
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/querytreepb"
)

// The two kinds of answer that are read series by series, as they arrive.
type (
	resultSet = answerSet[querytreepb.ExecFrame, promql.Series]
	seriesSet = answerSet[querytreepb.SelectFrame, storage.ChunkSeries]
)

var (
	_ querytree.ResultSet = (*resultSet)(nil)
	_ querytree.Recycler  = (*resultSet)(nil)
	_ querytree.SeriesSet = (*seriesSet)(nil)
)

// decoder turns frames F into series S.
type decoder[F, S any] interface {
	// add takes in a frame, when the series of the one before are read.
	add(*F) error
	// next returns the next complete series of the frames so far.
	next() (S, bool, error)
	// whole reports an answer that ends within a series.
	whole() error
	// counts returns how many series and samples next has returned.
	counts() (series, samples int64)
	// recycle takes back series that nobody uses any more.
	recycle([]S)
}

// answerSet reads an answer of frames F as series S.
type answerSet[F, S any] struct {
	answer  *answer[F] // nil if there is none
	decoder decoder[F, S]
	endOf   func(*F) *querytreepb.End

	cur    S
	end    *querytreepb.End
	warn   annotations.Annotations
	report querytree.Report
	err    error
	done   bool
}

// failedSet returns a set that is over before it began.
func failedSet[F, S any](err error) *answerSet[F, S] {
	return &answerSet[F, S]{err: err, done: true}
}

func (s *answerSet[F, S]) frame(f *F) {
	if err := s.decoder.add(f); err != nil {
		s.stop(s.answer.malformed(err))
		return
	}
	s.end = s.endOf(f)
}

func (s *answerSet[F, S]) stop(err error) {
	s.err, s.done = err, true
	s.answer.cancel()
}

// Next advances to the next series.
func (s *answerSet[F, S]) Next() bool {
	for !s.done {
		series, ok, err := s.decoder.next()
		switch {
		case err != nil:
			s.stop(s.answer.malformed(err))
		case ok:
			s.cur = series
			return true
		case s.end != nil:
			s.finish()
		default:
			f, err := s.answer.recv()
			if err != nil {
				s.stop(err)
				return false
			}
			s.frame(f)
		}
	}
	return false
}

// finish takes in the last word.
func (s *answerSet[F, S]) finish() {
	series, samples := s.decoder.counts()
	s.warn, s.report = annotationsFromWire(s.end.GetAnnotations()), s.answer.report(s.end, series, samples)
	if e := s.end.GetError(); e != nil {
		s.stop(errorFromWire(e))
		return
	}
	if err := s.decoder.whole(); err != nil {
		s.stop(s.answer.malformed(err))
		return
	}
	s.stop(s.answer.finish())
}

// At returns the current series.
func (s *answerSet[F, S]) At() S { return s.cur }

// Err returns the error that ended the set, if any.
func (s *answerSet[F, S]) Err() error { return s.err }

// Warnings returns the annotations, once Next returned false.
func (s *answerSet[F, S]) Warnings() annotations.Annotations { return s.warn }

// Report returns the completeness of the answer, once Next returned false.
func (s *answerSet[F, S]) Report() querytree.Report { return s.report }

// Close ends the request. It may be called at any time, more than once.
func (s *answerSet[F, S]) Close() {
	if s.answer != nil {
		s.answer.cancel()
	}
}

// Recycle implements querytree.Recycler.
func (s *answerSet[F, S]) Recycle(series []S) { s.decoder.recycle(series) }
