package planet

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// values are what can be put into configuration: the identity of a cluster, zone
// or root, and nothing else. Names that a tier does not have are empty.
type values struct {
	cluster, zone string
	labels        map[string]string
}

// Names of variables.
const (
	clusterVar  = "cluster"
	zoneVar     = "zone"
	labelPrefix = "label:"
)

// variable matches a run of dollars before a word in braces. Words begin with a
// letter or underscore, so ${1} is none.
var variable = regexp.MustCompile(`(\$+)\{([A-Za-z_][A-Za-z0-9_:.-]*)\}`)

// known reports whether a word in braces is a variable.
func known(word string) bool {
	return word == clusterVar || word == zoneVar || strings.HasPrefix(word, labelPrefix)
}

// get returns the value of a variable.
func (v values) get(word string) (string, bool) {
	switch {
	case word == clusterVar:
		return v.cluster, v.cluster != ""
	case word == zoneVar:
		return v.zone, v.zone != ""
	default:
		s, ok := v.labels[strings.TrimPrefix(word, labelPrefix)]
		return s, ok
	}
}

// replaceVariables replaces the variables of a text. Of dollars before a variable,
// two stand for one, and an odd one makes it a variable: $${zone} is the text
// ${zone}. All other dollars are left as they are.
func replaceVariables(s string, value func(word string) string) string {
	if !strings.Contains(s, "${") {
		return s
	}
	return variable.ReplaceAllStringFunc(s, func(match string) string {
		m := variable.FindStringSubmatch(match)
		dollars, word := len(m[1]), m[2]
		if !known(word) {
			return match
		}
		out := strings.Repeat("$", dollars/2)
		if dollars%2 == 0 {
			return out + "{" + word + "}"
		}
		return out + value(word)
	})
}

// alone is a text that is one variable and nothing else.
var alone = regexp.MustCompile(`^\$\{[A-Za-z_][A-Za-z0-9_:.-]*\}$`)

// scanned is what a node says of variables.
type scanned struct {
	words   []string // variables that get values, sorted
	any     bool     // there is something to substitute, escapes included
	unknown []*yaml.Node
}

// scan finds the variables of a node. In relabelings, other words in braces may be
// groups of a regular expression; elsewhere they are unknown.
func scan(n *yaml.Node, relabeling bool, out *scanned) {
	switch n.Kind {
	case yaml.ScalarNode:
		if strings.Contains(n.Value, "${") {
			scanText(n, relabeling, out)
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			scan(n.Content[i+1], relabeling || strings.HasSuffix(n.Content[i].Value, "relabel_configs"), out)
		}
	default:
		for _, c := range n.Content {
			scan(c, relabeling, out)
		}
	}
}

func scanText(n *yaml.Node, relabeling bool, out *scanned) {
	for _, m := range variable.FindAllStringSubmatch(n.Value, -1) {
		word := m[2]
		switch {
		case known(word):
			out.any = true
			if len(m[1])%2 == 1 && !slices.Contains(out.words, word) {
				out.words = append(out.words, word)
			}
		case !relabeling:
			out.unknown = append(out.unknown, n)
		}
	}
}

// unknownText says what to do about a text with an unknown variable.
func unknownText(n *yaml.Node) string {
	for _, m := range variable.FindAllStringSubmatch(n.Value, -1) {
		if !known(m[2]) {
			return fmt.Sprintf("there is no variable ${%s}: only identity can be put in: ${cluster}, ${zone} and ${label:NAME}%s", m[2], meant(m[2], []string{clusterVar, zoneVar}))
		}
	}
	return "unknown variable"
}

// number is a value that a plain text with variables may become.
var number = regexp.MustCompile(`^(0|[1-9][0-9]{0,17})$`)

// apply returns a node with values put in, empty ones if there are none. Nodes
// without variables are shared.
func (v values) apply(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.ScalarNode {
		return v.applyText(n)
	}
	var out *yaml.Node
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			continue
		}
		changed := v.apply(c)
		if changed == c {
			continue
		}
		if out == nil {
			copied := *n
			out = &copied
			out.Content = slices.Clone(n.Content)
		}
		out.Content[i] = changed
	}
	if out == nil {
		return n
	}
	return out
}

func (v values) applyText(n *yaml.Node) *yaml.Node {
	s := replaceVariables(n.Value, func(word string) string {
		value, _ := v.get(word)
		return value
	})
	if s == n.Value {
		return n
	}
	out := *n
	out.Value = s
	// What is one variable and not quoted may become a number, such as a port.
	if out.Tag = "!!str"; n.Style == 0 && alone.MatchString(n.Value) && number.MatchString(s) {
		out.Tag = "!!int"
	}
	return &out
}

// missing returns the first variable that has no value.
func (v values) missing(words []string) (string, bool) {
	for _, word := range words {
		if _, ok := v.get(word); !ok {
			return word, true
		}
	}
	return "", false
}
