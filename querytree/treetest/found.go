package treetest

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// Found are queries of a file of cases that were once answered wrongly, all of
// them over the same data.
type Found struct {
	Seed  int64
	Data  Data
	lines []foundLine
}

type foundLine struct {
	expr  string
	times [][3]int64 // start, end, step
}

// foundInterval is the interval of all data of found cases, in milliseconds.
const foundInterval = 15_000

// ReadFound reads a file of found cases; its head says how one is written.
func ReadFound(tb testing.TB, name string) []Found {
	tb.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		tb.Fatal(err)
	}
	var all []Found
	why := false
	for i, line := range strings.Split(string(text), "\n") {
		word, rest, _ := strings.Cut(line, " ")
		switch {
		case line == "":
			why = false
			continue
		case word == "#":
			why = true
			continue
		case strings.HasPrefix(line, "#"):
			continue
		case word == "data":
			n, _, err := numbers(rest, 2)
			if err != nil {
				tb.Fatalf("%s:%d: %v", name, i+1, err)
			}
			all = append(all, Found{Seed: n[0], Data: Data{Minutes: int(n[1]), Interval: foundInterval}})
			continue
		}
		if !why || len(all) == 0 {
			tb.Fatalf("%s:%d: a case without a comment that says what was wrong, or without data", name, i+1)
		}
		f := &all[len(all)-1]
		l, err := readLine(word, rest, f.Data)
		if err != nil {
			tb.Fatalf("%s:%d: %v", name, i+1, err)
		}
		f.lines = append(f.lines, l)
	}
	return all
}

func readLine(word, rest string, d Data) (foundLine, error) {
	switch word {
	case "instant":
		n, expr, err := numbers(rest, 1)
		if err != nil {
			return foundLine{}, err
		}
		return foundLine{expr, [][3]int64{{n[0]}}}, nil
	case "range":
		n, expr, err := numbers(rest, 3)
		if err != nil {
			return foundLine{}, err
		}
		return foundLine{expr, [][3]int64{{n[0], n[1], n[2]}}}, nil
	case "often":
		return foundLine{rest, [][3]int64{{1_000_123}, {400_000, d.End() + 300_000, 99_999}}}, nil
	default:
		return foundLine{}, fmt.Errorf("%q is neither data, instant, range nor often", word)
	}
}

// numbers reads some numbers and returns what follows them.
func numbers(s string, n int) (out []int64, rest string, err error) {
	for range n {
		word, after, _ := strings.Cut(s, " ")
		v, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			return nil, "", fmt.Errorf("read time: %w", err)
		}
		out, s = append(out, v), after
	}
	return out, s, nil
}

// Queries returns the cases. one are matchers that only one leaf, or one child of
// the root, fits.
func (f Found) Queries(one string) []Query {
	var out []Query
	for _, l := range f.lines {
		for _, t := range l.times {
			out = append(out, Query{Expr: strings.ReplaceAll(l.expr, "$ONE", one), Start: t[0], End: t[1], Step: t[2]})
		}
	}
	return out
}

// line is the query as a line of a file of found cases.
func (q Query) line() string {
	expr := strings.ReplaceAll(q.Expr, "\n", " ")
	if q.Step == 0 {
		return fmt.Sprintf("instant %d %s", q.Start, expr)
	}
	return fmt.Sprintf("range %d %d %d %s", q.Start, q.End, q.Step, expr)
}

// Headed puts before a difference, if there is one, the line of a file of found
// cases that tells which data of which seed it was found over.
func (d Data) Headed(seed int64, diff string) string {
	if diff == "" {
		return ""
	}
	return fmt.Sprintf("data %d %d\n%s", seed, d.Minutes, diff)
}
