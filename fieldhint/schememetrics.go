package fieldhint

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// schemeMetrics tells of a set's scheme by class; the kinds themselves are too
// many.
func schemeMetrics(registerer prometheus.Registerer, scheme func() *Scheme) {
	reg := promauto.With(registerer)
	for _, class := range []Class{ClassValues, ClassTrigrams, ClassPrefixes, ClassInfixes, ClassPairs, ClassPrefixPairs, ClassInfixPairs} {
		sum := func(kept bool, of func(Decision) int) func() float64 {
			return func() float64 {
				total := 0
				for _, d := range scheme().Decisions() {
					if d.Class == class && d.Kept == kept {
						total += of(d)
					}
				}
				return float64(total)
			}
		}
		for _, kept := range []bool{true, false} {
			reg.NewGaugeFunc(prometheus.GaugeOpts{
				Name:        "pando_fieldhint_set_kinds",
				Help:        "Number of kinds of facts that the latest census decided to keep, or not, by class: values, trigrams, prefixes, infixes, pairs, prefix pairs, infix pairs.",
				ConstLabels: prometheus.Labels{"class": string(class), "kept": strconv.FormatBool(kept)},
			}, sum(kept, func(Decision) int { return 1 }))
		}
		reg.NewGaugeFunc(prometheus.GaugeOpts{
			Name:        "pando_fieldhint_set_kind_bytes",
			Help:        "Memory that the kept kinds of facts were estimated to take at a parent, by class.",
			ConstLabels: prometheus.Labels{"class": string(class)},
		}, sum(true, func(d Decision) int { return d.Bytes }))
	}
}
