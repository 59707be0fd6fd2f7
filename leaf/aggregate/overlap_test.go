package aggregate

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A series is an input of one rule. A rule that can have none is refused; of those
// that share some it is said whose they are.
func TestOverlappingRules(t *testing.T) {
	for _, c := range []struct {
		name, first, second string
		refused, noted      bool
	}{
		{"the same", `x`, `x`, true, false},
		{"a part of it", `x`, `x{job="a"}`, true, false},
		{"a value of a list", `{__name__=~"x|y"}`, `y{job="a"}`, true, false},
		{"a value of a pattern", `{__name__=~"x.*"}`, `x1`, true, false},
		{"one selector of two", `x`, `x{job="a"}", "y`, false, true},
		{"the special one first", `x{job="a"}`, `x`, false, true},
		{"some of it, perhaps", `x{job="a"}`, `x{env="b"}`, false, true},
		{"patterns", `{__name__=~"x.*"}`, `{__name__=~"x.+"}`, false, true},
		{"other names", `x`, `y`, false, false},
		{"other values", `x{job="a"}`, `x{job!="a"}`, false, false},
		{"other values of a list", `x{job=~"a|b"}`, `x{job=~"c|d"}`, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := "rules:\n"
			for name, match := range map[string]string{"one": c.first, "two": c.second} {
				entry := fmt.Sprintf("- {name: %s, match: ['%s'], without: [pod], type: counter}\n", name, strings.ReplaceAll(match, `", "`, `', '`))
				if name == "one" {
					text = strings.Replace(text, "rules:\n", "rules:\n"+entry, 1)
				} else {
					text += entry
				}
			}
			rules, err := Parse([]byte(text), 15*time.Second)
			if (err != nil) != c.refused || err != nil && !strings.Contains(err.Error(), `rule "two" never has an input: all that it selects is taken by ["one"]`) {
				t.Fatalf("%v\n%s", err, text)
			}
			notes := rules.Overlaps()
			if !c.refused && (len(notes) > 0) != c.noted || c.noted && !strings.Contains(notes[0], "are inputs of one alone") {
				t.Errorf("%q", notes)
			}
		})
	}
}
