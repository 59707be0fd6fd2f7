package treehttp

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
)

// RollupList is what a tier keeps of rollups.
type RollupList struct {
	Name string `json:"name"`
	Tier string `json:"tier"`
	// Rules are those that the tier keeps points of, by name.
	Rules []RollupStatus `json:"rules"`
	// Awaited are those below who are away, by name, twenty at most: nothing newer
	// than what they have delivered is due until they are back or released.
	Awaited []RollupAwaited `json:"awaited,omitempty"`
}

// RollupAwaited is somebody away.
type RollupAwaited struct {
	Name string `json:"name"`
	// Since is from when on, Released from when on points are made without them, both
	// in Unix seconds; zero if that is not known yet.
	Since    float64 `json:"since"`
	Released float64 `json:"released"`
}

// RollupStatus is how far the points of one rule are, at one distance.
type RollupStatus struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Expr is the rule's expression in canonical form.
	Expr string `json:"expr"`
	// Every is the distance of points and For how long they are kept, both in
	// seconds.
	Every float64 `json:"every"`
	For   float64 `json:"for"`
	// Since is from when on points are owed, Until the newest that is whole and
	// has all whole ones before it; both in Unix seconds, zero if there is none.
	Since float64 `json:"since"`
	Until float64 `json:"until"`
	// Due is the newest point that is due, or there already, in Unix seconds; zero if
	// there is none. All points from Since up to it are counted.
	Due float64 `json:"due"`
	// Lag is how far Until is behind the present, in seconds.
	Lag float64 `json:"lag"`
	// Whole, Partial and Unfit count points; Absent those that are owed and due,
	// and not there.
	Whole   int64 `json:"whole"`
	Partial int64 `json:"partial"`
	Unfit   int64 `json:"unfit"`
	Absent  int64 `json:"absent"`
	// Series is how many series the newest points have that the tier has made since it
	// started; zero if it has made none.
	Series int `json:"series"`
	// Empty: the tier has made points since it started, and none had a series.
	Empty bool `json:"empty,omitempty"`
	// Queries counts the queries to this tier, since it started, in whose answer a
	// rollup of that name had a part, whichever tier keeps it.
	Queries uint64 `json:"queries"`
	// Holes are the spans of points that are not whole, the oldest first; HolesLeftOut
	// counts the newer ones that are not told. Other points up to Due are whole if
	// none are left out.
	Holes        []RollupHole `json:"holes"`
	HolesLeftOut int          `json:"holesLeftOut,omitempty"`
	// Failing says why the last attempt failed; empty if it did not.
	Failing string `json:"failing,omitempty"`
	// Blocked: the points are not read, since what makes them void cannot be stored.
	Blocked bool `json:"blocked,omitempty"`
}

// RollupHole is a span of points that are not whole.
type RollupHole struct {
	// From and To are the first and the last of them, in Unix seconds.
	From float64 `json:"from"`
	To   float64 `json:"to"`
	// State is absent, partial or unfit.
	State string `json:"state"`
	// Missing names who had no part in partial points.
	Missing []string `json:"missing,omitempty"`
}

// RollupOwed is from when on the points of a rule are owed.
type RollupOwed struct {
	// From is that time, in Unix seconds. It may be earlier than was asked for.
	From float64 `json:"from"`
	// Longest is how long the tier keeps the points, in seconds, if From is later than
	// was asked for since they are kept no longer.
	Longest float64 `json:"longest,omitempty"`
}

// RollupBackfill is the answer to a back-fill: from when on points are owed, and what
// the tier keeps then.
type RollupBackfill struct {
	RollupOwed
	RollupList
}

// Rollups tells of a tier's rollups. It is safe for concurrent use.
type Rollups interface {
	// Rollups lists the rules, with so many holes of each at most.
	Rollups(holes int) RollupList
	// Backfill has the points of a rule be owed from a time on, and tells from when
	// on they are.
	Backfill(ctx context.Context, rule string, since time.Time) (RollupOwed, error)
}

// maxHoles bounds the holes of one rule that are told.
const maxHoles = 100

func (h *Handler) rollups(w http.ResponseWriter, _ *http.Request) {
	if h.cfg.Rollups == nil {
		respondError(w, http.StatusNotFound, errNotFound, "this tier keeps no rollups")
		return
	}
	list := h.cfg.Rollups.Rollups(maxHoles)
	list.Name = h.cfg.Describe().Name()
	h.queries.tellServed(list.Rules)
	writeJSON(w, http.StatusOK, list)
}

// backfill takes the name of a rule, and since: a duration before now, or a time.
func (h *Handler) backfill(w http.ResponseWriter, r *http.Request) {
	if h.cfg.Rollups == nil {
		respondError(w, http.StatusNotFound, errNotFound, "this tier keeps no rollups")
		return
	}
	since, err := sinceParam(r.FormValue("since"), h.cfg.Now())
	var owed RollupOwed
	if err == nil {
		owed, err = h.cfg.Rollups.Backfill(r.Context(), r.FormValue("rule"), since)
	}
	if err != nil {
		respondError(w, http.StatusBadRequest, errBadData, err.Error())
		return
	}
	respond(w, RollupBackfill{owed, h.cfg.Rollups.Rollups(maxHoles)}, nil)
}

func sinceParam(v string, now time.Time) (time.Time, error) {
	if d, err := model.ParseDuration(v); err == nil {
		return now.Add(-time.Duration(d)), nil
	}
	if t, err := time.Parse(time.RFC3339, v); err == nil {
		return t, nil
	}
	if s, err := strconv.ParseFloat(v, 64); err == nil && math.Abs(s) <= lastTellable/1000 {
		return time.UnixMilli(int64(s * 1000)), nil
	}
	return time.Time{}, fmt.Errorf("invalid parameter \"since\": %.40q is no duration such as 7d, no time in RFC 3339 and no Unix seconds", v)
}
