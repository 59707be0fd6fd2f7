package querytree

import (
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func repeated(n int, parts ...string) string {
	return strings.Repeat(strings.Join(parts, ""), n)
}

func TestCheckQuery(t *testing.T) {
	l := DefaultLimits()
	for _, c := range []struct {
		name, query string
		ok          bool
	}{
		{"empty", "", true},
		{"ordinary", `sum by (job) (rate(x{a=~"b.*"}[5m]))`, true},
		{"as long as can be", "x" + strings.Repeat(" ", l.MaxQueryLength-1), true},
		{"too long", "x" + strings.Repeat(" ", l.MaxQueryLength), false},
		{"deep enough", strings.Repeat("(", 100) + "x" + strings.Repeat(")", 100), true},
		{"too deep", strings.Repeat("(", 101) + "x" + strings.Repeat(")", 101), false},
		{"200 kB of brackets", strings.Repeat("(", 200_000), false},
		{"200 kB of minus signs", strings.Repeat("-", 200_000) + "x", false},
		{"16 kB of minus signs", strings.Repeat("-", 16_000) + "x", false},
		{"minus signs with blanks", strings.Repeat("- ", 200) + "x", false},
		{"minus signs with comments", strings.Repeat("-#\n", 200) + "x", false},
		{"minus signs and brackets", strings.Repeat("-(", 8_000), false},
		{"minus signs in brackets", repeated(20, "(", "------") + "x" + strings.Repeat(")", 20), true},
		{"brackets in strings", `x{a="` + strings.Repeat("(", 1000) + `"}`, true},
		{"in single quotes", `x{a='` + strings.Repeat("[", 1000) + `'}`, true},
		{"in backquotes", "x{a=`" + strings.Repeat("{", 1000) + "\\`}", true},
		{"escaped quotes", `x{a="\"` + strings.Repeat("(", 1000) + `\\"}`, true},
		{"after a string that ends with a backslash", `x{a="\\"}` + strings.Repeat("(", 1000), false},
		{"after a backquoted backslash", "x{a=`\\`}" + strings.Repeat("(", 1000), false},
		{"brackets in comments", "x # " + strings.Repeat("(", 1000), true},
		{"after a comment", "x # comment\n" + strings.Repeat("(", 1000), false},
		{"a comment sign in a string", `x{a="#"}` + strings.Repeat("(", 1000), false},
		{"quotes in comments", "x # it's\n" + strings.Repeat("(", 1000), false},
		{"siblings", repeated(500, "(x)+") + "x", true},
		{"a power of powers", "2" + strings.Repeat("^2", 1000), false},
		{"a chain of sums", "x" + strings.Repeat("+x", 5000), false},
		{"a chain of unions", "x" + strings.Repeat(" or x", 3000), false},
	} {
		err := l.CheckQuery(c.query)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
		if err != nil && (!IsLimit(err) || !strings.Contains(err.Error(), "--query.max-")) {
			t.Errorf("%s: the error does not name the limit: %v", c.name, err)
		}
	}
}

// hostile are queries as long as the limits allow, of every shape that makes a
// parser recurse, look back or start over.
func hostile(l Limits) map[string]string {
	fill := func(start, part, end string) string {
		return start + strings.Repeat(part, (l.MaxQueryLength-len(start)-len(end))/len(part)) + end
	}
	deep := func(open, in, shut string) string {
		return strings.Repeat(open, l.MaxQueryDepth/max(1, strings.Count(open, "("))) + in + strings.Repeat(shut, l.MaxQueryDepth/max(1, strings.Count(open, "(")))
	}
	parts := "sum(y)"
	for i := 0; len(parts) < l.MaxQueryLength-20 && i < l.MaxQueryDepth*operatorsPerDepth-1; i++ {
		parts += fmt.Sprintf("+sum(x%d)", i)
	}
	return map[string]string{
		"parts":                parts,
		"powers":               fill("2", "^2", ""),
		"powers of minus":      fill("2", "^-2", ""),
		"powers of series":     fill("x", "^x", ""),
		"sums":                 fill("x", "+x", ""),
		"sums with on":         fill("x", "+on()x", ""),
		"comparisons":          fill("1", "<bool 1", ""),
		"or":                   fill("x", " or x", ""),
		"precedence":           fill("x", "+x*x^x", ""),
		"matchers":             fill("x{", `a="",`, "}"),
		"grouping":             fill("sum by (", "a,", "a)(x)"),
		"subqueries":           fill("x", "[1m:]", ""),
		"subqueries, in calls": deep("rate(", "x[1m]", "[1m:])"),
		"offsets":              fill("x", " offset 1m", ""),
		"at":                   fill("x", " @ 1", ""),
		"durations":            fill("x[1m", "+1m", "]"),
		"products of duration": fill("x[1", "*1m", "]"),
		"powers of duration":   fill("x[1", "^1", "]"),
		"duration brackets":    "x[" + deep("(", "1m", ")") + "]",
		"calls":                deep("abs(", "x", ")"),
		"aggregations":         deep("sum(", "x", ")"),
		"brackets":             deep("(", "x", ")"),
		"braces":               strings.Repeat("{", l.MaxQueryDepth),
		"square brackets":      strings.Repeat("[", l.MaxQueryDepth),
		"brackets, unfinished": fill("", strings.Repeat("(", 50)+"x"+strings.Repeat(")", 50)+"+", ""),
		"arguments":            fill("label_join(x", `,"a"`, ")"),
		"strings":              fill(`"`, `\x41`, `"`),
		"unfinished string":    fill(`"`, `a`, ``),
		"backquotes":           fill("", "`a`", ""),
		"comments":             fill("x", "#\n", ""),
		"blanks":               fill("x", " \n\t", ""),
		"not utf-8":            fill("", "\xff", ""),
		"wide":                 fill(`{"`, "ä", `"}`),
		"numbers":              fill("1", "1", ""),
		"hex":                  fill("0x", "f", ""),
		"histograms":           fill("x ", "{{}} ", ""),
		"minus in calls":       deep("-abs(", "x", ")"),
		"regexps":              fill("x{a=~\"", "(a|", "\"}"),
		"repeated regexps":     fill("x{", `a=~"(.*.*){9}",`, "}"),
		"nested repetitions":   `x{a=~"((((a{9}){9}){9}){9}){9}"}`,
	}
}

// Whatever is accepted is parsed, and planned, with work that only depends on
// its length. The bound is generous; what it excludes takes seconds to minutes.
func TestAcceptedQueriesAreParsedFast(t *testing.T) {
	l := DefaultLimits()
	m := planner(t, false, families["leaves"]...)
	for name, query := range hostile(l) {
		if err := l.CheckQuery(query); err != nil {
			continue
		}
		var err error
		parsed := work(func() { _, err = m.tickets.Parser.ParseExpr(query) })
		if parsed > parseBound {
			t.Errorf("%s: parsed in %s", name, parsed)
		}
		if err != nil {
			continue
		}
		planned := work(func() {
			_, _ = m.newExecution(ExecRequest{Query: query, Start: 0, End: 600_000, Step: 60_000}, nil, nil)
		})
		if planned > 5*parseBound {
			t.Errorf("%s: parsed in %s, planned in %s", name, parsed, planned)
		}
	}
}

// parseBound is processor time, with the race detector on.
const parseBound = 3 * time.Second

// work returns the processor time that f takes, which, unlike the time of day,
// does not depend on what else the machine does.
func work(f func()) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := threadTime()
	f()
	return threadTime() - before
}

