package demo

import (
	"encoding/json"
	"fmt"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// RepositoryOptions say what the planet's repository is about.
type RepositoryOptions struct {
	// Clusters are the clusters of the planet; the first one hosts the root, and
	// the first of each zone the zone's tier.
	Clusters []Place
	// Interval is the scrape and evaluation interval; bake times follow from it.
	Interval time.Duration
	// Targets is an absolute folder with the files that Targets returns, a folder
	// for each cluster. The repository names them, and not the addresses in them,
	// which may be others after a restart.
	Targets string
}

// The files of RepositoryOptions.Targets.
const (
	PodsFile   = "pods.json"   // Discovery
	DemoFile   = "demo.json"   // the demo services
	PandoFile  = "pando.json"  // Pando's own tiers
	GitopsFile = "gitops.json" // the cluster's control loop
)

// Repository returns the files of a git repository from which the planet is
// configured: Prometheus' formats, and planet.yaml with zones, clusters, waves and
// gates. README.md tells what to try.
func Repository(o RepositoryOptions) map[string][]byte {
	of := func(name string) string {
		return fmt.Sprintf("    file_sd_configs: [{files: [%q]}]\n", path.Join(filepath.ToSlash(o.Targets), "${cluster}", name))
	}
	interval := model.Duration(o.Interval)
	files := map[string]string{
		"README.md":      repositoryReadme,
		"planet.yaml":    o.planet(),
		"prometheus.yml": fmt.Sprintf("global:\n  scrape_interval: %s\n  scrape_timeout: %s\n  evaluation_interval: %s\n  scrape_native_histograms: true\n  always_scrape_classic_histograms: true\n", interval, model.Duration(min(o.Interval, 10*time.Second)), interval),
		"scrape/demo.yml": "scrape_configs:\n  - job_name: pods # each target brings a job label of its own\n    body_size_limit: 16MB\n" + of(PodsFile) +
			filedJob("kube-state-metrics", "/kube-state-metrics/metrics", of(DemoFile)) + filedJob("kubelet", "/cadvisor/metrics", of(DemoFile)),
		"scrape/pando.yml":      "scrape_configs:\n  - job_name: pando # the tiers\n" + of(PandoFile) + "  - job_name: pando-gitops # the control loop: so the others learn what this cluster runs\n" + of(GitopsFile),
		"rules/leaf/demo.yml":   rulesText,
		"rules/root/planet.yml": planetRules,
		"rollups/demo.yml":      rollups,
		"limits/leaf.yml":       "# Flags by name. Queries that begin after a reload go by them.\nquery.timeout: 2m\n",
		"limits/zone.yml":       "query.timeout: 2m\n",
		"limits/root.yml":       "query.timeout: 2m\n",
		"tests/planet.yml":      planetTests,
	}
	if len(o.Clusters) > 0 {
		// There is one machine, so it is one leaf's: an overlay of that cluster.
		files[path.Join("clusters", o.Clusters[0].Cluster, "scrape/node.yml")] = "scrape_configs:\n" +
			strings.Replace(filedJob("node", "/host/metrics", of(DemoFile)), "    honor_labels: true\n", "", 1) +
			fmt.Sprintf("    relabel_configs: [{target_label: instance, replacement: %q}]\n", hostname())
	}
	out := make(map[string][]byte, len(files))
	for name, text := range files {
		out[name] = []byte(text)
	}
	return out
}

// filedJob is a job whose metrics tell of pods and namespaces that are not their
// own.
func filedJob(name, metrics, from string) string {
	return fmt.Sprintf("  - job_name: %s\n    honor_labels: true\n    metrics_path: %s\n%s", name, metrics, from)
}

// planet returns planet.yaml.
func (o RepositoryOptions) planet() string {
	var b strings.Builder
	b.WriteString("# Zones, clusters, and in which order clusters take a change.\napiVersion: pando/v1\n\nzones:\n")
	zones := map[string]int{} // clusters in each
	for _, c := range o.Clusters {
		if zones[c.Zone]++; zones[c.Zone] == 1 {
			fmt.Fprintf(&b, "  - {name: %s, hosts: [%s]} # runs beside that cluster\n", c.Zone, c.Cluster)
		}
	}
	if len(o.Clusters) > 0 {
		fmt.Fprintf(&b, "root: {hosts: [%s]}\n", o.Clusters[0].Cluster)
	}
	b.WriteString("\nclusters:\n")
	for _, c := range o.Clusters {
		fmt.Fprintf(&b, "  - {name: %s, zone: %s}\n", c.Cluster, c.Zone)
	}
	bake := fmt.Sprintf("    bake: %s\n    gates: [targets-are-up, rules-evaluate]\n", model.Duration(6*o.Interval))
	b.WriteString("\n# A wave begins when the one before runs the change, has baked, and its gates hold.\nwaves:\n")
	rest := len(o.Clusters)
	if rest > 1 {
		fmt.Fprintf(&b, "  - name: canary\n    select: ['{cluster=%q}']\n%s", o.Clusters[0].Cluster, bake)
		rest--
		if n := zones[o.Clusters[0].Zone] - 1; n > 0 && n < rest {
			fmt.Fprintf(&b, "  - name: %s\n    select: ['{zone=%q}']\n%s", o.Clusters[0].Zone, o.Clusters[0].Zone, bake)
		}
	}
	fmt.Fprintf(&b, "  - name: rest\n%s", bake)
	window := model.Duration(4 * o.Interval)
	fmt.Fprintf(&b, `
# PromQL, asked at the root. A gate that fails twice in a row takes the change back.
gates:
  - name: targets-are-up
    expr: (min(avg by (cluster) (up)) or vector(1)) > bool 0.9
    for: %s
  - name: rules-evaluate
    expr: (sum(increase(prometheus_rule_evaluation_failures_total{tier="leaf"}[%s])) or vector(0)) < bool 1
    for: %s

# What the files here may make a leaf read and ask.
allow:
  files: [%q]
  hosts: [localhost, 127.0.0.1]
  discovery: [static, file, http, dns]
`, model.Duration(2*o.Interval), window, model.Duration(2*o.Interval), strings.TrimSuffix(filepath.ToSlash(o.Targets), "/")+"/")
	return b.String()
}

const planetRules = `# Evaluated at the root, over all clusters.
groups:
  - name: planet
    rules:
      - record: planet:http_requests:rate5m
        expr: sum(rate(http_requests_total[5m]))
      - alert: ClusterWithoutTargets
        expr: count by (cluster) (up) - sum by (cluster) (up) == count by (cluster) (up)
        for: 1m
        labels: {severity: critical}
        annotations: {summary: "no target of {{ $labels.cluster }} can be scraped"}
`

const planetTests = `# promtool's format. Each revision's tests run before anybody takes it.
rule_files: [../rules/root/planet.yml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {series: 'http_requests_total{cluster="a"}', values: 0+60x10}
      - {series: 'http_requests_total{cluster="b"}', values: 0+120x10}
    promql_expr_test:
      - expr: planet:http_requests:rate5m
        eval_time: 10m
        exp_samples: [{labels: 'planet:http_requests:rate5m', value: 3}]
`

const repositoryReadme = `# The planet's configuration

Edit a file here, commit, and watch it reach the clusters wave by wave:

    git commit -am 'rules: a change'
    pando rollout watch

| file | |
|---|---|
| planet.yaml | zones, clusters, waves, gates |
| scrape/, rules/leaf, rules/zone, rules/root, rollups/ | Prometheus' own formats, and rollups |
| clusters/NAME/…, zones/NAME/… | what one cluster, or zone, has otherwise |
| tests/ | unit tests of rules |

Try a rule of your own in rules/leaf, then one with a mistake: nobody takes it, and the status says file and line. Then a rule that
is valid and fails when it is evaluated, such as ` + "`{record: x, expr: sum by (job) (up), labels: {job: all}}`" + `, whose results would be one
series: the first wave takes it, the gate rules-evaluate fails, and it is taken back.

` + "`pando check planet` says what is wrong before you commit, `pando config diff HEAD~1 HEAD` what a commit changes." + `
`

// Targets is the content of a file with targets, as file_sd_configs read it.
func Targets(groups ...TargetGroup) []byte {
	data, err := json.MarshalIndent(append([]TargetGroup{}, groups...), "", "  ")
	if err != nil {
		return []byte("[]") // of strings alone: cannot be
	}
	return append(data, '\n')
}
