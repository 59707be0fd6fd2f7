package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/model"
	"golang.org/x/sync/errgroup"

	"github.com/pandometrics/pando/cmd/pando/client"
	"github.com/pandometrics/pando/demo"
	gitplanet "github.com/pandometrics/pando/gitops/planet"
	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/resultcache"
	"github.com/pandometrics/pando/querytree/treehttp"
)

// devFlags are those of pando dev.
type devFlags struct {
	httpAddress   string
	dataDir       string
	zones, leaves int
	series        int
	interval      model.Duration
	retention     model.Duration
	logLevel      string
	// gitops: the planet is configured from git, from repository, or from one of its
	// own; branch is followed.
	gitops             bool
	repository, branch string
}

func devCommand(app *kingpin.Application, out streams) (string, command) {
	c := app.Command("dev", "Run a whole planet on this machine, with live metrics. Start here.")
	f := &devFlags{}
	c.Flag("web.listen-address", "Address of the root's HTTP API. Port 0 binds a free one.").Default("127.0.0.1:9090").StringVar(&f.httpAddress)
	c.Flag("data-dir", "Directory for all data; a later run resumes from it.").Default("data/dev").StringVar(&f.dataDir)
	c.Flag("gitops", "Configure the planet from a git repository, by a control loop for each cluster; --no-gitops fixes what is scraped and which rules there are.").Default("true").BoolVar(&f.gitops)
	c.Flag("planet.repository", "Git repository to use instead of the one in the data directory: a folder of this machine, or a URL. Its planet.yaml says which zones and leaves there are.").PlaceHolder("PATH").StringVar(&f.repository)
	c.Flag("planet.branch", "Branch of the repository that is followed.").Default(devBranch).StringVar(&f.branch)
	c.Flag("zones", "Zones; of a planet that is there already, its repository says it.").Default("2").IntVar(&f.zones)
	c.Flag("leaves", "Leaves in each zone; of a planet that is there already, its repository says it.").Default("3").IntVar(&f.leaves)
	c.Flag("series", "Series of the demo services, over all leaves, about.").Default("20000").IntVar(&f.series)
	c.Flag("scrape-interval", "Scrape and rule evaluation interval.").Default("5s").SetValue(&f.interval)
	c.Flag("retention", "How long samples are kept.").Default("15d").SetValue(&f.retention)
	c.Flag("log.level", "debug, info, warn or error.").Default("warn").EnumVar(&f.logLevel, "debug", "info", "warn", "error")
	return c.FullCommand(), func(ctx context.Context) error {
		p, err := openPlanet(ctx, *f, out)
		if err != nil {
			return err
		}
		return p.run(ctx)
	}
}

// planet is a whole tree in one process: every tier as its own command would
// run it, connected over loopback.
//
//	root ── zone eu ── leaf eu-1 ── scrapes demo services, this machine, Pando
//	   │         └──── leaf eu-2 …
//	   └─── zone us ── …
type planet struct {
	f       devFlags
	out     io.Writer
	logger  *slog.Logger
	demo    *demo.Planet
	root    *node
	nodes   []*node
	demos   []*http.Server
	lis     []net.Listener
	cores   *querytree.Cores // of all leaves
	places  []demo.Place
	targets []*devTargets // of leaves, in the order of places
	git     *devGit       // nil for a planet that is not configured from git
	// rollups are the flags of all tiers; of a planet from git, without the file.
	rollups rollupFlags
	turns   *querytree.Turns // of all tiers

	mu    sync.Mutex
	links []treehttp.Link
}

// openPlanet opens all tiers, from the root down. What is opened is shown.
func openPlanet(ctx context.Context, f devFlags, out streams) (_ *planet, err error) {
	if f.zones < 1 || f.leaves < 1 || f.zones*f.leaves > 100 {
		return nil, errors.New("--zones and --leaves must be at least 1, and 100 leaves in all at most")
	}
	common := commonFlags{logLevel: f.logLevel, logFormat: "logfmt"}
	logger, err := common.logger(out.err)
	if err != nil {
		return nil, err
	}
	p := &planet{f: f, out: out.out, logger: logger}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if p.cores, err = querytree.NewCores(0); err != nil {
		return nil, err
	}
	p.turns = querytree.NewTurns(0, false)
	if f.httpAddress, err = concrete(f.httpAddress); err != nil {
		return nil, err
	}
	p.f = f
	fmt.Fprintf(p.out, "Pando %s, data in %s\n", buildVersion(), f.dataDir)
	p.places = demo.Places(f.zones, f.leaves)
	p.rollups = rollupFlags{use: true, hold: model.Duration(24 * time.Hour)}
	if f.gitops {
		if err := p.openGit(ctx, rootURL(f.httpAddress)); err != nil {
			return nil, err
		}
		p.places = p.git.repository.places()
		if len(p.places) > maxDevLeaves {
			return nil, fmt.Errorf("--planet.repository: %d clusters are more than %d, which is what one process runs", len(p.places), maxDevLeaves)
		}
	} else if err := p.writeRollups(); err != nil {
		return nil, err
	}
	if p.demo, err = demo.New(demo.Config{Clusters: p.places, Seed: 1, TargetSeries: f.series, Logger: logger.With("part", "demo")}); err != nil {
		return nil, err
	}
	return p, p.openTiers(ctx)
}

