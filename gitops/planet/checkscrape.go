package planet

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	// The discoveries that a leaf has: importing one makes Prometheus' parser know
	// it.
	_ "github.com/prometheus/prometheus/discovery/dns"
	_ "github.com/prometheus/prometheus/discovery/file"
	_ "github.com/prometheus/prometheus/discovery/http"
	_ "github.com/prometheus/prometheus/discovery/kubernetes"
	"github.com/prometheus/prometheus/model/rulefmt"
	yaml "go.yaml.in/yaml/v3"
)

// settings are those of a leaf, as Prometheus reads them.
type settings struct {
	text []byte // YAML
	key  string
	*config.Config
}

// settings parses prometheus.yml. It returns nil if that is not possible.
func (c *checker) settings(a *spot, fs []*fragment, identity map[string]string) *settings {
	key := joined(fs)
	c.mu.Lock()
	out, ok := c.parsed[key]
	c.mu.Unlock()
	if !ok {
		out = c.parseSettings(a, fs, key)
		c.mu.Lock()
		c.parsed[key] = out
		c.mu.Unlock()
	}
	if out == nil {
		return nil
	}
	for _, f := range fs {
		if c.once("setting", f.key) {
			for _, fault := range c.allow.check(f.tree(), f.item.name) {
				c.fail(a, f, fault.node, fault.text)
			}
		}
		if f.item.section == "global" && f.item.name == "external_labels" {
			c.external(a, f, identity)
		}
	}
	return out
}

func (c *checker) parseSettings(a *spot, fs []*fragment, key string) *settings {
	text, err := c.p.sections(a.s.by[Settings], a.v)
	if err != nil {
		return nil // told
	}
	conf, err := config.Load(string(text), slog.New(slog.DiscardHandler))
	if err != nil {
		c.told(a, err, text, func(root *yaml.Node) []pair { return settingPairs(root, fs) }, first(fs))
		return nil
	}
	return &settings{text, key, conf}
}

func first(fs []*fragment) *fragment {
	if len(fs) == 0 {
		return nil
	}
	return fs[0]
}

// external checks the labels that alerts get. Prometheus puts the leaf's
// environment into them, which is none of git's business.
func (c *checker) external(a *spot, f *fragment, identity map[string]string) {
	keys(f.tree(), func(k, v *yaml.Node) {
		switch want, ok := identity[k.Value]; {
		case strings.Contains(v.Value, "$"):
			c.fail(a, f, v, "external labels with $ would tell the leaf's environment: use ${cluster}, ${zone} or ${label:NAME}, or leave it out")
		case ok && want != v.Value:
			c.fail(a, f, v, fmt.Sprintf("external label %s is %s, but all series of the leaf have %s=%s: leave it out", k.Value, v.Value, k.Value, want))
		}
	})
}

// job checks a scrape configuration.
func (c *checker) job(a *spot, f *fragment, with *settings) {
	for _, fault := range c.allow.check(f.tree(), "") {
		c.fail(a, f, fault.node, fault.text)
	}
	c.believed(a, f)
	text := with.document([]*fragment{f})
	cfg, err := config.Load(string(text), slog.New(slog.DiscardHandler))
	if err != nil {
		c.told(a, err, text, func(root *yaml.Node) []pair { return listPairs(root, "scrape_configs", []*fragment{f}) }, f)
		return
	}
	c.heard(a, f, cfg)
}

// loopJob is the job of control loops, which are believed by it. They are scraped as
// often as they look at the fleet: what they say is that late otherwise.
const (
	loopJob      = "pando-gitops"
	loopInterval = 15 * time.Second
)

// heard warns of a control loop that is scraped too seldom for a return within a
// minute.
func (c *checker) heard(a *spot, f *fragment, cfg *config.Config) {
	for _, s := range cfg.ScrapeConfigs {
		if every := time.Duration(s.ScrapeInterval); s.JobName == loopJob && every > loopInterval {
			at := f.tree()
			if n := field(at, "scrape_interval"); n != nil {
				at = n
			}
			c.r.add(place{f.item.at.file, at.Line, at.Column}, Warning, "job "+loopJob, fmt.Sprintf("the control loop of the cluster is scraped every %s, so others hear that late that it rejects a revision: write scrape_interval: %s for this job", model.Duration(every), loopInterval), a.cluster(f))
		}
	}
}

// believed warns of jobs whose targets may say that they are control loops.
func (c *checker) believed(a *spot, f *fragment) {
	warn := func(n *yaml.Node, what string) {
		c.r.add(place{f.item.at.file, n.Line, n.Column}, Warning, "job "+loopJob, what+" lets targets choose their label job, and so pass for the control loop of the cluster, which others believe by job="+loopJob+": drop samples with that job, or leave it out", a.cluster(f))
	}
	if n := field(f.tree(), "honor_labels"); n != nil && n.Value == "true" && f.item.name != loopJob {
		warn(n, "honor_labels")
	}
	for _, r := range items(f.tree(), "metric_relabel_configs") {
		if n := field(r, "target_label"); n != nil && n.Value == "job" {
			warn(n, "target_label: job")
		}
	}
}

// document writes settings and jobs as Prometheus reads them.
func (s *settings) document(jobs []*fragment) []byte {
	var b bytes.Buffer
	if !bytes.Equal(s.text, []byte("{}\n")) {
		b.Write(s.text)
	}
	b.Write(listOf("scrape_configs", jobs))
	return b.Bytes()
}

