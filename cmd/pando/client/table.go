package client

import (
	"io"
	"strings"
	"unicode/utf8"
)

// column is a column of a text table.
type column struct {
	head  string
	right bool // Numbers are aligned to the right.
}

// writeTable writes rows under heads, aligned by the width of what is shown.
func writeTable(w io.Writer, cols []column, rows [][]string) error {
	widths := make([]int, len(cols))
	heads := make([]string, len(cols))
	for i, c := range cols {
		heads[i] = c.head
	}
	all := append([][]string{heads}, rows...)
	for _, row := range all {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, row := range all {
		var line strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i > 0 {
				line.WriteString("  ")
			}
			if cols[i].right {
				line.WriteString(pad + cell)
			} else {
				line.WriteString(cell + pad)
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " "))
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// printable replaces what could steer a terminal; label values come from
// anywhere.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || (r >= 0x7f && r < 0xa0) {
			return '\uFFFD'
		}
		return r
	}, s)
}

// levels draw a value between the least and the greatest of its series.
var levels = []rune("▁▂▃▄▅▆▇█")
