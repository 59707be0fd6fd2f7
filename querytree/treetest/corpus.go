package treetest

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// Corpus returns the distinct expressions of a folder of JSON lines, and of the
// folder that PANDO_CORPUS_DIR names, in the order of the files.
func Corpus(tb testing.TB, folder string) []string {
	tb.Helper()
	folders := []string{folder}
	if more := os.Getenv("PANDO_CORPUS_DIR"); more != "" {
		folders = append(folders, more)
	}
	var out []string
	seen := map[string]bool{}
	for _, folder := range folders {
		files, err := filepath.Glob(filepath.Join(folder, "*.jsonl"))
		if err != nil || len(files) == 0 {
			tb.Fatalf("no *.jsonl in %s: %v", folder, err)
		}
		for _, name := range files {
			for _, expr := range expressions(tb, name) {
				if !seen[expr] {
					seen[expr] = true
					out = append(out, expr)
				}
			}
		}
	}
	return out
}

func expressions(tb testing.TB, name string) []string {
	tb.Helper()
	f, err := os.Open(name)
	if err != nil {
		tb.Fatal(err)
	}
	var out []string
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line struct{ Expr string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			tb.Fatalf("%s: %v", name, err)
		}
		out = append(out, line.Expr)
	}
	if err := errors.Join(lines.Err(), f.Close()); err != nil {
		tb.Fatal(err)
	}
	return out
}

// FromEnv returns the positive number in an environment variable, or unset if
// there is none.
func FromEnv(tb testing.TB, name string, unset int) int {
	tb.Helper()
	s := os.Getenv(name)
	if s == "" {
		return unset
	}
	n, err := strconv.Atoi(s)
	if err != nil || n <= 0 {
		tb.Fatalf("%s=%q: want a positive number", name, s)
	}
	return n
}
