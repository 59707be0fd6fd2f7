package querytree

import (
	"context"
	"maps"
	"sync"

	"github.com/prometheus/prometheus/util/annotations"
)

type optionsKey struct{}

// WithOptions returns a context that carries the options of a query from the
// HTTP API, through Prometheus' QueryEngine and Queryable interfaces which have
// no place for them, to the Mixer.
func WithOptions(ctx context.Context, o Options) context.Context {
	return context.WithValue(ctx, optionsKey{}, o)
}

// OptionsFrom returns the options that ctx carries, and whether it carries any.
func OptionsFrom(ctx context.Context) (Options, bool) {
	o, ok := ctx.Value(optionsKey{}).(Options)
	return o, ok
}

type reportKey struct{}

// ReportSink collects the reports of everything that one query, or one request
// of another kind, asked of the tree. It is safe for concurrent use.
type ReportSink struct {
	mu     sync.Mutex
	report Report
	trail  *trail
	// live leads to what happens to a query that is evaluated now.
	live *watch
	warn annotations.Annotations
}

// WithReport returns a context with a new sink: all that is asked of a Mixer
// with that context is reported there.
func WithReport(ctx context.Context) (context.Context, *ReportSink) {
	s := &ReportSink{}
	return context.WithValue(ctx, reportKey{}, s), s
}

// ReportFrom returns the sink that ctx carries, or nil.
func ReportFrom(ctx context.Context) *ReportSink {
	s, _ := ctx.Value(reportKey{}).(*ReportSink)
	return s
}

// Merge adds a report. A nil sink drops it.
func (s *ReportSink) Merge(r Report) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.Merge(r)
	if r.Cache != nil {
		s.report.Cache = r.Cache
	}
	if r.Explanation != nil {
		s.report.Explanation = r.Explanation
	}
	if r.Aligned != nil {
		s.report.Aligned = r.Aligned
	}
}

// Warn adds warnings for which an interface on the way has no place. A nil sink drops
// them.
func (s *ReportSink) Warn(ws annotations.Annotations) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.warn == nil {
		s.warn = annotations.Annotations{}
	}
	s.warn.Merge(ws)
}

// Warnings returns a copy of what Warn was told.
func (s *ReportSink) Warnings() annotations.Annotations {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.warn)
}

// Report returns a copy of all that was reported so far.
func (s *ReportSink) Report() Report {
	if s == nil {
		return Report{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var r Report
	r.Merge(s.report)
	r.Cache = s.report.Cache
	r.Explanation = s.report.Explanation
	r.Aligned = s.report.Aligned
	return r
}
