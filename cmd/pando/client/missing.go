package client

import (
	"strconv"
	"strings"
)

// Missing is what a warning of a partial answer says: a child whose part is
// missing from the answer, and why.
type Missing struct {
	// Tier is leaf, zone or root; Name the child's identity.
	Tier, Name string
	Reason     string
}

// The parts of a warning of a partial answer:
//
//	partial answer: leaf "zone=eu,cluster=eu-1" did not answer: unavailable: connection lost
const (
	missingPrefix = "partial answer: "
	missingVerb   = " did not answer: "
)

// ParseMissing reads a warning of the API. It reports false for warnings that
// are not of a partial answer.
func ParseMissing(warning string) (Missing, bool) {
	rest, ok := strings.CutPrefix(warning, missingPrefix)
	if !ok {
		return Missing{}, false
	}
	tier, rest, ok := strings.Cut(rest, " ")
	if !ok || tier == "" {
		return Missing{}, false
	}
	quoted, err := strconv.QuotedPrefix(rest)
	if err != nil || quoted[0] != '"' {
		return Missing{}, false
	}
	name, err := strconv.Unquote(quoted)
	if err != nil {
		return Missing{}, false
	}
	reason, ok := strings.CutPrefix(rest[len(quoted):], missingVerb)
	return Missing{Tier: tier, Name: name, Reason: reason}, ok
}
