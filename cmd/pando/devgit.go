package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/pandometrics/pando/gitops"
	"github.com/pandometrics/pando/gitops/dirs"
	gitplanet "github.com/pandometrics/pando/gitops/planet"
)

// devGit is how a planet on this machine is configured from git: a control loop
// for each cluster, as in production, each in front of a folder that the tiers of
// its cluster read, in the same process.
//
//	repository ── loop eu-1 ── DATA/gitops/eu-1/config ── leaf eu-1, zone eu, root
//	        └──── loop eu-2 ── DATA/gitops/eu-2/config ── leaf eu-2
type devGit struct {
	repository *devRepository
	loops      []*devLoop
	byCluster  map[string]*devLoop
}

// devLoop is the control loop of one cluster.
type devLoop struct {
	cluster string
	base    string // that it delivers to
	node    *node
	loop    *gitops.Loop
	tiers   map[string]*resident // by folder: leaf, zone/NAME, root
}

// Times of loops on one machine: commits are noticed at once, for the repository
// is a folder; the rest is what costs little.
const (
	devInterval        = 15 * time.Second
	devRolloutInterval = 2 * time.Second
	devConfirmTimeout  = 30 * time.Second
	devNotice          = time.Second
	devBegin           = time.Minute
)

// openGit opens the repository and the loops, and has each deliver what its
// cluster begins with.
func (p *planet) openGit(ctx context.Context, root string) error {
	repository, err := openRepository(ctx, &p.f)
	if err != nil {
		return err
	}
	p.git = &devGit{repository: repository, byCluster: map[string]*devLoop{}}
	fmt.Fprintf(p.out, "  %-40s %s\n", "configuration, a git repository", repository.says())
	if n, asked := len(repository.places()), p.f.zones*p.f.leaves; p.f.repository == "" && n != asked {
		fmt.Fprintf(p.out, "  its planet.yaml has %d clusters: --zones and --leaves count when it is created\n", n)
	}
	checked := &checkedPlanets{}
	for i, place := range repository.places() {
		if err := p.openLoop(place.Cluster, i, root, checked); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, devBegin)
	defer cancel()
	var all errgroup.Group
	for _, l := range p.git.loops {
		all.Go(func() error { return l.loop.Begin(ctx) })
	}
	return all.Wait()
}

// openLoop opens the loop of a cluster.
func (p *planet) openLoop(cluster string, i int, root string, checked *checkedPlanets) error {
	dir := filepath.Join(p.f.dataDir, "gitops", cluster)
	l := &devLoop{cluster: cluster, base: filepath.Join(dir, "config"), tiers: map[string]*resident{}}
	tiers := []string{"leaf"}
	for _, z := range p.git.repository.planet.Zones() {
		if len(z.Hosts) > 0 && z.Hosts[0] == cluster {
			tiers = append(tiers, zoneFolder(z.Zone))
		}
	}
	if hosts := p.git.repository.planet.RootHosts(); len(hosts) > 0 && hosts[0] == cluster {
		tiers = append(tiers, "root")
	}
	f := &gitopsFlags{from: p.git.repository.from, checked: checked, root: root, rootTimeout: 10 * time.Second}
	f.httpAddress = preferred(9500 + i)
	f.loop = gitops.Config{
		Cluster: cluster, StateDir: filepath.Join(dir, "state"), Interval: devInterval, RolloutInterval: devRolloutInterval,
		ConfirmTimeout: devConfirmTimeout, ProgressTimeout: devConfirmTimeout, SilenceTimeout: devConfirmTimeout,
	}
	f.dirs = dirs.Config{Base: l.base, Keep: 5}
	for _, t := range tiers {
		l.tiers[t] = &resident{}
		f.dirs.Workloads = append(f.dirs.Workloads, dirs.Workload{Name: t, Resident: l.tiers[t]})
	}
	var err error
	if l.node, l.loop, err = openGitops(f, p.log("gitops "+cluster), prometheus.NewRegistry()); err != nil {
		return err
	}
	p.git.loops, p.git.byCluster[cluster] = append(p.git.loops, l), l
	return nil
}

