package treerpc

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/prometheus/prometheus/util/annotations"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/querytreepb"
)

// Annotation is a PromQL warning or info that came from a child. The position
// in the query, which only the child that evaluated it knows, was rendered
// there.
//
// It has the methods by which Prometheus' annotations package tells
// annotations from other errors: it merges with its equals, and shows its
// details once SetQuery was called. Like Prometheus' own it is not safe for
// concurrent use.
type Annotation struct {
	kind          error
	raw, rendered string
	detailed      bool
}

// positioned is what Prometheus' annotations have in common, by method set.
type positioned interface {
	error
	Unwrap() error
	SetQuery(string)
	Merge(error) error
}

var _ positioned = (*Annotation)(nil)

// Error returns the text by which annotations are told apart, or, after
// SetQuery, that with the details.
func (a *Annotation) Error() string {
	if a.detailed {
		return a.rendered
	}
	return a.raw
}

// Unwrap returns annotations.PromQLWarning or annotations.PromQLInfo.
func (a *Annotation) Unwrap() error { return a.kind }

// SetQuery makes Error show the details, or hides them again if query is
// empty. The text of the query is not needed: it is the child's that counts.
func (a *Annotation) SetQuery(query string) { a.detailed = query != "" }

// Merge returns the one to keep of two annotations with the same raw text. It
// does not depend on their order, so that answers do not either.
func (a *Annotation) Merge(other error) error {
	if b, ok := errors.AsType[*Annotation](other); ok && b.rendered < a.rendered {
		return b
	}
	return a
}

// annotationsToWire renders annotations with their positions in query, and
// leaves them as they were. Of more than maxAnnotations bytes the rest is
// counted in a last one.
func annotationsToWire(as annotations.Annotations, query string) []*querytreepb.Annotation {
	out := make([]*querytreepb.Annotation, 0, len(as))
	keys := slices.DeleteFunc(slices.Sorted(maps.Keys(as)), func(key string) bool {
		_, ok := errors.AsType[*querytree.UnnamedError](as[key])
		return ok // the report has the number
	})
	size := 0
	for _, key := range keys {
		w := annotationToWire(as[key], query)
		if size += len(w.Raw) + len(w.Rendered) + 8; size > maxAnnotations {
			text := fmt.Appendf(nil, "%d more annotations omitted", len(keys)-len(out))
			return append(out, &querytreepb.Annotation{Raw: text, Rendered: text})
		}
		out = append(out, w)
	}
	return out
}

func annotationToWire(err error, query string) *querytreepb.Annotation {
	w := &querytreepb.Annotation{}
	switch {
	case errors.Is(err, annotations.PromQLInfo):
		w.Kind = querytreepb.Annotation_INFO
	case errors.Is(err, annotations.PromQLWarning):
		w.Kind = querytreepb.Annotation_WARNING
	}
	p, ok := errors.AsType[positioned](err)
	if ok {
		p.SetQuery("")
	}
	w.Raw = clip(err.Error())
	if ok && query != "" {
		p.SetQuery(query)
		w.Rendered = clip(err.Error())
		p.SetQuery("")
	} else {
		w.Rendered = w.Raw
	}
	return w
}

func annotationsFromWire(ws []*querytreepb.Annotation) annotations.Annotations {
	var as annotations.Annotations
	for _, w := range ws {
		as.Add(annotationFromWire(w))
	}
	return as
}

func annotationFromWire(w *querytreepb.Annotation) error {
	a := &Annotation{raw: string(w.GetRaw()), rendered: string(w.GetRendered())}
	switch w.GetKind() {
	case querytreepb.Annotation_INFO:
		a.kind = annotations.PromQLInfo
	case querytreepb.Annotation_WARNING:
		a.kind = annotations.PromQLWarning
	default:
		return errors.New(a.raw)
	}
	return a
}

// maxText is the longest text of an error or annotation sent, maxAnnotations
// the most bytes of all annotations of an answer.
const (
	maxText        = 16 << 10
	maxAnnotations = 1 << 20
)

// clip returns text for the wire, cut to maxText.
func clip(text string) []byte {
	if len(text) > maxText {
		return []byte(text[:maxText] + " ...")
	}
	return []byte(text)
}
