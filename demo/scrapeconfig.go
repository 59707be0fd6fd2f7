package demo

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// ScrapeOptions are what a caller may choose of a cluster's scrape config.
type ScrapeOptions struct {
	// Interval is the scrape and evaluation interval. Zero means 15 s.
	Interval time.Duration
	// Refresh is how often the pods are discovered. Zero means 5 s.
	Refresh time.Duration
	// RuleFiles are paths of rule files, such as one that holds Rules().
	RuleFiles []string
	// Extra is YAML text of further entries of scrape_configs, indented by two
	// spaces. May be empty.
	Extra string
}

// ScrapeConfig returns a Prometheus configuration that scrapes the cluster's
// Handler at addr (host:port): the pods through HTTP service discovery, what
// Kubernetes would tell of them, and, in the planet's first cluster alone, this
// machine as job node. There is one machine, so it is one leaf's.
//
// Native histograms are scraped along with the classic buckets of the same
// metric. Zone and cluster are not part of it: they are the leaf's identity.
func (c *Cluster) ScrapeConfig(addr string, o ScrapeOptions) string {
	if o.Interval == 0 {
		o.Interval = 15 * time.Second
	}
	if o.Refresh == 0 {
		o.Refresh = 5 * time.Second
	}
	interval := model.Duration(o.Interval)
	timeout := model.Duration(min(o.Interval, 10*time.Second))
	var b strings.Builder
	fmt.Fprintf(&b, `global:
  scrape_interval: %s
  scrape_timeout: %s
  evaluation_interval: %s
  scrape_native_histograms: true
  always_scrape_classic_histograms: true
`, interval, timeout, interval)
	if len(o.RuleFiles) > 0 {
		b.WriteString("rule_files:\n")
	}
	for _, f := range o.RuleFiles {
		fmt.Fprintf(&b, "  - %q\n", f)
	}
	fmt.Fprintf(&b, `scrape_configs:
  - job_name: pods # each target brings a job label of its own
    body_size_limit: 16MB
    http_sd_configs:
      - url: %q
        refresh_interval: %s
`, "http://"+addr+"/sd", model.Duration(o.Refresh))
	b.WriteString(staticJob("kube-state-metrics", "/kube-state-metrics/metrics", addr, ""))
	b.WriteString(staticJob("kubelet", "/cadvisor/metrics", addr, ""))
	if c.index == 0 {
		b.WriteString(staticJob("node", "/host/metrics", addr, hostname()))
	}
	b.WriteString(o.Extra)
	return b.String()
}

// staticJob is a job of one target. It honours labels: the first two jobs tell
// of pods and namespaces that are not their own.
func staticJob(name, path, addr, instance string) string {
	if instance == "" {
		instance = addr
	}
	return fmt.Sprintf(`  - job_name: %s
    honor_labels: true
    metrics_path: %s
    static_configs:
      - targets: [%q]
        labels: {instance: %q}
`, name, path, addr, instance)
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "localhost"
	}
	return name
}

// Rules returns a Prometheus rule file: a few recording and alerting rules as
// users have them. It is the same for every cluster.
func (c *Cluster) Rules() string { return rulesText }

const rulesText = `groups:
  - name: recording
    rules:
      - record: instance:node_cpu_utilisation:rate5m
        expr: 1 - avg without (cpu) (sum without (mode) (rate(node_cpu_seconds_total{mode=~"idle|iowait|steal"}[5m])))
      - record: instance:node_memory_utilisation:ratio
        expr: 1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes
      - record: job:http_requests:rate5m
        expr: sum by (job) (rate(http_requests_total[5m]))
      - record: job:http_requests_failed:ratio_rate5m
        expr: sum by (job) (rate(http_requests_total{code=~"5.."}[5m])) / sum by (job) (rate(http_requests_total[5m]))
      - record: job:http_request_duration_seconds:p99_5m
        expr: histogram_quantile(0.99, sum by (job) (rate(http_request_duration_seconds[5m])))
      - record: namespace_pod:container_cpu_usage_seconds:rate5m
        expr: sum by (namespace, pod) (rate(container_cpu_usage_seconds_total[5m]))
  - name: alerts
    rules:
      - alert: TargetDown
        expr: up == 0
        for: 1m
        labels: {severity: critical}
        annotations: {summary: "{{ $labels.job }} at {{ $labels.instance }} cannot be scraped"}
      - alert: HighErrorRatio
        expr: sum by (job) (rate(http_requests_total{code=~"5.."}[2m])) / sum by (job) (rate(http_requests_total[2m])) > 0.05
        for: 30s
        labels: {severity: page}
        annotations: {summary: "{{ $value | humanizePercentage }} of the requests to {{ $labels.job }} fail"}
      - alert: HighLatency
        expr: histogram_quantile(0.99, sum by (job) (rate(http_request_duration_seconds[2m]))) > 2
        for: 1m
        labels: {severity: warning}
        annotations: {summary: "p99 of {{ $labels.job }} is {{ $value | humanizeDuration }}"}
      - alert: QueueBacklog
        expr: avg by (queue) (queue_depth) > 200
        for: 1m
        labels: {severity: warning}
        annotations: {summary: "{{ $value | humanize }} messages wait in {{ $labels.queue }}, per worker"}
      - alert: PodRestarted
        expr: increase(kube_pod_container_status_restarts_total[10m]) > 0
        labels: {severity: info}
        annotations: {summary: "{{ $labels.pod }} restarted"}
      - alert: HostOutOfMemory
        expr: node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes < 0.05
        for: 2m
        labels: {severity: warning}
        annotations: {summary: "{{ $labels.instance }} has {{ $value | humanizePercentage }} of its memory left"}
`
