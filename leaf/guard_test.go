package leaf

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/scrape"
)

// Which addresses are refused, in all the ways to write them.
func TestGuard(t *testing.T) {
	cfg := DefaultConfig()
	if newGuard(cfg).options() != nil {
		t.Error("a leaf is guarded that nobody asked to be")
	}
	cfg.RefuseLinkLocal, cfg.AllowLinkLocal = true, []netip.Prefix{netip.MustParsePrefix("169.254.20.10/32")}
	g := newGuard(cfg)
	for address, refused := range map[string]bool{
		"169.254.169.254:80":          true,
		"[::ffff:169.254.169.254]:80": true,
		"[64:ff9b::a9fe:a9fe]:80":     true,
		"[2002:a9fe:a9fe::1]:80":      true,
		"[fe80::1%eth0]:80":           true,
		"[fd00:ec2::254]:80":          true,
		"[fd20:ce::254]:80":           true,
		"100.100.100.200:80":          true,
		"168.63.129.16:80":            true,
		"169.254.20.10:9253":          false, // allowed
		"[::ffff:169.254.20.10]:9253": false,
		"169.254.20.11:9253":          true,
		"10.0.0.1:80":                 false,
		"127.0.0.1:80":                false,
		"[fd00::1]:80":                false,
		"[2001:db8::1]:80":            false,
		"100.100.100.201:80":          false,
		"somewhere:80":                true, // names are resolved before
	} {
		if err := g.control("tcp", address, nil); (err != nil) != refused {
			t.Errorf("%s: %v, want refused %v", address, err, refused)
		}
	}
}

// An address that relabeling composes of labels is refused when it is connected
// to, and so is one that a target redirects to; others are scraped.
func TestScrapeRefusesLinkLocal(t *testing.T) {
	good := exporter(t, "orders_total 7\n")
	redirects := httptest.NewServer(http.RedirectHandler("http://169.254.169.254/latest/meta-data/", http.StatusFound))
	defer redirects.Close()
	cfg := testConfig(t.TempDir())
	cfg.RefuseLinkLocal = true
	cfg.ConfigFile = writeFile(t, filepath.Join(t.TempDir(), "prometheus.yml"), `
global: {scrape_interval: 50ms, scrape_timeout: 50ms}
scrape_configs:
- job_name: good
  static_configs: [{targets: ["`+good+`"]}]
- job_name: redirects
  static_configs: [{targets: ["`+strings.TrimPrefix(redirects.URL, "http://")+`"]}]
- job_name: composed
  static_configs: [{targets: [somewhere], labels: {a: "169.254", b: "169.254"}}]
  relabel_configs: [{source_labels: [a, b], separator: ".", regex: (.+), replacement: "$1:80", target_label: __address__}]
`)
	l := openLeaf(t, cfg, Deps{})
	runLeaf(t, l)
	said := map[string]string{}
	eventually(t, "all targets are scraped", func() bool {
		for job, targets := range l.scraper.TargetsActive() {
			for _, target := range targets {
				if target.Health() == scrape.HealthUnknown {
					continue
				}
				if said[job] = "up"; target.LastError() != nil {
					said[job] = target.LastError().Error()
				}
			}
		}
		return len(said) == 3
	})
	for job, want := range map[string]string{"good": "up", "redirects": "credentials", "composed": "credentials"} {
		if !strings.Contains(said[job], want) {
			t.Errorf("job %s: %q, want %q", job, said[job], want)
		}
	}
}

// A unix socket cannot be scraped by what looks at addresses, so that it is not
// scraped from elsewhere instead.
func TestGuardRefusesUnixSockets(t *testing.T) {
	for name, job := range map[string]string{
		"label":    `static_configs: [{targets: [a], labels: {__unix_socket__: /run/docker.sock}}]`,
		"relabel":  `relabel_configs: [{replacement: /run/docker.sock, target_label: __unix_socket__}]`,
		"labelmap": `relabel_configs: [{action: labelmap, regex: x, replacement: __unix_socket__}]`,
	} {
		cfg := testConfig(t.TempDir())
		cfg.ConfigFile = writeFile(t, filepath.Join(t.TempDir(), "prometheus.yml"), "scrape_configs: [{job_name: x, "+job+"}]\n")
		openLeaf(t, cfg, Deps{})
		cfg.DataDir, cfg.RefuseLinkLocal = t.TempDir(), true
		if l, err := Open(cfg, Deps{}); err == nil || !strings.Contains(err.Error(), "unix socket") {
			t.Errorf("%s: error %v, want that unix sockets are not possible", name, err)
			if l != nil {
				_ = l.Close()
			}
		}
	}
}
