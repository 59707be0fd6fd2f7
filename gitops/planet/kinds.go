package planet

import (
	_ "embed" // for the schemas
	"encoding/json"
	"fmt"
	"slices"

	"github.com/pandometrics/pando/leaf/aggregate"
	"github.com/pandometrics/pando/rollup"
)

// Kind is a kind of file in the repository.
type Kind string

// The kinds of files.
const (
	// Main is planet.yaml.
	Main Kind = "planet"
	// Settings is prometheus.yml: sections of Prometheus' configuration but those
	// that are put in.
	Settings Kind = "prometheus"
	// Scrape files are in scrape/.
	Scrape Kind = "scrape"
	// Rules are in rules/leaf/, rules/zone/ and rules/root/.
	Rules Kind = "rules"
	// Rollups are in rollups/.
	Rollups Kind = "rollups"
	// Aggregations are in aggregations/.
	Aggregations Kind = "aggregations"
	// LimitsKind is limits/leaf.yml, limits/zone.yml and limits/root.yml.
	LimitsKind Kind = "limits"
	// Tests are in tests/.
	Tests Kind = "tests"
)

// Kinds returns all of them.
func Kinds() []Kind {
	return []Kind{Main, Settings, Scrape, Rules, Rollups, Aggregations, LimitsKind, Tests}
}

// Tier is where configuration is used.
type Tier string

// The tiers.
const (
	Leaf Tier = "leaf"
	Zone Tier = "zone"
	Root Tier = "root"
)

// tiers returns them, lowest first.
func tiers() []Tier { return []Tier{Leaf, Zone, Root} }

var (
	//go:embed schemas/planet.json
	planetSchema []byte
	//go:embed schemas/prometheus.json
	settingsSchema []byte
	//go:embed schemas/scrape.json
	scrapeSchema []byte
	//go:embed schemas/rules.json
	rulesSchema []byte
	//go:embed schemas/tests.json
	testsSchema []byte
)

// Schema returns the JSON schema of a kind of file.
func Schema(k Kind) ([]byte, error) {
	switch k {
	case Main:
		return planetSchema, nil
	case Settings:
		return settingsSchema, nil
	case Scrape:
		return scrapeSchema, nil
	case Rules:
		return rulesSchema, nil
	case Tests:
		return testsSchema, nil
	case Rollups:
		return withDeletion([]byte(rollup.Schema()), "rollups")
	case Aggregations:
		return withDeletion(aggregate.Schema, "rules")
	case LimitsKind:
		return limitsSchema()
	}
	return nil, fmt.Errorf("there is no kind of file called %q: use one of %v", k, Kinds())
}

// withDeletion returns a schema in which the elements of a list may also say that
// what an earlier layer has is removed.
func withDeletion(text []byte, list string) ([]byte, error) {
	var s map[string]any
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, err
	}
	properties, ok := s["properties"].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("schema has no properties")
	}
	of, ok := properties[list].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("schema has no %s", list)
	}
	of["items"] = map[string]any{
		"if": map[string]any{"required": []string{"delete"}},
		"then": map[string]any{
			"type": "object", "additionalProperties": false, "required": []string{"name", "delete"},
			"properties": map[string]any{
				"name":   map[string]any{"type": "string", "minLength": 1},
				"delete": map[string]any{"const": true, "type": "boolean", "description": "Removes what an earlier layer has of this name."},
			},
		},
		"else": of["items"],
	}
	return json.MarshalIndent(s, "", "  ")
}

// limitsSchema makes the schema of limits files from the list of flags.
func limitsSchema() ([]byte, error) {
	properties := map[string]any{}
	for _, l := range slices.Concat(LimitsOf(Leaf), LimitsOf(Root)) {
		properties[l.Name] = map[string]any{"type": l.Kind.types(), "description": l.Help}
	}
	return json.MarshalIndent(map[string]any{
		"$schema":              "https://json-schema.org/draft/2020-12/schema",
		"title":                "Limits of a tier in a Pando configuration repository",
		"description":          "Flags of the tier by their names, without dashes; null takes back what an earlier layer says.",
		"type":                 "object",
		"additionalProperties": false,
		"properties":           properties,
	}, "", "  ")
}

func (k LimitKind) types() []string {
	switch k {
	case Count, CountOrNone:
		return []string{"integer", "null"}
	case Switch:
		return []string{"boolean", "null"}
	default:
		return []string{"string", "integer", "null"}
	}
}

// schemas returns the schemas, ready to check with.
func schemas() (map[Kind]*schema, error) {
	out := map[Kind]*schema{}
	for _, k := range Kinds() {
		text, err := Schema(k)
		if err != nil {
			return nil, fmt.Errorf("schema of %s: %w", k, err)
		}
		if out[k], err = parseSchema(text); err != nil {
			return nil, fmt.Errorf("schema of %s: %w", k, err)
		}
	}
	return out, nil
}
