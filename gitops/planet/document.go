package planet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"

	yaml "go.yaml.in/yaml/v3"
)

// Bounds of documents.
const (
	maxNodes    = 200_000   // of one, with aliases written out
	maxAllNodes = 2_000_000 // of all of a repository: some 300 MB
	maxNested   = 64
)

// mergeTag is that of the key <<.
const mergeTag = "!!merge"

// document parses a YAML file into nodes without aliases and merge keys, whose
// mappings have each key once. It returns nil if it has told of an error, or if
// the document is empty.
func document(file string, data []byte, r *report) *yaml.Node {
	d := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	switch err := d.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		line, text := lineOf(err.Error())
		r.failf(place{file: file, line: line}, "it is not YAML: %s", text)
		return nil
	}
	var next yaml.Node
	if err := d.Decode(&next); !errors.Is(err, io.EOF) {
		at := place{file: file, line: next.Line, col: next.Column}
		if err != nil {
			at.line, _ = lineOf(err.Error())
		}
		r.failf(at, "it has several YAML documents, of which the second is here: write one, without ---")
		return nil
	}
	if len(doc.Content) != 1 {
		return nil
	}
	w := &writeOut{file: file, report: r, budget: min(maxNodes, r.nodes)}
	n := w.node(doc.Content[0], 0)
	r.nodes = max(0, r.nodes-w.used)
	if w.failed || n.ShortTag() == "!!null" {
		return nil
	}
	return n
}

// yamlLine is how YAML's errors begin.
var yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?`)

// lineOf splits the line from the text of one of YAML's errors.
func lineOf(text string) (int, string) {
	m := yamlLine.FindStringSubmatch(text)
	line, _ := strconv.Atoi(m[1])
	return line, text[len(m[0]):]
}

// writeOut copies nodes, with aliases and merge keys written out.
type writeOut struct {
	file    string
	report  *report
	budget  int
	used    int
	failed  bool
	aliases []*yaml.Node // being written out
}

func (w *writeOut) fail(n *yaml.Node, format string, args ...any) *yaml.Node {
	if !w.failed {
		w.report.failf(place{w.file, n.Line, n.Column}, format, args...)
	}
	w.failed = true
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null", Line: n.Line, Column: n.Column}
}

func (w *writeOut) node(n *yaml.Node, depth int) *yaml.Node {
	w.used++
	switch {
	case w.failed:
		return n
	case w.used > w.budget && w.budget < maxNodes:
		return w.fail(n, "the files of the repository have more than %d values together, those that aliases stand for counted each time: use fewer aliases, or make it smaller", maxAllNodes)
	case w.used > w.budget:
		return w.fail(n, "it has more than %d values, those that aliases stand for counted each time: split the file", maxNodes)
	case depth > maxNested:
		return w.fail(n, "it is nested deeper than %d levels", maxNested)
	case n.Kind == yaml.AliasNode:
		return w.alias(n, depth)
	}
	out := &yaml.Node{Kind: n.Kind, Style: n.Style &^ yaml.TaggedStyle, Tag: n.Tag, Value: n.Value, Line: n.Line, Column: n.Column}
	switch n.Kind {
	case yaml.ScalarNode:
		if !slices.Contains([]string{"!!str", "!!int", "!!float", "!!bool", "!!null", "!!timestamp", mergeTag}, n.ShortTag()) {
			return w.fail(n, "the tag %s is not used here: leave it out", n.Tag)
		}
	case yaml.SequenceNode:
		for _, c := range n.Content {
			out.Content = append(out.Content, w.node(c, depth+1))
		}
	case yaml.MappingNode:
		w.mapping(n, out, depth)
	}
	return out
}

func (w *writeOut) alias(n *yaml.Node, depth int) *yaml.Node {
	if slices.Contains(w.aliases, n.Alias) {
		return w.fail(n, "the alias *%s stands for something that it is a part of", n.Value)
	}
	w.aliases = append(w.aliases, n.Alias)
	out := w.node(n.Alias, depth+1)
	w.aliases = w.aliases[:len(w.aliases)-1]
	return out
}

// mapping copies the entries of a mapping. What is merged in comes after, and
// does not replace anything.
func (w *writeOut) mapping(n, out *yaml.Node, depth int) {
	keys := map[string]bool{}
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			w.fail(key, "a key is not a plain word")
			return
		}
		if key.ShortTag() == mergeTag {
			merged = append(merged, w.node(value, depth+1))
			continue
		}
		if keys[key.Value] {
			w.fail(key, "the key %q is there twice: remove one", key.Value)
			return
		}
		keys[key.Value] = true
		out.Content = append(out.Content, w.node(key, depth+1), w.node(value, depth+1))
	}
	for len(merged) > 0 && !w.failed {
		m := merged[0]
		merged = merged[1:]
		switch m.Kind {
		case yaml.SequenceNode:
			merged = append(slices.Clone(m.Content), merged...)
		case yaml.MappingNode:
			for i := 0; i+1 < len(m.Content); i += 2 {
				if k := m.Content[i].Value; !keys[k] {
					keys[k] = true
					out.Content = append(out.Content, m.Content[i], m.Content[i+1])
				}
			}
		default:
			w.fail(m, "only mappings can be merged in by <<")
		}
	}
}

// field returns the value of a key, nil if it is not there.
func field(n *yaml.Node, name string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i+1]
		}
	}
	return nil
}

// text returns the scalar value of a key, empty if it is not there.
func text(n *yaml.Node, name string) string {
	if f := field(n, name); f != nil && f.Kind == yaml.ScalarNode && f.ShortTag() != "!!null" {
		return f.Value
	}
	return ""
}

// items returns the elements of the sequence that a key has.
func items(n *yaml.Node, name string) []*yaml.Node {
	if f := field(n, name); f != nil && f.Kind == yaml.SequenceNode {
		return f.Content
	}
	return nil
}

// encode writes a node as YAML, indented by two spaces.
func encode(n *yaml.Node) ([]byte, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(n); err != nil {
		return nil, fmt.Errorf("write YAML: %w", err)
	}
	if err := e.Close(); err != nil {
		return nil, fmt.Errorf("write YAML: %w", err)
	}
	return b.Bytes(), nil
}
