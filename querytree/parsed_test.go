package querytree

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// oddTexts have each kind of node, and each way to write it.
var oddTexts = []string{
	`sum by (b, a) (rate(x{z="1", a=~"b.*", c!~"d|e", f!="g"}[5m] offset 3m))`,
	`quantile without (c) (0.9, -x > bool 3) or vector(1)`,
	`a * on (n, m) group_left (k, j) b`,
	`a + ignoring (n) group_right () fill_left (3) fill_right (4) b`,
	`max_over_time(rate(x[5m])[1h:] @ end() offset -1m)`,
	`max_over_time(x[1h + step():2 * range()] @ 17 offset (3 * 4))`,
	`x[5m] anchored`, `rate(x[5m] smoothed)`, `x @ start() offset 1h`,
	`info(x, {n=~"a.+"})`, `label_replace(x, "a", "$1", "b", "(.*)")`, `"text"`, `((1h))`, `time()`, `-(3 ^ 2)`,
	`topk(scalar(count(y)), {__name__=~"a|b"})`, `absent(x{a="b"})`,
}

// A text that was parsed before gives the same expression, of which nothing is
// shared that anybody changes.
func TestParsedOnce(t *testing.T) {
	plain, p := NewParser(), parsedOnce(NewParser())
	for _, text := range oddTexts {
		want, err := plain.ParseExpr(text)
		if err != nil {
			t.Fatal(err)
		}
		var got []parser.Expr
		for range 3 {
			e, err := p.ParseExpr(text)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, e, cmp.Exporter(func(reflect.Type) bool { return true }), cmp.Comparer(sameFunc), cmp.Comparer(sameRegexps)); d != "" {
				t.Errorf("%s: %s", text, d)
			}
			got = append(got, e)
		}
		seen := map[uintptr]string{}
		for i, e := range append(got, p.find(text)) {
			for at, what := range changeable(reflect.ValueOf(e)) {
				if old, ok := seen[at]; ok && !strings.HasPrefix(old, fmt.Sprint(i, " ")) {
					t.Errorf("%s: %s is shared with %s", text, what, old)
				}
				seen[at] = fmt.Sprint(i, " ", what)
			}
		}
	}
}

func sameFunc(a, b *parser.Function) bool { return a == b }

func sameRegexps(a, b *labels.FastRegexMatcher) bool {
	return a == b || a != nil && b != nil && a.GetRegexString() == b.GetRegexString()
}

// changeable returns the addresses of all that an expression consists of.
func changeable(v reflect.Value) map[uintptr]string {
	out := map[uintptr]string{}
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer:
			if v.IsNil() || v.Type() == reflect.TypeFor[*parser.Function]() || v.Type() == reflect.TypeFor[*labels.FastRegexMatcher]() {
				return
			}
			out[v.Pointer()] = v.Type().String()
			walk(v.Elem())
		case reflect.Interface:
			walk(v.Elem())
		case reflect.Slice:
			if v.Len() > 0 {
				out[v.Pointer()] = v.Type().String()
			}
			for i := range v.Len() {
				walk(v.Index(i))
			}
		case reflect.Struct:
			for i := range v.NumField() {
				walk(v.Field(i))
			}
		}
	}
	walk(v)
	return out
}

// What the engine does to an expression is not seen by who gets it next.
func TestParsedTextsStayAsTheyWere(t *testing.T) {
	p := parsedOnce(NewParser())
	for _, text := range oddTexts {
		e, err := p.ParseExpr(text)
		if err != nil {
			t.Fatal(err)
		}
		before := e.String()
		if _, err := promql.PreprocessExpr(e, time.Unix(100, 0), time.Unix(200, 0), time.Minute); err != nil {
			t.Fatal(err)
		}
		parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
			if vs, ok := n.(*parser.VectorSelector); ok {
				vs.LabelMatchers = append(vs.LabelMatchers[:0], &labels.Matcher{Name: "x"})
			}
			return nil
		})
		if again, err := p.ParseExpr(text); err != nil || again.String() != before {
			t.Errorf("%s became %s, %v", before, again, err)
		}
	}
}

// What is kept has a bound, what is used goes last, and errors are not kept.
func TestParsedTextsAreBounded(t *testing.T) {
	p := parsedOnce(NewParser())
	p.max = 100_000
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 500 {
				for _, text := range []string{fmt.Sprintf("sum(x%d)", i+w*100), "sum(always)"} {
					if e, err := p.ParseExpr(text); err != nil || e.String() != text {
						t.Errorf("%s: %v, %v", text, e, err)
					}
				}
			}
		})
	}
	wg.Wait()
	if p.bytes > p.max || p.bytes < p.max/2 || len(p.texts) != p.lru.Len() {
		t.Errorf("%d bytes in %d texts, %d listed", p.bytes, len(p.texts), p.lru.Len())
	}
	if p.find("sum(always)") == nil {
		t.Error("what was used last is gone")
	}
	long := strings.Repeat("x + ", 100) + "x"
	if _, err := p.ParseExpr(long); err != nil || p.find(long) != nil {
		t.Errorf("a long text is kept, or %v", err)
	}
	if _, err := p.ParseExpr("sum("); err == nil || p.find("sum(") != nil {
		t.Errorf("an error is kept: %v", err)
	}
}
