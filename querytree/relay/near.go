package relay

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/pandometrics/pando/querytree"
)

const (
	// maxNear bounds the names that are suggested for one that is unknown, maxName
	// the length of names that are compared, since that takes its square.
	maxNear = 5
	maxName = 200
)

// unknown says that there is no member of a name, and which there are.
func unknown(member, self string, members []querytree.Member) *querytree.StatusError {
	names := make([]string, 0, len(members)+1)
	names = append(names, self)
	for _, m := range members {
		names = append(names, nameOf(m))
	}
	return &querytree.StatusError{
		Kind: querytree.StatusUnknownMember, Member: member, Near: nearest(member, names),
		Text: fmt.Sprintf("there is no member %q at or below %q: name one as the tree does", member[:min(len(member), maxName)], self),
	}
}

// nearest returns the names that look most like the one that was given.
func nearest(name string, names []string) []string {
	type near struct {
		name     string
		distance int
	}
	var found []near
	for _, n := range names {
		if d := distance(name, n); d >= 0 {
			found = append(found, near{n, d})
		}
	}
	slices.SortFunc(found, func(a, b near) int { return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.name, b.name)) })
	found = slices.Compact(found)
	var out []string
	for _, f := range found[:min(len(found), maxNear)] {
		out = append(out, f.name)
	}
	return out
}

// distance returns how far two names are apart, -1 if too far: one that is a part
// of the other is near, whatever the rest; else a quarter of the letters may differ.
func distance(a, b string) int {
	if a == "" || b == "" || len(a) > maxName || len(b) > maxName {
		return -1
	}
	if strings.Contains(a, b) || strings.Contains(b, a) {
		return 1
	}
	most := max(2, min(len(a), len(b))/4)
	if len(a)-len(b) > most || len(b)-len(a) > most {
		return -1
	}
	if d := edits(a, b); d <= most {
		return 1 + d
	}
	return -1
}

// edits is the Levenshtein distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
