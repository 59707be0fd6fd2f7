package planet

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// schema is a JSON schema, as far as ours go. Editors complete and check files by
// the same text that they are validated by.
type schema struct {
	Schema      string             `json:"$schema"`
	ID          string             `json:"$id"`
	Ref         string             `json:"$ref"`
	Defs        map[string]*schema `json:"$defs"`
	Title       string             `json:"title"`
	Description string             `json:"description"`
	Default     any                `json:"default"`

	Type       types              `json:"type"`
	Enum       []string           `json:"enum"`
	Const      any                `json:"const"`
	Pattern    string             `json:"pattern"`
	MinLength  int                `json:"minLength"`
	MaxLength  int                `json:"maxLength"`
	Minimum    *float64           `json:"minimum"`
	Items      *schema            `json:"items"`
	MinItems   int                `json:"minItems"`
	MaxItems   int                `json:"maxItems"`
	Unique     bool               `json:"uniqueItems"`
	Properties map[string]*schema `json:"properties"`
	MinProps   int                `json:"minProperties"`
	Additional additional         `json:"additionalProperties"`
	Names      *schema            `json:"propertyNames"`
	Required   []string           `json:"required"`
	OneOf      []*schema          `json:"oneOf"`
	If         *schema            `json:"if"`
	Then       *schema            `json:"then"`
	Else       *schema            `json:"else"`

	pattern *regexp.Regexp
	root    *schema
}

// types is one type or several.
type types []string

// UnmarshalJSON implements json.Unmarshaler.
func (t *types) UnmarshalJSON(data []byte) error {
	if data[0] == '[' {
		return json.Unmarshal(data, (*[]string)(t))
	}
	*t = types{""}
	return json.Unmarshal(data, &(*t)[0])
}

// additional is false, or the schema of properties that are not named.
type additional struct {
	none bool
	of   *schema
}

// UnmarshalJSON implements json.Unmarshaler.
func (a *additional) UnmarshalJSON(data []byte) error {
	switch string(data) {
	case "false":
		a.none = true
		return nil
	case "true":
		return nil
	}
	a.of = &schema{}
	return decodeSchema(data, a.of)
}

func decodeSchema(data []byte, s *schema) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	return d.Decode(s)
}

// parseSchema reads a schema.
func parseSchema(data []byte) (*schema, error) {
	s := &schema{}
	if err := decodeSchema(data, s); err != nil {
		return nil, err
	}
	return s, s.prepare(s)
}

// prepare compiles patterns and finds the definitions.
func (s *schema) prepare(root *schema) error {
	if s == nil || s.root != nil {
		return nil
	}
	s.root = root
	if s.Pattern != "" {
		var err error
		if s.pattern, err = regexp.Compile(s.Pattern); err != nil {
			return err
		}
	}
	if name, ok := strings.CutPrefix(s.Ref, "#/$defs/"); s.Ref != "" && (!ok || root.Defs[name] == nil) {
		return fmt.Errorf("schema: there is no %s", s.Ref)
	}
	below := slices.Concat(slices.Collect(maps.Values(s.Defs)), slices.Collect(maps.Values(s.Properties)), s.OneOf, []*schema{s.Items, s.Names, s.If, s.Then, s.Else, s.Additional.of})
	for _, b := range below {
		if err := b.prepare(root); err != nil {
			return err
		}
	}
	return nil
}

// fault is a node that does not fit a schema.
type fault struct {
	node *yaml.Node
	text string
}

// check returns what does not fit.
func (s *schema) check(n *yaml.Node) (faults []fault) {
	if s.Ref != "" {
		faults = s.root.Defs[strings.TrimPrefix(s.Ref, "#/$defs/")].check(n)
	}
	if s.If != nil {
		branch := s.Else
		if len(s.If.check(n)) == 0 {
			branch = s.Then
		}
		if branch != nil {
			faults = append(faults, branch.check(n)...)
		}
	}
	if !s.fits(n) {
		return append(faults, fault{n, fmt.Sprintf("%s is not %s", described(n), s.Type.words())})
	}
	faults = append(faults, s.choices(n)...)
	switch n.Kind {
	case yaml.ScalarNode:
		return append(faults, s.scalar(n)...)
	case yaml.SequenceNode:
		return append(faults, s.sequence(n)...)
	default:
		return append(faults, s.mapping(n)...)
	}
}

// fits reports whether a node is of one of the types.
func (s *schema) fits(n *yaml.Node) bool {
	return len(s.Type) == 0 || slices.ContainsFunc(s.Type, func(t string) bool { return typed(n, t) })
}

func typed(n *yaml.Node, t string) bool {
	tag := n.ShortTag()
	if n.Kind == yaml.ScalarNode && n.Style == 0 && alone.MatchString(n.Value) {
		return t == "string" || t == "integer" || t == "number" // for what is put in to decide
	}
	switch t {
	case "object":
		return n.Kind == yaml.MappingNode
	case "array":
		return n.Kind == yaml.SequenceNode
	case "string":
		return tag == "!!str" || tag == "!!timestamp"
	case "integer":
		return tag == "!!int"
	case "number":
		return tag == "!!int" || tag == "!!float"
	case "boolean":
		return tag == "!!bool"
	case "null":
		return tag == "!!null"
	}
	return false
}

// words says what is wanted.
func (t types) words() string {
	names := map[string]string{"object": "a mapping", "array": "a list", "string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false", "null": "null"}
	var out []string
	for _, name := range t {
		out = append(out, names[name])
	}
	return strings.Join(out, " or ")
}

