package planetbench_test

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/pandometrics/pando/querytree/treetest"
)

// corpusSelectors returns the selectors of the expressions in e2e/testdata, and
// of those in PANDO_CORPUS_DIR, as often as they occur.
func corpusSelectors(tb testing.TB) [][]*labels.Matcher {
	tb.Helper()
	var out [][]*labels.Matcher
	for _, expr := range treetest.Corpus(tb, "../testdata/corpus") {
		out = append(out, selectors(tb, expr)...)
	}
	return out
}

func selectors(tb testing.TB, expr string) [][]*labels.Matcher {
	tb.Helper()
	e, err := parser.NewParser(parser.Options{EnableExperimentalFunctions: true}).ParseExpr(expr)
	if err != nil {
		tb.Fatalf("%s: %v", expr, err)
	}
	return parser.ExtractSelectors(e)
}

// agentJobs says which agent exposes a metric of the corpus, by its prefix.
var agentJobs = []struct {
	prefix, job string
	port        int
	perPod      bool
}{
	{"node_", "node-exporter", 9100, false},
	{"kube_", "kube-state-metrics", 8443, true},
	{"container_", "kubelet", 10250, true},
	{"kubelet_", "kubelet", 10250, false},
	{"apiserver_", "apiserver", 6443, false},
	{"prometheus_", "prometheus-k8s", 9090, false},
	{"alertmanager_", "alertmanager-main", 9093, false},
	{"coredns_", "kube-dns", 9153, false},
	{"etcd_", "etcd", 2379, false},
}

// platformMetrics returns the agents' metrics that the corpus asks for most, with
// a label and the values of it that the corpus names.
func platformMetrics(corpus [][]*labels.Matcher, most int) []platformMetric {
	count, found := map[string]int{}, map[string]*platformMetric{}
	for _, ms := range corpus {
		name := metricOf(ms)
		for _, a := range agentJobs {
			if !strings.HasPrefix(name, a.prefix) || strings.Contains(name, ":") {
				continue
			}
			count[name]++
			pm := found[name]
			if pm == nil {
				pm = &platformMetric{name: name, job: a.job, port: a.port, perPod: a.perPod}
				found[name] = pm
			}
			pm.learn(ms)
		}
	}
	names := slices.SortedFunc(maps.Keys(count), func(a, b string) int {
		return cmp.Or(count[b]-count[a], strings.Compare(a, b))
	})
	var out []platformMetric
	for _, n := range names[:min(most, len(names))] {
		out = append(out, *found[n])
	}
	return out
}

// learn takes a label with literal values from a selector.
func (pm *platformMetric) learn(ms []*labels.Matcher) {
	for _, m := range ms {
		if slices.Contains([]string{labels.MetricName, "cluster", "namespace", "job", "instance", "pod", "node", "container"}, m.Name) ||
			pm.label != "" && pm.label != m.Name || m.Value == "" || strings.Contains(m.Value, "VAR") || m.Type == labels.MatchNotEqual || m.Type == labels.MatchNotRegexp {
			continue
		}
		values := []string{m.Value}
		if m.Type == labels.MatchRegexp {
			if values = m.SetMatches(); len(values) == 0 {
				continue
			}
		}
		pm.label = m.Name
		for _, v := range values {
			if v != "" && !slices.Contains(pm.values, v) {
				pm.values = append(pm.values, v)
			}
		}
	}
}

func metricOf(ms []*labels.Matcher) string {
	for _, m := range ms {
		if m.Name == labels.MetricName && m.Type == labels.MatchEqual {
			return m.Value
		}
	}
	return ""
}
