package demo

import _ "embed"

//go:embed rollups.yml
var rollups string

// Rollups returns rollup rules over the demo services' metrics, as a file of
// them.
func Rollups() string { return rollups }