// described says what a node is.
func described(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.ShortTag() == "!!null":
		return "nothing"
	default:
		return shortened(n.Value)
	}
}

// shortened quotes a value of any length.
func shortened(s string) string {
	if len(s) > 60 {
		s = s[:57] + "..."
	}
	return strconv.Quote(s)
}

func (s *schema) scalar(n *yaml.Node) (faults []fault) {
	add := func(format string, args ...any) { faults = append(faults, fault{n, fmt.Sprintf(format, args...)}) }
	switch {
	case s.Const != nil && fmt.Sprint(s.Const) != n.Value:
		add("it is %s: write %v", described(n), s.Const)
	case len(s.Enum) > 0 && !slices.Contains(s.Enum, n.Value):
		add("there is no %s here: use %s%s", described(n), strings.Join(s.Enum, ", "), meant(n.Value, s.Enum))
	case len(n.Value) < s.MinLength:
		add("it is empty")
	case s.MaxLength > 0 && len(n.Value) > s.MaxLength:
		add("it has %d bytes: at most %d are read", len(n.Value), s.MaxLength)
	case s.pattern != nil && typed(n, "string") && !s.pattern.MatchString(n.Value):
		if s.Description != "" {
			add("%s does not fit: %s", described(n), s.Description)
		} else {
			add("%s does not match %s", described(n), s.Pattern)
		}
	case s.Minimum != nil:
		if v, err := strconv.ParseFloat(n.Value, 64); err == nil && v < *s.Minimum {
			add("it is %s: the least is %v", n.Value, *s.Minimum)
		}
	}
	return faults
}

func (s *schema) sequence(n *yaml.Node) (faults []fault) {
	if len(n.Content) < s.MinItems {
		faults = append(faults, fault{n, fmt.Sprintf("it has %d entries: write at least %d", len(n.Content), s.MinItems)})
	}
	if s.MaxItems > 0 && len(n.Content) > s.MaxItems {
		faults = append(faults, fault{n, fmt.Sprintf("it has %d entries: at most %d are read", len(n.Content), s.MaxItems)})
	}
	seen := map[string]bool{}
	for _, c := range n.Content {
		if s.Unique && c.Kind == yaml.ScalarNode {
			if seen[c.Value] {
				faults = append(faults, fault{c, fmt.Sprintf("%s is there twice: remove one", described(c))})
			}
			seen[c.Value] = true
		}
		if s.Items != nil {
			faults = append(faults, s.Items.check(c)...)
		}
	}
	return faults
}

func (s *schema) mapping(n *yaml.Node) (faults []fault) {
	if len(n.Content)/2 < s.MinProps {
		faults = append(faults, fault{n, "it is empty"})
	}
	for _, name := range s.Required {
		if field(n, name) == nil {
			faults = append(faults, fault{n, fmt.Sprintf("%s is missing: write it", name)})
		}
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if s.Names != nil {
			faults = append(faults, s.Names.check(key)...)
		}
		switch p := s.Properties[key.Value]; {
		case p != nil:
			faults = append(faults, p.check(value)...)
		case s.Additional.of != nil:
			faults = append(faults, s.Additional.of.check(value)...)
		case s.Additional.none:
			known := slices.Sorted(maps.Keys(s.Properties))
			hint := meant(key.Value, known)
			if hint == "" {
				hint = "; known are " + strings.Join(known, ", ")
			}
			faults = append(faults, fault{key, fmt.Sprintf("there is no field %s here%s", shortened(key.Value), hint)})
		}
	}
	return faults
}

// choices checks OneOf. If none fits, it tells what is wrong with the one that is
// of the node's type.
func (s *schema) choices(n *yaml.Node) []fault {
	if len(s.OneOf) == 0 {
		return nil
	}
	fit := 0
	var typed []*schema
	for _, o := range s.OneOf {
		if len(o.check(n)) == 0 {
			fit++
		}
		resolved := o
		if o.Ref != "" {
			resolved = o.root.Defs[strings.TrimPrefix(o.Ref, "#/$defs/")]
		}
		if len(resolved.Type) > 0 && resolved.fits(n) {
			typed = append(typed, o)
		}
	}
	switch {
	case fit == 1:
		return nil
	case fit == 0 && len(typed) == 1:
		return typed[0].check(n)
	}
	var of []string
	for _, o := range s.OneOf {
		of = append(of, o.Required...)
	}
	if len(of) > 0 {
		return []fault{{n, fmt.Sprintf("exactly one of %s must be there", strings.Join(of, ", "))}}
	}
	return []fault{{n, fmt.Sprintf("%s is not one of what can be written here", described(n))}}
}

// maxGuesses is among how many words a misspelled one is looked for.
const maxGuesses = 200

// meant guesses which word was meant.
func meant(word string, known []string) string {
	if len(known) > maxGuesses {
		return ""
	}
	best, least := "", len(word)/3+2
	for _, k := range known {
		if d := distance(word, k); d < least || d == least && best != "" && k < best {
			best, least = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; is %s meant?", best)
}

// distance is the number of letters to insert, remove or change to make one word
// the other, as far as the first 40 letters tell.
func distance(a, b string) int {
	a, b = a[:min(len(a), 40)], b[:min(len(b), 40)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := before
			if a[i] != b[j] {
				change++
			}
			before, row[j+1] = row[j+1], min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