func threadTime() time.Duration {
	const thread = 1 // RUSAGE_THREAD
	var u syscall.Rusage
	if err := syscall.Getrusage(thread, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func FuzzCheckQuery(f *testing.F) {
	l := DefaultLimits()
	for _, q := range hostile(l) {
		f.Add(q)
	}
	p := NewParser()
	f.Fuzz(func(t *testing.T, q string) {
		if l.CheckQuery(q) != nil {
			return
		}
		if took := work(func() { _, _ = p.ParseExpr(q) }); took > parseBound {
			t.Errorf("%d bytes parsed in %s", len(q), took)
		}
	})
}

func TestLimitsValidate(t *testing.T) {
	if err := DefaultLimits().Validate(); err != nil {
		t.Error(err)
	}
	l := DefaultLimits()
	l.MaxSeries = 0
	if err := l.Validate(); err == nil || !strings.Contains(err.Error(), "--query.max-series") {
		t.Errorf("got %v", err)
	}
}

func TestLower(t *testing.T) {
	got := []int{lower(0, 0), lower(0, 3), lower(3, 0), lower(3, 4), lower(4, 3)}
	if d := cmp.Diff([]int{0, 3, 3, 3, 3}, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestSoftDeadline(t *testing.T) {
	for _, c := range []struct{ own, budget, want time.Duration }{
		{30 * time.Second, 0, 30 * time.Second},
		{30 * time.Second, time.Minute, 30 * time.Second},
		{30 * time.Second, 20 * time.Second, 19 * time.Second},
		{30 * time.Second, time.Second, 800 * time.Millisecond},
		{30 * time.Second, time.Nanosecond, time.Nanosecond},
	} {
		if got := softDeadline(c.own, c.budget); got != c.want {
			t.Errorf("softDeadline(%s, %s) = %s, want %s", c.own, c.budget, got, c.want)
		}
	}
}