// whole parses the files of one cluster as a leaf would. Each item was checked by
// itself, and all there is between them is that names are unique, which they are:
// so this finds nothing, unless the code is wrong.
func (c *checker) whole(cluster string) {
	b, err := c.p.Render(cluster)
	if err != nil {
		c.r.failf(place{file: mainFile}, "%v", err)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(b.Files)) {
		var errs []error
		switch {
		case strings.Contains(name, "/rules/"):
			_, errs = rulefmt.Parse(b.Files[name], false, model.UTF8Validation, c.parser, slog.New(slog.DiscardHandler))
		case path.Base(name) == "prometheus.yml":
			_, err := config.Load(string(b.Files[name]), slog.New(slog.DiscardHandler))
			errs = append(errs, err)
		}
		if err := errors.Join(errs...); err != nil {
			c.r.failf(place{file: mainFile}, "%s of cluster %s: %v", name, cluster, err)
		}
	}
}

// alerts warns of alerts that nobody hears of.
func (c *checker) alerts(a *spot, with *settings) {
	if len(with.AlertingConfig.AlertmanagerConfigs) > 0 {
		return
	}
	for _, it := range a.s.by[Rules] {
		for _, n := range items(it.node, "rules") {
			if field(n, "alert") != nil {
				at := place{it.at.file, n.Line, n.Column}
				c.r.add(at, Warning, "no alertmanager", "the alert "+text(n, "alert")+" goes to nobody: prometheus.yml has no alerting.alertmanagers for this tier", a.v.cluster)
				return
			}
		}
	}
}

// pair is a node of what was rendered, and the node that it was made from.
type pair struct {
	rendered, source *yaml.Node
	f                *fragment
}

// listPairs pairs the elements of a list with the fragments that it is made of.
func listPairs(root *yaml.Node, list string, fs []*fragment) (out []pair) {
	for i, n := range items(root, list) {
		if i < len(fs) {
			out = append(out, pair{n, fs[i].tree(), fs[i]})
		}
	}
	return out
}

// settingPairs pairs settings with the fragments that they are made of.
func settingPairs(root *yaml.Node, fs []*fragment) (out []pair) {
	for _, f := range fs {
		section := root
		if f.item.section != "" {
			section = field(root, f.item.section)
		}
		if n := field(section, f.item.name); n != nil {
			out = append(out, pair{n, f.tree(), f})
		}
	}
	return out
}

var (
	// lineText is how YAML libraries tell of a line, one of several errors or the
	// only one.
	lineText = regexp.MustCompile(`^\s*(?:yaml: )?line (\d+): (.*)$`)
	// typeText is what they call a mapping.
	typeText = regexp.MustCompile(`field (\S+) not found in type \S+`)
)

// told notes the errors of a parser that read what was rendered, where the
// sources are of the lines that it names.
func (c *checker) told(a *spot, err error, text []byte, pairs func(root *yaml.Node) []pair, otherwise *fragment) {
	var lines map[int]pair
	for line := range strings.Lines(strings.TrimSpace(err.Error())) {
		line = strings.TrimSpace(line)
		if line == "yaml: unmarshal errors:" || line == "" {
			continue
		}
		m := lineText.FindStringSubmatch(line)
		if m == nil {
			c.toldOf(a, otherwise, advised(typeText.ReplaceAllString(line, "there is no field $1 here")))
			continue
		}
		if lines == nil {
			lines = lineMap(text, pairs)
		}
		n, _ := strconv.Atoi(m[1])
		message := advised(typeText.ReplaceAllString(m[2], "there is no field $1 here"))
		if src, ok := nearest(lines, n); ok {
			c.fail(a, src.f, src.source, message)
		} else {
			c.toldOf(a, otherwise, message)
		}
	}
}

// toldOf notes an error of a fragment, or of planet.yaml if there is none.
func (c *checker) toldOf(a *spot, f *fragment, text string) {
	if f == nil {
		c.r.failf(place{file: mainFile}, "%s", text)
		return
	}
	c.fail(a, f, nil, text)
}

// lineMap says where the lines of a rendered text come from.
func lineMap(text []byte, pairs func(root *yaml.Node) []pair) map[int]pair {
	lines := map[int]pair{}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil || len(doc.Content) == 0 {
		return lines
	}
	for _, p := range pairs(doc.Content[0]) {
		alongside(p, lines)
	}
	return lines
}

// alongside walks two trees of the same shape.
func alongside(p pair, lines map[int]pair) {
	if _, ok := lines[p.rendered.Line]; !ok {
		lines[p.rendered.Line] = p
	}
	for i, n := range p.rendered.Content {
		if i < len(p.source.Content) {
			alongside(pair{n, p.source.Content[i], p.f}, lines)
		}
	}
}

// nearest returns what a line comes from, or the nearest one before it.
func nearest(lines map[int]pair, n int) (pair, bool) {
	best := -1
	for line := range lines {
		if line <= n && line > best {
			best = line
		}
	}
	p, ok := lines[best]
	return p, ok
}

// scrapeInterval returns how often is scraped by default.
func (s *settings) scrapeInterval() time.Duration {
	return time.Duration(s.GlobalConfig.ScrapeInterval)
}

// names returns the names of labels, sorted.
func names(of map[string]string) []string { return slices.Sorted(maps.Keys(of)) }