// maxDevLeaves is how many leaves one process runs at most.
const maxDevLeaves = 100

// openTiers opens all tiers, parents first.
func (p *planet) openTiers(ctx context.Context) error {
	if err := p.openRoot(); err != nil {
		return err
	}
	zones := map[string]*node{}
	for i, z := range p.zonesInOrder() {
		parent := p.root
		if above := zones[z.Parent]; above != nil {
			parent = above
		}
		var err error
		if zones[z.Zone], err = p.openZone(z, i, parent); err != nil {
			return err
		}
	}
	first := map[string]bool{} // zones of which a leaf is open
	for i, place := range p.places {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := p.openLeaf(place, i, zones[place.Zone], !first[place.Zone]); err != nil {
			return err
		}
		first[place.Zone] = true
	}
	return nil
}

// concrete returns an address with a port: of port 0, one that is free now.
func concrete(address string) (string, error) {
	if _, port, err := net.SplitHostPort(address); err != nil || port != "0" {
		return address, nil // listening says what is wrong
	}
	l, err := listen("web.listen-address", address)
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// rootURL is where loops ask the root.
func rootURL(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// common returns the flags that all tiers of the planet have in common.
func (p *planet) common(http string) commonFlags {
	limits := querytree.DefaultLimits()
	limits.ChildDeadline = 10 * time.Second
	return commonFlags{
		httpAddress: http, limits: limits, lookback: model.Duration(5 * time.Minute), partial: true, cache: resultcache.DefaultConfig(),
		explainSlower: defaultExplainSlower, turns: p.turns,
		shown: map[string]string{"web.listen-address": http},
	}
}

// writeRollups writes the rollup rules of all tiers.
func (p *planet) writeRollups() error {
	file := filepath.Join(p.f.dataDir, "rollups.yml")
	err := os.MkdirAll(p.f.dataDir, 0o755)
	if err == nil {
		err = os.WriteFile(file, []byte(demo.Rollups()), 0o644)
	}
	if err != nil {
		return fmt.Errorf("--data-dir: %w", err)
	}
	p.rollups.file = file
	return nil
}

func (p *planet) log(tier string) *slog.Logger { return p.logger.With("tier", tier) }

func (p *planet) openRoot() error {
	f := mixFlags{commonFlags: p.common(p.f.httpAddress), rollupFlags: p.rollups, childrenFlags: childrenFlags{
		address: preferred(9091), dataDir: filepath.Join(p.f.dataDir, "root"), hints: true, forgetAfter: 7 * 24 * time.Hour,
	}}
	f.loops = p.git.addresses()
	var hosts []string
	if p.git != nil {
		hosts = p.git.repository.planet.RootHosts()
	}
	n, err := p.openMixed(f, querytree.TierRoot, "root", p.git.filesOf("root", gitplanet.Root, hosts))
	if err != nil {
		return err
	}
	p.root = n
	return nil
}

// openMixed opens a zone or the root with what git says of it.
func (p *planet) openMixed(f mixFlags, kind, name string, files tierFiles) (*node, error) {
	if files.folder != "" {
		f.ruleFlags.configFile, f.rollupFlags.file = files.file("prometheus.yml"), files.file("rollups.yml")
		f.ruleFlags.retention = p.f.retention
		if err := files.limit(&f); err != nil {
			return nil, err
		}
	}
	n, _, err := openMix(f, kind, p.log(name), newRegistry(), p.allLinks)
	if err != nil {
		return nil, err
	}
	files.opened(n)
	p.opened(name, n)
	return n, nil
}

func (p *planet) openZone(z gitplanet.ZonePlace, i int, parent *node) (*node, error) {
	id := identityFlags{external: z.Identity}
	f := mixFlags{
		commonFlags: p.common(preferred(9100 + i)), identityFlags: id, rollupFlags: p.rollups,
		parentFlags: parentFlags{parents: []string{parent.grpc.Addr().String()}, statusToParents: true},
		childrenFlags: childrenFlags{
			address: preferred(9200 + i), dataDir: filepath.Join(p.f.dataDir, "zone-"+z.Zone), hints: true, forgetAfter: 7 * 24 * time.Hour,
		},
	}
	return p.openMixed(f, querytree.TierZone, "zone "+z.Zone, p.git.filesOf(zoneFolder(z.Zone), gitplanet.Zone, z.Hosts))
}

// openLeaf opens a leaf that scrapes the demo services of its cluster and its
// own metrics; the first leaf of a zone scrapes the zone's too, and the very
// first one the root's.
func (p *planet) openLeaf(place demo.Place, i int, zone *node, firstOfZone bool) error {
	dir := filepath.Join(p.f.dataDir, "leaf-"+place.Cluster)
	address := preferred(9110 + i)
	jobs := pandoTargets(address, zone, p.root, firstOfZone, i == 0)
	f := leafFlags{
		commonFlags: p.common(address), identityFlags: identityFlags{zone: place.Zone, cluster: place.Cluster}, rollupFlags: p.rollups,
		parentFlags: parentFlags{parents: []string{zone.grpc.Addr().String()}, statusToParents: true},
		dataDir:     filepath.Join(dir, "tsdb"), retention: p.f.retention, exemplars: 10_000,
		walCompression: "snappy", hints: true, outOfOrder: model.Duration(time.Minute), cores: p.cores,
	}
	files := p.git.filesOf("leaf", gitplanet.Leaf, []string{place.Cluster})
	if err := p.configureLeaf(&f, place, dir, jobs, files); err != nil {
		return err
	}
	n, l, err := openLeaf(f, p.log("leaf "+place.Cluster), newRegistry())
	if err != nil {
		return err
	}
	files.opened(n)
	p.opened("leaf "+place.Zone+"/"+place.Cluster, n)
	if series := l.Describe().Series; series > 0 {
		fmt.Fprintf(p.out, "    resumes with %d series\n", series)
	}
	return nil
}

// opened notes and shows a tier that is open.
func (p *planet) opened(name string, n *node) {
	p.nodes = append(p.nodes, n)
	p.mu.Lock()
	p.links = append(p.links, treehttp.Link{Text: name, URL: "http://" + loopback(n.http) + "/"})
	p.mu.Unlock()
	fmt.Fprintf(p.out, "  %-40s http://%s\n", name, loopback(n.http))
}

// allLinks are shown on the front pages.
func (p *planet) allLinks() []treehttp.Link {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]treehttp.Link(nil), p.links...)
}

