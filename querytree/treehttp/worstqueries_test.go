package treehttp

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pandometrics/pando/querytree"
)

// A query that hurt a day ago is still there, however many came since; and all that
// is kept stays within one bound.
func TestTheWorstOfEachHourAreKept(t *testing.T) {
	s := newQueryStore()
	begin := time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)
	for h := range 24 {
		for i := range 2000 {
			row := QueryRow{ID: fmt.Sprintf("%d-%d", h, i), Begun: begin.Add(time.Duration(h)*time.Hour + time.Duration(i)*time.Second), Duration: Seconds(10 * time.Millisecond), Bytes: 100}
			switch i {
			case 720:
				row.Duration = Seconds(30 * time.Second)
			case 721:
				row.Bytes = 1 << 30
			}
			s.end(QueryRecord{QueryRow: row})
		}
	}
	rows := s.rows()
	if len(rows) != maxPastQueries || s.bytes+s.worst.bytes > maxPastBytes {
		t.Errorf("%d queries in %d bytes", len(rows), s.bytes+s.worst.bytes)
	}
	at := map[string]int{}
	for i, r := range rows {
		at[r.ID] = i
		if i > 0 && r.Begun.After(rows[i-1].Begun) {
			t.Fatalf("%s is listed after %s, which is older", r.ID, rows[i-1].ID)
		}
	}
	for h := range 24 {
		for _, id := range []string{fmt.Sprintf("%d-720", h), fmt.Sprintf("%d-721", h)} {
			if _, ok := at[id]; !ok {
				t.Errorf("%s, the worst of its hour, is not in the list", id)
			}
			if _, ok := s.find(id); !ok {
				t.Errorf("%s, the worst of its hour, is not found", id)
			}
		}
	}
	if _, ok := at["23-1999"]; !ok {
		t.Error("the latest is not in the list")
	}
	if _, ok := at["3-5"]; ok {
		t.Error("one that did not hurt is kept for a day")
	}
}

// The oldest of the worst lose their details before any goes, and what is counted is
// what is held.
func TestTheWorstLoseTheirDetailsFirst(t *testing.T) {
	var w worstQueries
	x := &querytree.Explanation{Query: strings.Repeat("x", 5000)}
	for i := range 10 {
		rec := QueryRecord{QueryRow: QueryRow{ID: fmt.Sprint(i), Begun: time.Unix(int64(i)*3600, 0), Explained: true}, Explanation: x}
		w.add(pastQuery{rec, recordBytes(rec)})
	}
	w.shrink(10, 25_000)
	if len(w.kept) != 10 || w.kept[0].Explained || !w.kept[9].Explained {
		t.Errorf("%d are kept, the oldest explained: %v, the newest: %v", len(w.kept), w.kept[0].Explained, w.kept[9].Explained)
	}
	w.shrink(10, 2000)
	if len(w.kept) == 0 || w.kept[len(w.kept)-1].ID != "9" || w.bytes > 2000 {
		t.Errorf("%d are kept in %d bytes", len(w.kept), w.bytes)
	}
	sum := 0
	for _, q := range w.kept {
		sum += q.bytes
	}
	if sum != w.bytes {
		t.Errorf("%d bytes counted, %d held", w.bytes, sum)
	}
}

// A record that is too large still names some of what was missing, and counts it all.
func TestFewFailedAreNamed(t *testing.T) {
	var failed []FailedChild
	for i := range 50_000 {
		failed = append(failed, FailedChild{Name: fmt.Sprintf("leaf-%05d", i), Reason: strings.Repeat("r", 1000)})
	}
	s := newQueryStore()
	s.end(QueryRecord{QueryRow: QueryRow{ID: "q", Failed: 50_000}, Completeness: &Completeness{Failed: failed, Unnamed: 7}})
	rec, ok := s.find("q")
	if !ok || rec.Completeness == nil {
		t.Fatal("the query is not kept")
	}
	c := rec.Completeness
	if len(c.Failed) == 0 || len(c.Failed)+c.Unnamed != 50_007 || c.Failed[0].Name != "leaf-00000" {
		t.Errorf("%d failed are named and %d are not", len(c.Failed), c.Unnamed)
	}
	if s.bytes > 50<<10 {
		t.Errorf("the record takes %d bytes", s.bytes)
	}
	if len(failed[0].Reason) != 1000 {
		t.Error("the answer's own list was shortened")
	}
}
