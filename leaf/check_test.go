package leaf

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What Prometheus heeds and a leaf does not is named; what both heed is not.
func TestCheckConfigNamesWhatHasNoEffect(t *testing.T) {
	for _, c := range []struct{ text, section string }{
		{"remote_write: [{url: 'http://localhost/write'}]", "remote_write"},
		{"remote_read: [{url: 'http://localhost/read'}]", "remote_read"},
		{"tracing: {endpoint: 'localhost:4317'}", "tracing"},
		{"global: {query_log_file: queries.log}", "global.query_log_file"},
		{"runtime: {gogc: 42}", "runtime.gogc"},
		{"runtime: {log_level: debug}", "runtime.log_level"},
		{"", ""},
		{"global: {scrape_interval: 15s, scrape_failure_log_file: failures.log}", ""},
		{"otlp: {promote_resource_attributes: [a]}", ""},
		{"alerting: {alertmanagers: [{static_configs: [{targets: ['localhost:9093']}]}]}", ""},
		{"storage: {tsdb: {out_of_order_time_window: 1m}}", ""},
	} {
		file := filepath.Join(t.TempDir(), "prometheus.yml")
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		summary, err := CheckConfig(file)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		warned := strings.Contains(summary, "warning: ")
		if warned != (c.section != "") || warned && !strings.Contains(summary, "warning: "+c.section+" has no effect in Pando: ") {
			t.Errorf("%s: %s", c.text, summary)
		}
	}
}