// runLoops runs the loops once the planet is there: a gate that is asked before
// anything was scraped would fail, and nobody could be asked what the fleet runs.
func (p *planet) runLoops(ctx context.Context) error {
	err := p.connected(ctx, "http://"+loopback(p.root.http), nil)
	if err == nil && p.git.fresh() {
		err = pause(ctx, 2*time.Duration(p.f.interval))
	}
	if err != nil {
		return p.git.close()
	}
	var all errgroup.Group
	for _, l := range p.git.loops {
		all.Go(func() error { return l.node.Run(ctx) })
	}
	all.Go(func() error { return p.git.watch(ctx) })
	return all.Wait()
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// fresh tells whether nothing was ever confirmed to run.
func (g *devGit) fresh() bool {
	return slices.ContainsFunc(g.loops, func(l *devLoop) bool { return l.loop.Status().Running == "" })
}

// close releases the loops, when they do not come to run.
func (g *devGit) close() error {
	var errs []error
	for _, l := range g.loops {
		errs = append(errs, l.node.Close())
	}
	return errors.Join(errs...)
}

func zoneFolder(zone string) string { return "zone/" + zone }

// addresses are where loops are asked.
func (g *devGit) addresses() (out []string) {
	if g == nil {
		return nil
	}
	for _, l := range g.loops {
		out = append(out, "http://"+loopback(l.node.http))
	}
	return out
}

// tierFiles are what a tier reads of its configuration.
type tierFiles struct {
	// folder is below current; "" if the tier has none.
	folder string
	tier   gitplanet.Tier
	// resident is what its loop knows it by.
	resident *resident
}

// filesOf finds the configuration of a tier by its folder in a bundle. A zone or
// root that no cluster hosts has none.
func (g *devGit) filesOf(folder string, tier gitplanet.Tier, hosts []string) tierFiles {
	if g == nil || len(hosts) == 0 || g.byCluster[hosts[0]] == nil {
		return tierFiles{}
	}
	l := g.byCluster[hosts[0]]
	dir := filepath.Join(l.base, "current", filepath.FromSlash(folder))
	// What its host runs may be older than the commit that made it the host. The
	// tier begins without then, and has its files at the next start.
	if _, err := os.Stat(dir); err != nil {
		return tierFiles{}
	}
	return tierFiles{folder: dir, tier: tier, resident: l.tiers[folder]}
}

func (t tierFiles) file(name string) string {
	if t.folder == "" {
		return ""
	}
	return filepath.Join(t.folder, name)
}

// limit applies the tier's limits to its flags, and has them read again later.
func (t tierFiles) limit(f tunable) error {
	if t.folder == "" {
		return nil
	}
	c := f.common()
	c.limitsFile = t.file("limits.yml")
	c.retune = newRetuner(f, t.tier, nil, (*commonFlags).boundOfMany)
	if err := setLimits(f, t.tier, c.limitsFile, nil); err != nil {
		return fmt.Errorf("limits of %s: %w", t.tier, err)
	}
	c.boundOfMany()
	return nil
}

// boundOfMany completes the limits of memory of a tier that is one of many in a
// process: they do not depend on what that may use.
func (f *commonFlags) boundOfMany() {
	l := &f.limits
	l.MaxBytes, l.MaxTotalBytes = cmp.Or(int64(f.maxBytes), l.MaxBytes), cmp.Or(int64(f.maxTotal), l.MaxTotalBytes)
	l.MaxClientBytes = cmp.Or(int64(f.maxClient), l.MaxTotalBytes/4*3)
	l.MaxResponse = cmp.Or(int64(f.maxResponse), l.MaxResponse)
}

// opened lets the tier's loop know it.
func (t tierFiles) opened(n *node) {
	if t.resident != nil {
		t.resident.open(n)
	}
}

// watch lets the loops know of new commits.
func (g *devGit) watch(ctx context.Context) error {
	if g.repository.tip == nil {
		<-ctx.Done()
		return nil
	}
	last := ""
	for tick := time.NewTicker(devNotice); ; {
		select {
		case <-ctx.Done():
			tick.Stop()
			return nil
		case <-tick.C:
		}
		tip, err := g.repository.tip()
		if err != nil || tip == last {
			continue // the loops say what is wrong
		}
		if last = tip; last != "" {
			for _, l := range g.loops {
				l.loop.Hurry()
			}
		}
	}
}

// order returns the zones, parents first.
func (p *planet) zonesInOrder() []gitplanet.ZonePlace {
	if p.git != nil {
		return p.git.repository.planet.Zones()
	}
	var out []gitplanet.ZonePlace
	for _, place := range p.places {
		if !slices.ContainsFunc(out, func(z gitplanet.ZonePlace) bool { return z.Zone == place.Zone }) {
			out = append(out, gitplanet.ZonePlace{Zone: place.Zone, Identity: map[string]string{"zone": place.Zone}})
		}
	}
	return out
}
