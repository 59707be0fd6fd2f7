// Package planettest makes planets of many clusters for tests and benchmarks.
package planettest

import (
	"fmt"
	"strings"
	"testing/fstest"
)

// ruleTests are those of one group: of each of its rules for a single Prometheus,
// and of what they are for two clusters in a tree.
func ruleTests(group int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "rule_files: [../rules/leaf/group-%d.yml]\nevaluation_interval: 1m\ntests:\n", group)
	var series, want strings.Builder
	for r := range 10 {
		labels := fmt.Sprintf("job=\"api-%d\"", r)
		fmt.Fprintf(&series, "      - {series: 'http_requests_total{%s, code=\"200\", cluster=\"z0-0\"}', values: 0+60x30}\n      - {series: 'x_total{%s}', values: 0+120x30}\n", labels, labels)
		name := fmt.Sprintf("g%d:r%d:rate5m", group, r)
		fmt.Fprintf(&want, "      - {expr: 'sum(%s)', eval_time: 20m, exp_samples: [{labels: '{}', value: VALUE}]}\n", name)
	}
	if group > 1 { // the others are for one cluster by its name
		fmt.Fprintf(&b, "  - name: one\n    interval: 1m\n    input_series:\n%s    promql_expr_test:\n%s", series.String(), strings.ReplaceAll(want.String(), "VALUE", "0.5"))
	}
	inTree := strings.ReplaceAll(strings.ReplaceAll(series.String(), ", cluster=\"z0-0\"", ""), "      - {", "          - {")
	fmt.Fprintf(&b, "  - name: two\n    interval: 1m\n    leaves:\n")
	for c := range 2 {
		fmt.Fprintf(&b, "      - cluster: z%d-%d\n        input_series:\n%s", c, c, inTree)
	}
	fmt.Fprintf(&b, "    promql_expr_test:\n%s", strings.ReplaceAll(want.String(), "VALUE", "1"))
	return b.String()
}

// Large returns a planet of n clusters in ten zones, whose every cluster has 20
// jobs (four of them with the cluster's name in them), 200 rules in 20 groups (two
// with the cluster's name), all of them tested, rollups, aggregations and limits. A tenth of the
// clusters has an overlay of its own, and half of the zones.
func Large(n int) fstest.MapFS {
	fsys := fstest.MapFS{}
	put := func(name, text string) { fsys[name] = &fstest.MapFile{Data: []byte(text)} }
	var b strings.Builder
	b.WriteString("apiVersion: pando/v1\nzones:\n")
	for z := range 10 {
		fmt.Fprintf(&b, "  - {name: z%d, hosts: [z%d-%d], addresses: ['z%d:9091']}\n", z, z, z, z)
	}
	b.WriteString("clusters:\n")
	for c := range n {
		fmt.Fprintf(&b, "  - {name: z%d-%d, zone: z%d, labels: {env: %s, wave: w%d}}\n", c%10, c, c%10, []string{"prod", "test"}[c%2], c%7)
	}
	b.WriteString("waves:\n")
	for w := range 6 {
		fmt.Fprintf(&b, "  - {name: w%d, select: ['{wave=\"w%d\"}'], bake: 10m, gates: [up]}\n", w, w)
	}
	b.WriteString("  - {name: rest}\ngates:\n  - {name: up, expr: avg(up) > bool 0.9, for: 5m}\n")
	put("planet.yaml", b.String())
	put("prometheus.yml", "global: {scrape_interval: 30s, evaluation_interval: 30s}\nalerting:\n  alertmanagers:\n    - static_configs: [{targets: ['am.${zone}:9093']}]\n")
	for j := range 20 {
		target := "svc:80"
		if j < 4 {
			target = "svc.${cluster}:80"
		}
		put(fmt.Sprintf("scrape/job-%d.yml", j), fmt.Sprintf(`scrape_configs:
  - job_name: job-%d
    kubernetes_sd_configs: [{role: pod}]
    static_configs: [{targets: ['%s']}]
    relabel_configs:
      - {source_labels: [__meta_kubernetes_pod_label_app], regex: "app-(.*)", replacement: "${1}", target_label: app}
      - {source_labels: [__meta_kubernetes_namespace], target_label: namespace}
      - {action: labelmap, regex: "__meta_kubernetes_pod_label_(.+)"}
    metric_relabel_configs:
      - {source_labels: [__name__], regex: "go_.*", action: drop}
`, j, target))
	}
	for g := range 20 {
		var rules strings.Builder
		fmt.Fprintf(&rules, "groups:\n  - name: group-%d\n    rules:\n", g)
		for r := range 10 {
			where := ""
			if g < 2 {
				where = `, cluster="${cluster}"`
			}
			fmt.Fprintf(&rules, "      - record: g%d:r%d:rate5m\n        expr: sum by (job, code) (rate(http_requests_total{job=~\"api-%d.*\"%s}[5m])) / on (job) group_left () sum by (job) (rate(x_total[5m]))\n", g, r, r, where)
		}
		put(fmt.Sprintf("rules/leaf/group-%d.yml", g), rules.String())
	}
	for g := range 20 {
		put(fmt.Sprintf("tests/group-%d.yml", g), ruleTests(g))
	}
	put("rollups/r.yml", "rollups:\n  - {name: 'a:b', expr: 'sum by (job) (rate(http_requests_total[5m]))', interval: 1m, keep: {root: {for: 90d}}}\n")
	put("aggregations/a.yml", "rules:\n  - {name: a, match: [http_request_duration_seconds_bucket], without: [pod]}\n")
	put("limits/leaf.yml", "query.timeout: 2m\n")
	for z := range 5 {
		put(fmt.Sprintf("zones/z%d/limits/leaf.yml", z), fmt.Sprintf("query.max-samples: %d\n", 1_000_000+z))
	}
	for c := 0; c < n; c += 10 {
		put(fmt.Sprintf("clusters/z%d-%d/scrape/own.yml", c%10, c), "scrape_configs:\n  - job_name: own\n    static_configs: [{targets: ['own:80']}]\n")
	}
	return fsys
}
