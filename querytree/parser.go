package querytree

import "github.com/prometheus/prometheus/promql/parser"

// NewParser returns the PromQL parser that every tier uses. A tree whose tiers
// parsed differently would push down queries that a child refuses, so this is
// the only place where the parser's options are chosen: everything that
// Prometheus can parse is allowed, and what a tier may evaluate is decided by
// its engine.
func NewParser() parser.Parser {
	return parser.NewParser(parser.Options{
		EnableExperimentalFunctions:  true,
		ExperimentalDurationExpr:     true,
		EnableExtendedRangeSelectors: true,
		EnableBinopFillModifiers:     true,
	})
}
