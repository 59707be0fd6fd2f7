package leaf

import (
	"slices"

	"github.com/prometheus/prometheus/rules"
)

// alertMetric is the name of the series by which rules tell of alerts; see
// Prometheus' rules/alerting.go.
const alertMetric = "ALERTS"

// RecordedNames returns the metric names that the rules in effect record,
// sorted, and that of the series of their alerts if there is any. What rules
// recorded that are gone is not among them.
func (l *Leaf) RecordedNames() []string {
	if names := l.recordedNames.Load(); names != nil {
		return *names
	}
	return nil
}

// nameRecorded notes the names that the rules in effect record.
func (l *Leaf) nameRecorded() {
	names := []string{}
	for _, g := range l.rules.RuleGroups() {
		for _, r := range g.Rules() {
			switch r := r.(type) {
			case *rules.RecordingRule:
				names = append(names, r.Name())
			case *rules.AlertingRule:
				if l.alertSeries != "" {
					names = append(names, l.alertSeries)
				} else {
					names = append(names, alertMetric)
				}
			}
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	l.recordedNames.Store(&names)
	if l.onRecorded != nil {
		l.onRecorded()
	}
}
