package treehttp

import (
	"bytes"
	"crypto/rand"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"time"

	"github.com/pandometrics/pando/querytree"
)

//go:embed page.html
var pageHTML string

// maxPageNodes bounds the rows of the front page; the tree's JSON has them all.
const maxPageNodes = 500

// page renders the front page.
type page struct{ tmpl *template.Template }

// pageData is what the template shows.
type pageData struct {
	Nonce    string
	Console  bool
	Self     Node
	Now      time.Time
	NotReady string
	Parents  []Parent
	Rows     []pageRow
	Hidden   int
	Missing  int
	Refused  []Refusal
	Links    []Link
	Own      []Link
	Examples []string
}

// pageRow is a node below, with its depth.
type pageRow struct {
	Node
	Depth int
}

func newPage() (*page, error) {
	tmpl, err := template.New("page").Funcs(template.FuncMap{
		"ago":   func(now, t time.Time) string { return ShortDuration(now.Sub(t)) },
		"short": func(s Seconds) string { return ShortDuration(time.Duration(s)) },
		"count": ShortCount,
		"size":  ShortBytes,
	}).Parse(pageHTML)
	if err != nil {
		return nil, err
	}
	return &page{tmpl: tmpl}, nil
}

// front serves the front page: what this tier is, who it is connected to, and a
// form to ask it a query.
func (h *Handler) front(w http.ResponseWriter, r *http.Request) {
	tree := h.cfg.Tree.Tree(r.Context())
	data := pageData{
		Nonce: nonce(), Console: h.cfg.Console != nil, Self: tree.Self, Now: h.cfg.Now().UTC().Truncate(time.Second),
		Parents: tree.Parents, Refused: tree.Refused, Links: h.cfg.Links(),
		Own: ownLinks(tree.Self.Tier), Examples: examples(tree.Self.Tier),
	}
	if err := h.cfg.Ready(); err != nil {
		data.NotReady = err.Error()
	}
	data.addRows(tree.Children, 0)
	var b bytes.Buffer
	if err := h.page.tmpl.Execute(&b, data); err != nil {
		h.cfg.Logger.Error("render front page", "err", err)
		http.Error(w, "render front page: "+err.Error(), http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", fmt.Sprintf("default-src 'none'; connect-src 'self'; style-src 'nonce-%[1]s'; script-src 'nonce-%[1]s'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'", data.Nonce))
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	// The client may be gone; there is nobody left to tell.
	_, _ = w.Write(b.Bytes())
}

// addRows flattens the tree into rows, up to the page's bound.
func (d *pageData) addRows(nodes []Node, depth int) {
	for _, n := range nodes {
		if n.State == StateMissing {
			d.Missing++
		}
		if len(d.Rows) < maxPageNodes {
			d.Rows = append(d.Rows, pageRow{Node: n, Depth: min(depth, 6)})
		} else {
			d.Hidden++
		}
		d.addRows(n.Children, depth+1)
	}
}

func nonce() string { return rand.Text() }

// ownLinks leads to this tier's endpoints, relative to the page so that they
// hold behind a proxy that strips a prefix.
func ownLinks(tier string) []Link {
	links := []Link{
		{"Tree", "pando/api/v1/tree"},
		{"Metric names", "api/v1/label/__name__/values"},
		{"Metadata", "api/v1/metadata?limit=100"},
	}
	if tier == querytree.TierLeaf {
		links = append(links,
			Link{"Targets", "api/v1/targets"}, Link{"TSDB", "api/v1/status/tsdb"}, Link{"Configuration", "api/v1/status/config"})
	}
	return append(links,
		Link{"Rules", "api/v1/rules"}, Link{"Alerts", "api/v1/alerts"}, Link{"Flags", "api/v1/status/flags"},
		Link{"Build", "api/v1/status/buildinfo"}, Link{"API description", "api/v1/openapi.yaml"},
		Link{"Own metrics", "metrics"}, Link{"Ready", "-/ready"})
}

// examples are queries that show something in any tier of that kind.
func examples(tier string) []string {
	switch tier {
	case querytree.TierLeaf:
		return []string{"up", "sum by (job) (up)", `topk(10, count by (__name__) ({__name__!=""}))`, "sum by (job) (rate(scrape_samples_scraped[5m]))"}
	case querytree.TierZone:
		return []string{"sum by (cluster) (up)", "count by (cluster, job) (up == 0)", `count by (cluster) ({__name__!=""})`, "topk(5, sum by (cluster, job) (scrape_samples_scraped))"}
	default:
		return []string{"sum by (zone) (up)", "count by (zone, cluster) (up)", "count by (zone, job) (up == 0)", "topk(5, sum by (zone, cluster) (scrape_samples_scraped))"}
	}
}

// ShortDuration returns a duration in its two largest units, as people say it.
func ShortDuration(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	default:
		return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
	}
}

// ShortCount returns a number with a decimal suffix.
func ShortCount(n uint64) string { return scaled(float64(n), 1000, []string{"", "k", "M", "G", "T"}) }

// ShortBytes returns a number of bytes with a binary suffix.
func ShortBytes(n uint64) string {
	return scaled(float64(n), 1024, []string{" B", " KiB", " MiB", " GiB", " TiB"})
}

func scaled(f, base float64, units []string) string {
	i := 0
	for ; f >= base && i < len(units)-1; i++ {
		f /= base
	}
	if i == 0 || f >= 100 {
		return fmt.Sprintf("%.0f%s", f, units[i])
	}
	return fmt.Sprintf("%.1f%s", f, units[i])
}
