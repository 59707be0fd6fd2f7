package planet

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Severity says whether a problem keeps a planet from being used.
type Severity string

// Severities.
const (
	// Error: the planet must not be delivered.
	Error Severity = "error"
	// Warning: it can be, but is probably not what was meant.
	Warning Severity = "warning"
)

// Problem is one thing that is wrong with a planet.
type Problem struct {
	// File is its path in the repository, Line and Column count from 1; zero if
	// they are not known.
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
	// Severity is Error or Warning.
	Severity Severity `json:"severity"`
	// Message says what is wrong and what to change.
	Message string `json:"message"`
	// Clusters are those in which it shows, if it depends on the cluster.
	Clusters []string `json:"clusters,omitempty"`
}

// String returns file:line:column: message, as editors and CI systems read it.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
		if p.Column > 0 {
			fmt.Fprintf(&b, ":%d", p.Column)
		}
	}
	b.WriteString(": ")
	if p.Severity == Warning {
		b.WriteString("warning: ")
	}
	b.WriteString(p.Message)
	switch n := len(p.Clusters); {
	case n == 1:
		fmt.Fprintf(&b, " (in cluster %s)", p.Clusters[0])
	case n > 1:
		fmt.Fprintf(&b, " (in %d clusters, such as %s)", n, p.Clusters[0])
	}
	return b.String()
}

// Problems is the error of Load: all that is wrong, ordered by file and line.
type Problems []Problem

// Error has a line for each problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Failed reports whether any of them is an Error.
func (ps Problems) Failed() bool {
	return slices.ContainsFunc(ps, func(p Problem) bool { return p.Severity == Error })
}

// Bounds of what is told of one planet, and of what is noted: the first are to be
// mended first.
const (
	maxProblems = 1000
	maxNoted    = 10_000
)

// place is where something stands in the repository.
type place struct {
	file      string
	line, col int
}

// report collects problems. Those of one place that differ only in the cluster
// are one. It is safe for concurrent use, as far as add goes.
type report struct {
	mu   sync.Mutex
	all  []*noted
	seen map[reported]*noted
	more int // that were not noted
	// nodes is how many values documents may still have. Only document uses it, for
	// one file at a time.
	nodes int
}

// noted is a problem, with the cluster whose text it has.
type noted struct {
	Problem
	by string
}

// reported tells problems apart.
type reported struct {
	at      place
	about   string
	warning bool
}

func newReport() *report { return &report{seen: map[reported]*noted{}, nodes: maxAllNodes} }

// failf notes an error.
func (r *report) failf(at place, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	r.add(at, Error, text, text, "")
}

// warnf notes a warning.
func (r *report) warnf(at place, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	r.add(at, Warning, text, text, "")
}

// add notes a problem of a cluster, or of none. About says what is the same
// problem in another one, whose text may differ by what is substituted.
func (r *report) add(at place, s Severity, about, text, cluster string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := reported{at, about, s == Warning}
	p := r.seen[key]
	if p == nil {
		if len(r.all) >= maxNoted {
			r.more++
			return
		}
		p = &noted{Problem: Problem{File: at.file, Line: at.line, Column: at.col, Severity: s, Message: text}, by: cluster}
		r.seen[key] = p
		r.all = append(r.all, p)
	}
	if cluster < p.by { // whoever comes first, the text is the same in the end
		p.by, p.Message = cluster, text
	}
	if cluster != "" && !slices.Contains(p.Clusters, cluster) {
		p.Clusters = append(p.Clusters, cluster)
	}
}

// failed reports whether there is an error.
func (r *report) failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.all, func(p *noted) bool { return p.Severity == Error })
}

// problems returns them in order.
func (r *report) problems() Problems {
	out := make(Problems, 0, len(r.all))
	for _, p := range r.all {
		slices.Sort(p.Clusters)
		out = append(out, p.Problem)
	}
	slices.SortStableFunc(out, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Message, b.Message))
	})
	if more := len(out) - maxProblems + r.more; more > 0 && len(out) > maxProblems {
		out = append(out[:maxProblems], Problem{File: out[maxProblems].File, Severity: Error, Message: fmt.Sprintf("%d more problems: mend those above first", more)})
	}
	return out
}

// count returns how many problems were noted.
func (r *report) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.all)
}
