package fieldhint

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/promql/parser"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

const selectorFile = "testdata/selectors.txt"

// TestSelectors is a table of two columns, selectors and what is asked of hints
// for them. <1000> in a selector stands for v0|v1|…|v999; a long text is cut.
func TestSelectors(t *testing.T) {
	file, err := os.ReadFile(selectorFile)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	cases := 0
	for line := range strings.Lines(string(file)) {
		text, _, ok := strings.Cut(line, " ⇒ ")
		if !ok {
			out.WriteString(line)
			continue
		}
		cases++
		ms, err := parser.NewParser(parser.Options{}).ParseMetricSelector(expandAlternatives(text))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		q := Compile(ms)
		fmt.Fprintf(&out, "%s ⇒ %s\n", text, abbreviate(q))
	}
	if cases < 80 {
		t.Errorf("only %d selectors", cases)
	}
	if *update {
		if err := os.WriteFile(selectorFile, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(strings.Split(string(file), "\n"), strings.Split(out.String(), "\n")); diff != "" && !*update {
		t.Errorf("queries (-want +got):\n%s", diff)
	}
}

func expandAlternatives(text string) string {
	return regexp.MustCompile(`<(\d+)>`).ReplaceAllStringFunc(text, func(s string) string {
		n, _ := strconv.Atoi(s[1 : len(s)-1])
		alternatives := make([]string, n)
		for i := range alternatives {
			alternatives[i] = "v" + strconv.Itoa(i)
		}
		return strings.Join(alternatives, "|")
	})
}

func abbreviate(q Query) string {
	const most, ends = 1200, 150
	text := []rune(q.String())
	if len(text) <= most {
		return string(text)
	}
	return fmt.Sprintf("%s … %s [%d atoms]", string(text[:ends]), string(text[len(text)-ends:]), q.expr().size)
}
