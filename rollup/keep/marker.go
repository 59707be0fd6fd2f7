package keep

import (
	"strconv"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/rollup"
)

// Labels of what is stored. They never leave the store.
const (
	ruleLabel    = "__rollup__"         // the rule's ID, see storedAs, on all series
	opLabel      = "__rollup_op__"      // the operator, if a rule keeps several
	revLabel     = "__rollup_rev__"     // the revision, unless it is 0
	markerLabel  = "__rollup_marker__"  // what a marker says; points have none
	missingLabel = "__rollup_missing__" // who had no part, of a partial point
	lateLabel    = "__rollup_late__"    // set of a point that was made late, see span
)

// What markers say of their times. A marker is a sample of value 1.
const (
	markWhole   = "whole"
	markPartial = "partial"
	markUnfit   = "unfit"
	markVoid    = "void"
	// markSince: the rule's points are owed from this time on.
	markSince = "since"
)

func (s state) mark() string {
	switch s {
	case whole:
		return markWhole
	case partial:
		return markPartial
	case unfit:
		return markUnfit
	default:
		return markVoid
	}
}

func stateOf(mark string) (state, bool) {
	for _, s := range []state{whole, partial, unfit, absent} {
		if s.mark() == mark {
			return s, true
		}
	}
	return absent, false
}

// storedAs is what the points of a rule at one distance are stored under: two
// distances may share a TSDB, and have revisions of their own.
func storedAs(r *rollup.Rule, k rollup.Keep) string {
	if k.Every.Milliseconds() == r.Interval {
		return r.ID
	}
	return r.ID + "/" + model.Duration(k.Every).String()
}

// markerLabels returns the labels of the series of markers for a span.
func markerLabels(id, mark string, rev uint32) labels.Labels {
	b := labels.NewBuilder(labels.EmptyLabels())
	return b.Set(ruleLabel, id).Set(markerLabel, mark).Set(revLabel, revText(rev)).Labels()
}

// madeLabels returns those of the markers of points that were made.
func madeLabels(id string, sp span) labels.Labels {
	b := labels.NewBuilder(markerLabels(id, sp.state.mark(), sp.rev)).Set(missingLabel, sp.missing)
	if sp.late {
		b.Set(lateLabel, "1")
	}
	return b.Labels()
}

// revText is the value of revLabel; an empty one is no label.
func revText(rev uint32) string {
	if rev == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(rev), 10)
}

func revOf(l labels.Labels) uint32 {
	n, err := strconv.ParseUint(l.Get(revLabel), 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

// runsOf reads the times of a series of markers, as runs of neighbours.
func runsOf(it chunkenc.Iterator, step int64, add func(from, to int64)) error {
	from, to, any := int64(0), int64(0), false
	for it.Next() != chunkenc.ValNone {
		switch t := it.AtT(); {
		case any && t == to+step:
			to = t
		case any:
			add(from, to)
			from, to = t, t
		default:
			from, to, any = t, t, true
		}
	}
	if any {
		add(from, to)
	}
	return it.Err()
}

// away is somebody who had no part in partial points.
type away struct{ tier, name string }

// missingText is the value of missingLabel for some of the children of a report.
func missingText(r querytree.Report, names []string) string {
	var out []string
	for _, name := range names {
		out = append(out, r.Children[name].Tier+" "+name)
	}
	return strings.Join(out, "\n")
}

// awayOf is the reverse of missingText.
func awayOf(missing string) (out []away) {
	for line := range strings.SplitSeq(missing, "\n") {
		if tier, name, ok := strings.Cut(line, " "); ok {
			out = append(out, away{tier, name})
		}
	}
	return out
}
