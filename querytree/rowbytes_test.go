package querytree_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

var updateRowBytes = flag.Bool("update-rowbytes", false, "rewrite testdata/rowbytes.txt")

const rowBytesFile = "testdata/rowbytes.txt"

// rowBytes are the bytes that came to the root for each row, as a range query, in
// each tree. A planner that quietly stops pushing down something fails by them.
type rowBytes struct {
	want map[string]map[string]int64 // expression of the row → tree → bytes

	mu  sync.Mutex
	got map[string]map[string]int64
}

// readRowBytes reads the table: the bytes in each tree, then the row.
func readRowBytes(t *testing.T) *rowBytes {
	t.Helper()
	b := &rowBytes{want: map[string]map[string]int64{}, got: map[string]map[string]int64{}}
	if *updateRowBytes {
		return b
	}
	text, err := os.ReadFile(rowBytesFile)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		row := map[string]int64{}
		rest := strings.TrimRight(line, "\n")
		for _, tree := range rowTrees {
			var word string
			word, rest, _ = strings.Cut(strings.TrimLeft(rest, " "), " ")
			if n, err := strconv.ParseInt(word, 10, 64); err == nil {
				row[tree.name] = n
			}
		}
		b.want[strings.TrimLeft(rest, " ")] = row
	}
	return b
}

// check compares what a row took with what it took before. The same plan differs
// by little: answers are not of equal size in all steps of a race between children.
func (b *rowBytes) check(t *testing.T, tree string, r row, bytes int64) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.got[r.expr] == nil {
		b.got[r.expr] = map[string]int64{}
	}
	b.got[r.expr][tree] = bytes
	if *updateRowBytes {
		return
	}
	want, ok := b.want[r.expr][tree]
	if !ok {
		t.Errorf("%s: not in %s (-update-rowbytes rewrites it)", r.expr, rowBytesFile)
	}
	most := want + want/4 + 100
	if r.again { // of the plan that is given up, more or less may have come
		most = 2*want + 2000
	}
	if bytes > most {
		t.Errorf("%s: %d bytes came to the root, want at most %d as before (-update-rowbytes rewrites %s)", r.expr, bytes, most, rowBytesFile)
	}
}

// write rewrites the table if that is wanted.
func (b *rowBytes) write(t *testing.T) {
	if !*updateRowBytes || t.Failed() {
		return
	}
	var out strings.Builder
	out.WriteString("# Bytes that come to the root for each row of rowtable_test.go as a range query of 21 steps:")
	for _, tree := range rowTrees {
		fmt.Fprintf(&out, " %s,", tree.name)
	}
	out.WriteString(" row\n")
	for _, section := range sections() {
		fmt.Fprintf(&out, "# %s\n", section)
		for _, r := range rowSections[section] {
			for _, tree := range rowTrees {
				if n, ok := b.got[r.expr][tree.name]; ok {
					fmt.Fprintf(&out, "%8d", n)
				} else {
					fmt.Fprintf(&out, "%8s", "-")
				}
			}
			fmt.Fprintf(&out, "  %s\n", r.expr)
		}
	}
	if err := os.WriteFile(rowBytesFile, []byte(out.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func sections() []string {
	var out []string
	for s := range rowSections {
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}