// run runs everything until ctx ends.
func (p *planet) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.demo.Run(ctx) })
	for i, srv := range p.demos {
		g.Go(func() error {
			if err := srv.Serve(p.lis[i]); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("demo services: %w", err)
			}
			return nil
		})
	}
	for _, n := range p.nodes {
		g.Go(func() error { return n.Run(ctx) })
	}
	g.Go(func() error { return p.runTargets(ctx) })
	if p.git != nil {
		g.Go(func() error { return p.runLoops(ctx) })
	}
	g.Go(func() error { return p.welcome(ctx) })
	g.Go(func() error {
		<-ctx.Done()
		for _, srv := range p.demos {
			_ = srv.Close()
		}
		return nil
	})
	err := g.Wait()
	fmt.Fprintln(p.out, "stopped; run it again to resume")
	return err
}

// close releases what was opened, when not all of it could be.
func (p *planet) close() {
	if p.git != nil {
		_ = p.git.close()
	}
	for i := len(p.nodes) - 1; i >= 0; i-- {
		_ = p.nodes[i].Close()
	}
	for _, l := range p.lis {
		_ = l.Close()
	}
}

// welcome waits until the whole planet is connected and says what to do with it.
func (p *planet) welcome(ctx context.Context) error {
	url := "http://" + loopback(p.root.http)
	if err := p.await(ctx, url); err != nil {
		return nil //nolint:nilerr // ctx ended: nobody to welcome
	}
	fmt.Fprintf(p.out, "\nThe planet is up: %s (console, Prometheus HTTP API, /pando/api/v1/tree)\n", url)
	fmt.Fprintf(p.out, "Send your own Prometheus' series with remote_write to a leaf: %s\n", p.writeURL())
	fmt.Fprintf(p.out, "Grafana: add a Prometheus data source with URL %s\n\nTry:\n", url)
	for _, e := range demo.ExampleQueries() {
		over := ""
		if e.Range {
			over = " --range 30m"
		}
		fmt.Fprintf(p.out, "  # %s\n  %s query%s%s '%s'\n", e.Title, os.Args[0], p.server(), over, e.Query)
	}
	if p.git != nil {
		fmt.Fprintf(p.out, "\nChange what it does: edit a file in %s, commit, and follow the change:\n  %s rollout watch%s\n\n", p.git.repository.says(), os.Args[0], p.server())
	}
	fmt.Fprintf(p.out, "  # The live tree\n  %s tree%s\n\nctrl-C stops it; the data stays.\n", os.Args[0], p.server())
	return nil
}

// server returns the flag that a user's command needs to find the root.
func (p *planet) server() string {
	if url := "http://" + loopback(p.root.http); url != client.DefaultServer {
		return " --server " + url
	}
	return ""
}

func (p *planet) writeURL() string {
	for _, l := range p.allLinks() {
		if strings.HasPrefix(l.Text, "leaf") {
			return l.URL + "api/v1/write"
		}
	}
	return ""
}
