package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const tierRules = `groups:
  - name: %[1]s
    interval: 1s
    rules:
      - record: %[1]s:orders:sum
        expr: sum by (zone) (orders)
      - record: %[1]s:twice
        expr: 2 * %[1]s:orders:sum
      - alert: NoOrders
        expr: absent(orders{cluster="b"}) or sum(orders) < 10
`

// tierConfig writes a configuration file with rules for a tier, and returns its
// path. alertmanager may be empty.
func tierConfig(t *testing.T, tier, alertmanager string) string {
	t.Helper()
	dir := t.TempDir()
	text := "rule_files: [rules.yml]\n"
	if alertmanager != "" {
		text += fmt.Sprintf("alerting: {alertmanagers: [{static_configs: [{targets: [%q]}]}]}\n", strings.TrimPrefix(alertmanager, "http://"))
	}
	for name, data := range map[string]string{"revision": "abc123\n", "prometheus.yml": text, "rules.yml": fmt.Sprintf(tierRules, tier)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "prometheus.yml")
}

// tierAlerts returns the names of a tier's own alerts that fire.
func tierAlerts(base string) ([]string, error) {
	a, err := call(base, "/api/v1/alerts", nil)
	if err != nil {
		return nil, err
	}
	var data struct {
		Alerts []struct {
			Labels map[string]string
			State  string
		}
	}
	if err := json.Unmarshal(a.Data, &data); err != nil {
		return nil, err
	}
	var out []string
	for _, al := range data.Alerts {
		if al.State == "firing" {
			out = append(out, al.Labels["alertname"])
		}
	}
	return out, nil
}

// page returns the text that a URL answers.
func page(url string) (string, error) {
	res, err := caller.Get(url)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<24))
	return string(text), err
}

// inbox is an Alertmanager that keeps what it is sent.
type inbox struct {
	*httptest.Server
	mu   sync.Mutex
	text strings.Builder
}

func newInbox(t *testing.T) *inbox {
	in := &inbox{}
	in.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		in.mu.Lock()
		defer in.mu.Unlock()
		var alerts json.RawMessage
		if json.NewDecoder(http.MaxBytesReader(nil, r.Body, 1<<20)).Decode(&alerts) == nil && in.text.Len() < 1<<20 {
			in.text.Write(alerts)
		}
	}))
	t.Cleanup(in.Close)
	return in
}

func (in *inbox) String() string {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.text.String()
}

// Zones and the root evaluate rules over all that is below them, keep what they
// record, and never take a leaf that is away for one without series.
func TestProcessTierRules(t *testing.T) {
	processes(t)
	am := newInbox(t)
	root := startRoot(t, "--config.file="+tierConfig(t, "root", am.URL))
	zone := startZone(t, root.grpc, "--zone=eu", "--config.file="+tierConfig(t, "zone", ""))
	a, b := startLeaf(t, zone.grpc, "eu", "a"), startLeaf(t, zone.grpc, "eu", "b")
	awaitLeaves(t, root, 2)
	write(t, a, pt(5, "__name__", "orders"))
	write(t, b, pt(15, "__name__", "orders"))
	becomes(t, 60*time.Second, root.http, `root:orders:sum{zone="eu"}`, 20)
	becomes(t, 60*time.Second, root.http, `root:twice`, 40)
	becomes(t, 60*time.Second, zone.http, `zone:twice{zone="eu"}`, 40)
	becomes(t, 60*time.Second, root.http, `sum(root:orders:sum) + sum(orders)`, 40)
	if names, err := tierAlerts(root.http); err != nil || len(names) != 0 {
		t.Errorf("alerts %v, %v", names, err)
	}

	// A leaf is away: what that would show is unknown, so nothing fires.
	b.kill()
	eventually(t, 60*time.Second, func() error {
		r, err := call(root.http, "/api/v1/rules", nil)
		if err != nil {
			return err
		}
		return mentions([]string{string(r.Data)}, `"health":"err"`, "NoOrders")
	})
	if names, err := tierAlerts(root.http); err != nil || len(names) != 0 {
		t.Errorf("with a leaf away: alerts %v, %v", names, err)
	}
	again := b.again()
	awaitLeaves(t, root, 2)
	write(t, again, pt(1, "__name__", "orders"))
	becomes(t, 60*time.Second, root.http, `root:orders:sum`, 6)
	eventually(t, 60*time.Second, func() error {
		names, err := tierAlerts(root.http)
		if err == nil && len(names) != 1 {
			err = fmt.Errorf("alerts %v", names)
		}
		return err
	})
	becomes(t, 60*time.Second, root.http, `count(root:ALERTS{alertstate="firing"})`, 1)
	eventually(t, 60*time.Second, func() error { return mentions([]string{am.String()}, "NoOrders") })

	// A restart keeps what was recorded, and the root of a file that scrapes says
	// who should.
	at := seconds(time.Now().Add(-time.Second))
	root.stop(os.Interrupt, 20*time.Second)
	root = root.again()
	eventually(t, 60*time.Second, func() error {
		v, err := vector(root.http, "last_over_time(root:orders:sum[1m])", "time", at)
		if err == nil && len(v) != 1 {
			err = errors.New("what was recorded is not there")
		}
		return err
	})
	if text, err := page(root.http + "/metrics"); err != nil || mentions([]string{text}, "prometheus_rule_group_iterations_total", "prometheus_notifications_queue_capacity", "pando_tree_", `pando_config_in_effect_info{revision="abc123"} 1`) != nil {
		t.Errorf("metrics: %v, %d bytes", err, len(text))
	}
	if text, err := page(root.http + "/pando/api/v1/config"); err != nil || mentions([]string{text}, `"revision":"abc123"`, `"tier":"root"`) != nil {
		t.Errorf("configuration: %v, %s", err, text)
	}
	bad := writeFile(t, "bad.yml", "scrape_configs: [{job_name: a}]\n")
	if r := run(t, pando(t), "root", "--storage.path="+t.TempDir(), "--config.file="+bad, "--web.listen-address=127.0.0.1:0", "--grpc.listen-address=127.0.0.1:0"); r.code == 0 || !strings.Contains(r.errOut, "only leaves") {
		t.Errorf("a root that scrapes: exit code %d, %s", r.code, r.errOut)
	}
}
