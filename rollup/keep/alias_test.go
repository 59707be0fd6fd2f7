package keep_test

import "github.com/prometheus/prometheus/promql/parser"

type aggregateExpr = parser.AggregateExpr
