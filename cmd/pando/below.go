package main

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pandometrics/pando/leaf"
	"github.com/pandometrics/pando/querytree/relay"
	"github.com/pandometrics/pando/querytree/tier"
)

// leafRelay answers status requests about a leaf.
func leafRelay(f parentFlags, l *leaf.Leaf, logger *slog.Logger, reg prometheus.Registerer) (*relay.Relay, error) {
	return relay.New(relay.Config{Describe: l.Describe, Refuse: !f.statusToParents, Logger: logger, Registerer: reg})
}

// tierRelay answers status requests about a zone or root, and passes on those about
// what is below it.
func tierRelay(f parentFlags, t *tier.Tier, logger *slog.Logger, reg prometheus.Registerer) (*relay.Relay, error) {
	return relay.New(relay.Config{
		Describe: t.Describe, Members: t.Roster.Members, Nodes: t.Roster.Nodes,
		Refuse: !f.statusToParents, Logger: logger, Registerer: reg,
	})
}

// loaded tells which configuration of rules is in effect.
func (r *tierRules) loaded() (revision string, failed bool) {
	if r.leaf == nil {
		return "", false
	}
	ok, _ := r.leaf.APIParts().ReloadStatus()
	return r.leaf.Revision(), !ok
}
