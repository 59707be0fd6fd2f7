package planet

import "strings"

// advice says what to change where Prometheus' parser only says what is wrong. Of a
// text that has several of the words, the first counts.
func advice() [][2]string {
	return [][2]string{
		{"scrape timeout greater than scrape interval", "make scrape_timeout at most scrape_interval, or leave it out"},
		{"at most one of", "leave all but one out"},
		{"empty or null", "write its fields, or take the dash away"},
		{"unknown relabel action", "write replace, keep, drop, keepequal, dropequal, hashmod, labelmap, labeldrop, labelkeep, lowercase or uppercase"},
		{"is invalid 'target_label'", "write the name of a label"},
		{"requires 'target_label'", "add target_label"},
		{"requires non-zero modulus", "add modulus, of 1 at least"},
		{"requires only", "leave the other fields out"},
		{"is a reserved header", "leave it out"},
		{"duplicated protocol", "name each once"},
		{"unknown scrape protocol", "write one of those"},
		{"not a valid duration", "write a number with a unit, such as 30s or 5m"},
		{"error parsing regexp", "write it in the syntax of RE2, as https://github.com/google/re2/wiki/Syntax has it"},
		{"cannot unmarshal", "write a value of that type"},
		{"is not a valid label name", "write letters, digits and underscores"},
		{"is not a valid hostname", "write host:port, without a scheme or a path"},
		{"unsupported scheme", "write http or https"},
		{"found multiple", "give each a name of its own"},
	}
}

// advised adds to a parser's text what to change, if it does not say so.
func advised(text string) string {
	for _, a := range advice() {
		if strings.Contains(text, a[0]) {
			return text + ": " + a[1]
		}
	}
	return text
}
