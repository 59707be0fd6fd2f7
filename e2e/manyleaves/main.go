// Command manyleaves serves the HTTP API of a root over 20 zones with 50
// simulated leaves each, for measuring how soon an editor completes names
// ("npm run bench" in ui). Tiers are joined within the process, and leaves answer
// at once, with names alone: what is measured is the root and its zones, which
// ask, merge and encode, all on this machine.
package main

import (
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/treehttp"
)

func main() {
	address := flag.String("listen", "127.0.0.1:0", "Address of the HTTP API.")
	zones := flag.Int("zones", 20, "Zones.")
	leaves := flag.Int("leaves", 50, "Leaves in each zone.")
	flag.Parse()
	if err := serve(*address, *zones, *leaves); err != nil {
		fmt.Fprintln(os.Stderr, "manyleaves:", err)
		os.Exit(1)
	}
}

// serve serves until it fails.
func serve(address string, zones, leaves int) error {
	h, err := handler(zones, leaves)
	if err != nil {
		return fmt.Errorf("build the tree: %w", err)
	}
	lis, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("-listen=%s: %w", address, err)
	}
	fmt.Printf("listens on http://%s\n", lis.Addr())
	srv := http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	return srv.Serve(lis)
}

// handler is the API of a root over so many zones and leaves.
func handler(zones, leaves int) (http.Handler, error) {
	f, err := newFamilies()
	if err != nil {
		return nil, err
	}
	var below []querytree.Child
	for z := range zones {
		zone := fmt.Sprintf("zone-%02d", z)
		var children []querytree.Child
		for l := range leaves {
			children = append(children, f.leaf(zone, fmt.Sprintf("%s-%02d", zone, l)))
		}
		m, err := mixer(known(querytree.Identity{Tier: querytree.TierZone, Labels: labels.FromStrings("zone", zone)}, leaves), children)
		if err != nil {
			return nil, err
		}
		below = append(below, m)
	}
	root, err := mixer(known(querytree.Identity{Tier: querytree.TierRoot}, zones*leaves), below)
	if err != nil {
		return nil, err
	}
	reg := prometheus.NewRegistry()
	return treehttp.New(treehttp.Config{
		Engine: querytree.Engine{}, Queryable: root, Exemplars: root, Metadata: root.Metadata, Describe: root.Describe,
		Limits: querytree.DefaultLimits(), Gatherer: reg, Registerer: reg, Logger: slog.New(slog.DiscardHandler),
	})
}

// known is the description of a tier that has samples of the last two hours.
func known(id querytree.Identity, leaves int) querytree.Description {
	now := time.Now()
	return querytree.Description{
		Identity: id, Version: "simulated", Leaves: leaves, Series: uint64(seriesOfLeaf * leaves),
		Mint: now.Add(-2 * time.Hour).UnixMilli(), Maxt: now.Add(24 * time.Hour).UnixMilli(),
	}
}

func mixer(d querytree.Description, children []querytree.Child) (*querytree.Mixer, error) {
	members := make([]querytree.Member, len(children))
	for i, c := range children {
		members[i] = querytree.Member{Child: c, Description: c.Describe(), Connected: true}
	}
	return querytree.NewMixer(querytree.MixerConfig{
		Describe: func() querytree.Description { return d }, Members: func() []querytree.Member { return members },
		Limits: querytree.DefaultLimits(), Lookback: 5 * time.Minute, SubqueryStep: time.Minute,
	})
}
