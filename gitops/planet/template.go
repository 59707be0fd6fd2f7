package planet

import (
	"bytes"
	"regexp"
	"slices"
	"strconv"

	yaml "go.yaml.in/yaml/v3"
)

// template is the text of an item with gaps for values, so that the text of a
// thousand clusters is encoded once. What goes into a gap can be: values have no
// quotes, backslashes or line ends, and stand between double quotes.
type template struct {
	texts [][]byte // one more than words
	words []string
	bare  []bool // of words: the value is all there is, and not quoted if it is a number
}

// gap marks where a value goes. It is text that YAML does not quote or escape.
const gap = "PandoGap"

// gaps finds the marks, with the quotes of those that are bare.
var gaps = regexp.MustCompile(gap + `([0-9]+)x`)

// newTemplate encodes an item. It returns nil if the item's own text looks like a
// mark.
func newTemplate(n *yaml.Node) (*template, error) {
	plain, err := encodeItem(n)
	if err != nil || bytes.Contains(plain, []byte(gap)) {
		return nil, err
	}
	t := &template{}
	text, err := encodeItem(t.marked(n))
	if err != nil {
		return nil, err
	}
	var words []string
	var bare []bool
	from := 0
	for _, m := range gaps.FindAllSubmatchIndex(text, -1) {
		i, err := strconv.Atoi(string(text[m[2]:m[3]]))
		if err != nil || i >= len(t.words) {
			return nil, nil
		}
		t.texts = append(t.texts, text[from:m[0]])
		words, bare = append(words, t.words[i]), append(bare, t.bare[i])
		from = m[1]
	}
	t.texts = append(t.texts, text[from:])
	t.words, t.bare = words, bare
	return t, nil
}

// encodeItem writes an item as the only element of a list.
func encodeItem(n *yaml.Node) ([]byte, error) {
	return encode(&yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{n}})
}

// marked returns a copy of a node with marks for variables.
func (t *template) marked(n *yaml.Node) *yaml.Node {
	out := *n
	if n.Kind != yaml.ScalarNode {
		out.Content = slices.Clone(n.Content)
		for i, c := range out.Content {
			if n.Kind != yaml.MappingNode || i%2 == 1 {
				out.Content[i] = t.marked(c)
			}
		}
		return &out
	}
	one := n.Style == 0 && alone.MatchString(n.Value)
	found := false
	out.Value = replaceVariables(n.Value, func(word string) string {
		t.words, t.bare = append(t.words, word), append(t.bare, one)
		found = true
		return gap + strconv.Itoa(len(t.words)-1) + "x"
	})
	if found && !one {
		out.Style, out.Tag = yaml.DoubleQuotedStyle, "!!str"
	}
	return &out
}

// fill returns the text with values.
func (t *template) fill(v values) []byte {
	size := 0
	for _, text := range t.texts {
		size += len(text) + 64
	}
	out := make([]byte, 0, size)
	for i, word := range t.words {
		value, _ := v.get(word)
		out = append(out, t.texts[i]...)
		if t.bare[i] && !number.MatchString(value) {
			out = append(append(append(out, '"'), value...), '"')
		} else {
			out = append(out, value...)
		}
	}
	return append(out, t.texts[len(t.words)]...)
}
