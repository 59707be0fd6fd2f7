package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pandometrics/pando/demo"
	"github.com/pandometrics/pando/querytree"
)

// configureLeaf starts the demo services of a cluster, and has its leaf scrape
// them, as git says or as the demo does.
func (p *planet) configureLeaf(f *leafFlags, place demo.Place, dir string, jobs []demo.TargetGroup, files tierFiles) (err error) {
	services, err := p.serveDemo(place)
	if err != nil {
		return err
	}
	if files.folder == "" {
		f.configFile, err = p.writeConfig(place, dir, services, pandoJobs(jobs))
		return err
	}
	f.configFile, f.aggregateFile, f.rollupFlags.file = files.file("prometheus.yml"), files.file("aggregations.yml"), files.file("rollups.yml")
	f.external = p.git.repository.planet.Identity(place.Cluster)
	if err := files.limit(f); err != nil {
		return err
	}
	targets, err := p.f.targetsFolder()
	if err != nil {
		return err
	}
	t := &devTargets{dir: filepath.Join(targets, place.Cluster), cluster: p.demo.Cluster(place.Zone, place.Cluster), address: services}
	p.targets = append(p.targets, t)
	return t.write(jobs, loopback(p.git.byCluster[place.Cluster].node.http))
}

// preferred returns a loopback address with the given port if it is free, else
// with any free one. Between this look and the bind someone may take it: then
// the bind says so.
func preferred(port int) string {
	address := fmt.Sprintf("127.0.0.1:%d", port)
	l, err := net.Listen("tcp", address)
	if err == nil {
		_ = l.Close()
		return address
	}
	if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return "127.0.0.1:0"
	}
	defer l.Close()
	return l.Addr().String()
}

// pandoTargets are those of Pando's own tiers.
func pandoTargets(leaf string, zone, root *node, withZone, withRoot bool) []demo.TargetGroup {
	target := func(address, tier string) demo.TargetGroup {
		return demo.TargetGroup{Targets: []string{address}, Labels: map[string]string{"tier": tier}}
	}
	out := []demo.TargetGroup{target(leaf, querytree.TierLeaf)}
	if withZone {
		out = append(out, target(loopback(zone.http), querytree.TierZone))
	}
	if withRoot {
		out = append(out, target(loopback(root.http), querytree.TierRoot))
	}
	return out
}

// pandoJobs returns scrape configs for them.
func pandoJobs(of []demo.TargetGroup) string {
	var b strings.Builder
	b.WriteString("  - job_name: pando\n    static_configs:\n")
	for _, g := range of {
		fmt.Fprintf(&b, "      - targets: [%q]\n        labels: {tier: %s}\n", g.Targets[0], g.Labels["tier"])
	}
	return b.String()
}

// serveDemo binds the address of a cluster's demo services.
func (p *planet) serveDemo(place demo.Place) (string, error) {
	// The same ports every time, or targets would appear twice after a restart.
	l, err := listen("web.listen-address", preferred(9300+len(p.lis)))
	if err != nil {
		return "", err
	}
	p.demos = append(p.demos, &http.Server{Handler: p.demo.Cluster(place.Zone, place.Cluster).Handler(), ReadHeaderTimeout: 10 * time.Second})
	p.lis = append(p.lis, l)
	return l.Addr().String(), nil
}

// writeConfig writes the configuration by which a leaf scrapes the demo services
// at an address.
func (p *planet) writeConfig(place demo.Place, dir, services, extra string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("--data-dir: %w", err)
	}
	c := p.demo.Cluster(place.Zone, place.Cluster)
	files := map[string]string{
		"rules.yml": c.Rules(),
		"prometheus.yml": c.ScrapeConfig(services, demo.ScrapeOptions{
			Interval: time.Duration(p.f.interval), RuleFiles: []string{"rules.yml"}, Extra: extra,
		}),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return "", fmt.Errorf("--data-dir: %w", err)
		}
	}
	return filepath.Join(dir, "prometheus.yml"), nil
}
