package treerpc

import (
	"encoding/json"
	"slices"

	"github.com/pandometrics/pando/querytree"
)

// Bounds of an explanation on the wire.
const (
	// maxExplanation is its size in bytes.
	maxExplanation = 1 << 20
	// maxExplained bounds its JSON objects and arrays, and maxExplainedDepth how
	// deep they are in one another: a row of few bytes takes far more memory.
	maxExplained      = 1 << 15
	maxExplainedDepth = 4 * maxTreeDepth
)

// explanationToWire returns the JSON of an explanation. What is too large loses
// what the children say of themselves, level by level from the lowest, and then
// all of its lists; it says so.
func explanationToWire(e *querytree.Explanation) []byte {
	if e == nil {
		return nil
	}
	// The levels that fit cannot be told without trying.
	for levels := min(depthOf(e), maxExplainedDepth/3); levels >= 0; levels-- {
		if b, ok := marshalExplanation(cutBelow(e, levels)); ok {
			return b
		}
	}
	short := *e
	short.Fragments, short.Cuts, short.Replans = nil, nil, nil
	short.Truncated = "all lists, which are too large"
	if b, ok := marshalExplanation(&short); ok {
		return b
	}
	b, _ := marshalExplanation(&querytree.Explanation{Name: e.Name, Tier: e.Tier, Truncated: "all, which is too large"})
	return b
}

func marshalExplanation(e *querytree.Explanation) ([]byte, bool) {
	b, err := json.Marshal(e)
	return b, err == nil && plausible(b)
}

// depthOf returns how many levels of children speak.
func depthOf(e *querytree.Explanation) (levels int) {
	for _, f := range e.Fragments {
		for _, c := range f.Children {
			if c.Below != nil {
				levels = max(levels, 1+depthOf(c.Below))
			}
		}
	}
	return levels
}

// cutBelow returns a copy without what is more than some levels below.
func cutBelow(e *querytree.Explanation, levels int) *querytree.Explanation {
	out := *e
	out.Fragments = slices.Clone(e.Fragments)
	for i := range out.Fragments {
		f := &out.Fragments[i]
		f.Children = slices.Clone(f.Children)
		for j := range f.Children {
			switch c := &f.Children[j]; {
			case c.Below == nil:
			case levels == 0:
				c.Below, out.Truncated = nil, "what the children say of themselves"
			default:
				c.Below = cutBelow(c.Below, levels-1)
			}
		}
	}
	return &out
}

// explanationFromWire is the inverse of explanationToWire. Nonsense is no
// explanation: an answer is not worse for it.
func explanationFromWire(b []byte) *querytree.Explanation {
	if len(b) == 0 || !plausible(b) {
		return nil
	}
	e := &querytree.Explanation{}
	if json.Unmarshal(b, e) != nil {
		return nil
	}
	return e
}

// plausible reports whether JSON keeps to the bounds above.
func plausible(b []byte) bool {
	if len(b) > maxExplanation {
		return false
	}
	opened, depth, text := 0, 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			text = !text
		case text && c == '\\':
			i++
		case text:
		case c == '{' || c == '[':
			opened++
			if depth++; depth > maxExplainedDepth || opened > maxExplained {
				return false
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return true
}
