package client

import (
	"fmt"
	"testing"
)

func TestParseMissing(t *testing.T) {
	for _, m := range []Missing{
		{"leaf", "zone=eu,cluster=eu-1", `unavailable: not connected to "zone=eu" since 2026-11-22T00:24:32Z`},
		{"zone", "zone=us", "unavailable: soft deadline passed (10s)"},
		{"leaf", `zone="\,cluster= did not answer: /shard=0`, ""},
		{"root", "root", "unavailable: no child has registered with it yet"},
	} {
		w := fmt.Sprintf("partial answer: %s %q did not answer: %s", m.Tier, m.Name, m.Reason)
		if got, ok := ParseMissing(w); !ok || got != m {
			t.Errorf("%s\nis read as %+v, %v", w, got, ok)
		}
	}
	for _, w := range []string{
		"", "partial answer: ", "partial answer: leaf", `partial answer: leaf x did not answer: y`, `partial answer: leaf "x did not answer: y`,
		`partial answer: leaf "x" answered: y`, `partial answer:  "x" did not answer: y`, "partial answer: leaf `x` did not answer: y",
		`PromQL info: metric might not be a counter: "x" did not answer: y`,
	} {
		if got, ok := ParseMissing(w); ok {
			t.Errorf("%q is read as %+v", w, got)
		}
	}
}
