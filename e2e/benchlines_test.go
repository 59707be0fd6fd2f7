package e2e_test

import (
	"io"
	"strings"
	"testing"
)

// bodyLines reads the lines of a text.
func bodyLines(tb testing.TB, r io.Reader) []string {
	tb.Helper()
	b, err := io.ReadAll(io.LimitReader(r, 64<<20))
	if err != nil {
		tb.Fatal(err)
	}
	return strings.Split(string(b), "\n")
}
