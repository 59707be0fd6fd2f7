package rollup_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	yaml "go.yaml.in/yaml/v2"

	"github.com/pandometrics/pando/rollup"
)

// schema is as much of JSON schema as ours uses: unknown keywords are refused,
// so that none is without effect.
type schema struct {
	Schema, ID, Title, Description string
	Ref                            string             `json:"$ref"`
	Defs                           map[string]*schema `json:"$defs"`
	Type                           string
	Pattern                        string
	MinLength, MaxLength           *int
	MinItems, MaxItems             *int
	MinProperties                  *int
	Properties                     map[string]*schema
	AdditionalProperties           *bool
	Required                       []string
	Items                          *schema
	OneOf                          []*schema
}

func readSchema(t *testing.T) *schema {
	t.Helper()
	text := strings.NewReplacer(`"$schema"`, `"schema"`, `"$id"`, `"id"`).Replace(rollup.Schema())
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	s := &schema{}
	if err := d.Decode(s); err != nil {
		t.Fatal(err)
	}
	return s
}

// check validates a document that YAML was decoded into.
func (s *schema) check(root *schema, v any) error {
	if s.Ref != "" {
		def, ok := root.Defs[strings.TrimPrefix(s.Ref, "#/$defs/")]
		if !ok {
			return fmt.Errorf("no definition %s", s.Ref)
		}
		if err := def.check(root, v); err != nil {
			return err
		}
	}
	if len(s.OneOf) > 0 {
		n := 0
		for _, o := range s.OneOf {
			if o.check(root, v) == nil {
				n++
			}
		}
		if n != 1 {
			return fmt.Errorf("%v fits %d of the choices", v, n)
		}
	}
	switch s.Type {
	case "":
		return nil
	case "string":
		text, ok := v.(string)
		if !ok || s.MinLength != nil && len(text) < *s.MinLength || s.MaxLength != nil && len(text) > *s.MaxLength || !regexp.MustCompile(s.Pattern).MatchString(text) {
			return fmt.Errorf("%v is not such a string", v)
		}
	case "array":
		items, ok := v.([]any)
		if !ok || s.MinItems != nil && len(items) < *s.MinItems || s.MaxItems != nil && len(items) > *s.MaxItems {
			return fmt.Errorf("%v is not such a list", v)
		}
		for _, item := range items {
			if err := s.Items.check(root, item); err != nil {
				return err
			}
		}
	case "object":
		return s.checkObject(root, v)
	default:
		return fmt.Errorf("unknown type %s", s.Type)
	}
	return nil
}

func (s *schema) checkObject(root *schema, v any) error {
	object, ok := v.(map[any]any)
	if !ok || s.MinProperties != nil && len(object) < *s.MinProperties {
		return fmt.Errorf("%v is not such an object", v)
	}
	for _, name := range s.Required {
		if _, ok := object[name]; !ok {
			return fmt.Errorf("%s is missing", name)
		}
	}
	for name, value := range object {
		p, ok := s.Properties[fmt.Sprint(name)]
		if !ok {
			return fmt.Errorf("%v is unknown", name)
		}
		if err := p.check(root, value); err != nil {
			return fmt.Errorf("%v: %w", name, err)
		}
	}
	return nil
}

// The schema and Parse agree on what a file is made of.
func TestSchemaIsThatOfTheFile(t *testing.T) {
	s := readSchema(t)
	good := map[string]string{
		"full": fullFile, "none": "rollups: []",
		"list":      rule("keep: {leaf: [{for: 1d}, {every: 1h, for: 5y}]}"),
		"json":      `{"rollups": [{"expr": "sum(x)", "interval": "1h30m", "keep": {"root": {"for": "90d"}}}]}`,
		"no name":   rule(`name: ""`),
		"all tiers": rule("keep: {leaf: {for: 1d}, zone: {for: 1d}, root: {for: 1d}}"),
	}
	bad := map[string]string{
		"empty": "", "no mapping": "[]", "no rollups": "{}", "null": "rollups:", "not a list": "rollups: {}", "another key": "rollups: []\nother: 1",
		"another field": rule("labels: {a: b}"), "no expr": "rollups: [{interval: 1m, keep: {root: {for: 1d}}}]",
		"empty expr":  "rollups: [{expr: '', interval: 1m, keep: {root: {for: 1d}}}]",
		"no interval": "rollups: [{expr: sum(x), keep: {root: {for: 1d}}}]", "no keep": "rollups: [{expr: sum(x), interval: 1m}]",
		"interval of a number": rule("interval: 60"), "interval of nonsense": rule("interval: often"), "interval of two parts": rule("interval: 1m1h"), "negative": rule("interval: -1m"),
		"name": rule("name: a-b"), "name with digit": rule("name: 1a"), "expr is a list": rule("expr: [sum(x)]"),
		"keep nothing": rule("keep: {}"), "keep a duration": rule("keep: 1d"), "tier": rule("keep: {planet: {for: 1d}}"), "tier without": rule("keep: {root: {}}"),
		"tier null": rule("keep: {root: }"), "tier empty list": rule("keep: {root: []}"), "tier duration": rule("keep: {root: 1d}"),
		"other in keep": rule("keep: {root: {for: 1d, until: 2d}}"), "every nonsense": rule("keep: {root: {every: x, for: 1d}}"),
		"nine in keep": rule("keep: {root: [" + strings.Repeat("{for: 1d},", 9) + "]}"),
		"list of list": rule("keep: {root: [[{for: 1d}]]}"), "other in list": rule("keep: {root: [{for: 1d, til: 1d}]}"),
	}
	check := func(name, text string, want bool) {
		var doc any
		if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		bySchema := s.check(s, doc)
		_, byParse := rollup.Parse([]byte(text))
		if (bySchema == nil) != want || (byParse == nil) != want {
			t.Errorf("%s: want accepted=%v; schema says %v, Parse says %v\n%s", name, want, bySchema, byParse, text)
		}
	}
	for name, text := range good {
		check(name, text, true)
	}
	for name, text := range bad {
		check(name, text, false)
	}
	if tiers := s.Defs["rollup"].Properties["keep"].Properties; len(tiers) != len(rollup.Tiers()) || slices.ContainsFunc(rollup.Tiers(), func(n string) bool { return tiers[n] == nil }) {
		t.Errorf("the schema's tiers are %v, want %v", tiers, rollup.Tiers())
	}
}
