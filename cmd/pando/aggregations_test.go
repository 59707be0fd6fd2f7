package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckAggregations(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rules.yml")
	check := func(text string, args ...string) (int, string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var out, errOut bytes.Buffer
		code := runMain(context.Background(), append([]string{"check", "aggregations"}, args...), &out, &errOut)
		return code, out.String() + errOut.String()
	}
	for _, c := range []struct {
		what, text string
		args       []string
		code       int
		want       string
	}{
		{"good", "rules: [{name: a, match: [x], without: [pod], type: counter}]", []string{file}, 0, "a: {metric}:without_pod, every"},
		{"bad", "rules: [{name: a, match: [x]}]", []string{file}, 1, `rule "a": has neither`},
		{"no file", "", nil, 1, "no file"},
		{"schema", "", []string{"--schema"}, 0, `"max_inputs"`},
	} {
		if code, out := check(c.text, c.args...); code != c.code || !strings.Contains(out, c.want) {
			t.Errorf("%s: exit code %d, %s", c.what, code, out)
		}
	}
}
