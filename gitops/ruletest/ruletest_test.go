package ruletest_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"

	"github.com/pandometrics/pando/gitops/planet"
	"github.com/pandometrics/pando/gitops/ruletest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The starter is a planet that nothing is wrong with, tests of its rules included.
func TestStarter(t *testing.T) {
	files, err := planet.Starter()
	if err != nil {
		t.Fatal(err)
	}
	fsys := fstest.MapFS{}
	for name, data := range files {
		fsys[name] = &fstest.MapFile{Data: data}
	}
	if _, problems := planet.Validate(fsys, planet.CheckOptions{Tests: ruletest.Runner{}}); len(problems) > 0 {
		t.Errorf("\n%v", problems)
	}
}

const (
	main = `apiVersion: pando/v1
zones:
  - {name: europe, labels: {continent: europe}}
  - {name: eu, parent: europe}
  - {name: us}
clusters: [{name: eu-1, zone: eu}, {name: eu-2, zone: eu}, {name: us-1, zone: us}]
waves: [{name: all}]
`
	settings = "alerting: {alertmanagers: [{static_configs: [{targets: ['am:9093']}]}]}\n"
	rules    = `groups:
  - name: second
    rules:
      - {record: up:count, expr: count(up:sum or up)}
  - name: first
    rules:
      - {record: up:sum, expr: sum(up)}
      - {alert: Down, expr: up == 0, for: 2m, labels: {severity: page}, annotations: {text: "{{ $labels.job }} in {{ $externalLabels.dc }}"}}
`
	zoneRules = `groups:
  - name: zone
    rules:
      - {record: "zone:up:sum", expr: sum(up:sum)}
      - {alert: FewUp, expr: "zone:up:sum < 2"}
`
	rootRules = `groups:
  - name: root
    rules:
      - {record: "planet:up:sum", expr: sum(zone:up:sum)}
`
)

// run returns what is told of a file of tests.
func run(tests string) string { return runIn(context.Background(), tests) }

func runIn(ctx context.Context, tests string) string {
	fsys := fstest.MapFS{}
	for name, text := range map[string]string{
		"planet.yaml": main, "prometheus.yml": settings, "rules/leaf/a.yml": rules, "rules/zone/z.yml": zoneRules, "rules/root/r.yml": rootRules,
		"clusters/eu-2/rules/leaf/a.yml": "groups: [{name: first, rules: [{record: up:sum, expr: 'sum(up) + 10'}]}]\n",
		"tests/t.yml":                    tests,
	} {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	_, problems := planet.Validate(fsys, planet.CheckOptions{Tests: ruletest.Runner{}, Context: ctx})
	return problems.Error()
}

// A test without leaves is one of promtool.
func TestSingle(t *testing.T) {
	for _, tc := range []struct{ name, test, want string }{
		{"as expected", "promql_expr_test: [{expr: up:sum, eval_time: 1m, exp_samples: [{labels: 'up:sum', value: 1}]}]", ""},
		{"not as expected", "promql_expr_test: [{expr: up:sum, eval_time: 1m, exp_samples: [{labels: 'up:sum', value: 2}]}]", "tests/t.yml:6:24: test x: up:sum at 1m0s: expected {__name__=\"up:sum\"} 2, got {__name__=\"up:sum\"} 1"},
		{"a number", "promql_expr_test: [{expr: scalar(up:sum) + 1, exp_samples: [{value: 2}]}]", ""},
		{"nothing", "promql_expr_test: [{expr: down, eval_time: 1m}]", ""},
		{"not nothing", "promql_expr_test: [{expr: up, eval_time: 1m}]", "expected nothing, got {__name__=\"up\", job=\"a\"} 1"},
		{"alert not yet", "alert_rule_test: [{alertname: Down, eval_time: 3m}]", ""},
		{"alert", "alert_rule_test: [{alertname: Down, eval_time: 4m, exp_alerts: [{exp_labels: {job: a, severity: page}, exp_annotations: {text: a in x}}]}]\n    external_labels: {dc: x}", ""},
		{"another alert", "alert_rule_test: [{alertname: Down, eval_time: 4m, exp_alerts: [{exp_labels: {job: b, severity: page}}]}]", "test x: alert Down at 4m0s: expected {alertname=\"Down\", job=\"b\", severity=\"page\"}, got {alertname=\"Down\", job=\"a\", severity=\"page\"} with"},
		{"a range", "promql_expr_test: [{expr: 'up[5m]', eval_time: 1m}]", "it gives a matrix"},
		{"labels that are none", "promql_expr_test: [{expr: up, exp_samples: [{labels: '{x', value: 1}]}]", "labels \"{x\""},
		{"input that is none", "promql_expr_test: [{expr: up}]\n  - input_series: [{series: 'up{', values: 1}]", "test 2: series \"up{\""},
		{"values that are none", "promql_expr_test: [{expr: up}]\n  - input_series: [{series: 'up', values: one}]", "test 2: "},
		{"input of two lines", "promql_expr_test: [{expr: up}]\n  - input_series: [{series: up, values: \"1\\n  y 1\"}]", "it has several lines"},
	} {
		got := run("rule_files: [../rules/leaf/*.yml]\ngroup_eval_order: [first, second]\ntests:\n  - name: x\n    input_series: [{series: 'up{job=\"a\"}', values: 1 1 0x10}]\n    " + tc.test + "\n")
		if tc.want == "" && got != "" || !strings.Contains(got, tc.want) {
			t.Errorf("%s: want %q, got\n%s", tc.name, tc.want, got)
		}
	}
}

// The groups that are named come first, as a later one reads what an earlier one
// records.
func TestOrderOfGroups(t *testing.T) {
	test := `tests:
  - input_series: [{series: 'up{job="a"}', values: 1x5}, {series: 'up{job="b"}', values: 1x5}]
    promql_expr_test: [{expr: up:count, eval_time: 0m, exp_samples: [{labels: 'up:count', value: %d}]}]
`
	const files = "rule_files: [../rules/leaf/a.yml]\n"
	if got := run(files + "group_eval_order: [first, second]\n" + fmt.Sprintf(test, 3)); got != "" {
		t.Errorf("first, second: %s", got)
	}
	if got := run(files + "group_eval_order: [second, first]\n" + fmt.Sprintf(test, 2)); got != "" {
		t.Errorf("second, first: %s", got)
	}
}

// With cluster, the rules are those that the cluster has.
func TestOfCluster(t *testing.T) {
	test := `tests:
  - input_series: [{series: up, values: 1x5}]
    promql_expr_test: [{expr: up:sum, eval_time: 1m, exp_samples: [{labels: 'up:sum', value: %d}]}]
`
	for cluster, want := range map[string]int{"eu-1": 1, "eu-2": 11} {
		if got := run("cluster: " + cluster + "\n" + fmt.Sprintf(test, want)); got != "" {
			t.Errorf("%s: %s", cluster, got)
		}
	}
	if got := run("cluster: eu-3\n" + fmt.Sprintf(test, 1)); !strings.Contains(got, "there is no cluster eu-3") {
		t.Errorf("eu-3: %s", got)
	}
}

// With leaves, rules are evaluated where they belong, and one test covers all that
// is between a leaf's sample and the root's answer.
func TestTree(t *testing.T) {
	const leaves = `tests:
  - name: x
    leaves:
      - {cluster: eu-1, input_series: [{series: 'up{job="a"}', values: 1 1 0x10}]}
      - {cluster: eu-2, input_series: [{series: 'up{job="a"}', values: 1x10}]}
      - {cluster: us-1, input_series: [{series: 'up{job="a"}', values: 1x10}]}
    `
	for _, tc := range []struct{ name, test, want string }{
		{"leaf's rules in each leaf, as it has them", `promql_expr_test:
      - expr: up:sum
        eval_time: 1m
        exp_samples:
          - {labels: 'up:sum{zone="eu", cluster="eu-1", continent="europe"}', value: 1}
          - {labels: 'up:sum{zone="eu", cluster="eu-2", continent="europe"}', value: 11}
          - {labels: 'up:sum{zone="us", cluster="us-1"}', value: 1}`, ""},
		{"zones' rules; of a name that a tier records, those below are not asked", `promql_expr_test:
      - expr: zone:up:sum
        eval_time: 1m
        exp_samples:
          - {labels: 'zone:up:sum{zone="us"}', value: 1}
          - {labels: 'zone:up:sum{continent="europe"}', value: 12}`, ""},
		{"root's rules", "promql_expr_test: [{expr: 'planet:up:sum', eval_time: 1m, exp_samples: [{labels: 'planet:up:sum', value: 13}]}]", ""},
		{"not as expected", "promql_expr_test: [{expr: sum(up), eval_time: 1m, exp_samples: [{labels: '{}', value: 4}]}]", "tests/t.yml:7:24: test x: sum(up) at 1m0s: expected {} 4, got {} 3"},
		{"alerts of leaves are as they would be sent", `alert_rule_test:
      - alertname: Down
        eval_time: 5m
        exp_alerts: [{exp_labels: {job: a, severity: page, zone: eu, cluster: eu-1, continent: europe}, exp_annotations: {text: "a in "}}]`, ""},
		{"alerts of zones", "alert_rule_test: [{alertname: FewUp, eval_time: 1m, exp_alerts: [{exp_labels: {zone: us}}]}]", ""},
	} {
		if got := run(leaves + tc.test + "\n"); tc.want == "" && got != "" || !strings.Contains(got, tc.want) {
			t.Errorf("%s: want %q, got\n%s", tc.name, tc.want, got)
		}
	}
}

// What a test refers to and is not there, and what costs too much.
func TestWrongTests(t *testing.T) {
	for _, tc := range []struct{ test, want string }{
		{"rule_files: [../rules/x.yml]\ntests: []\n", "tests/t.yml:1:14: no rule file is called ../rules/x.yml, seen from here"},
		{"tests: [{leaves: [{cluster: mars}]}]\n", "tests/t.yml:1:29: there is no cluster mars"},
		{"tests: [{leaves: [{cluster: eu-1}, {cluster: eu-1}]}]\n", "tests/t.yml:1:46: the leaf of cluster eu-1 is there twice"},
		{"tests: [{leaves: [{cluster: eu-1}], input_series: [{series: x, values: 1}]}]\n", "tests/t.yml:1:51: there are leaves"},
		{"cluster: eu-1\ntests: [{leaves: [{cluster: eu-1}]}]\n", "tests/t.yml:2:18: cluster is for tests without leaves"},
		{"tests: [{promql_expr_test: [{expr: 'sum('}]}]\n", "tests/t.yml:1:36: 1:5: parse error"},
		{"tests: [{start_timestamp: yesterday}]\n", "tests/t.yml:1:27: \"yesterday\" is not a time"},
		{"evaluation_interval: 1s\ntests: [{promql_expr_test: [{expr: up, eval_time: 10y}]}]\n", "tests/t.yml:2:9: the test takes 315360000 evaluations"},
		{"tests: [{input_series: [{series: x, values: '0+1x1000000000'}]}]\n", "tests/t.yml:1:9: the tests of this file have more than 1000000 values"},
		{"tests: [{promql_expr_test: [{expr: up, eval: 1m}]}]\n", "tests/t.yml:1:40: there is no field \"eval\" here"},
	} {
		if got := run(tc.test); !strings.HasPrefix(got, tc.want) {
			t.Errorf("%s: want %s, got\n%s", tc.test, tc.want, got)
		}
	}
}

// A test whose time is up is not taken for one that holds.
func TestEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	got := runIn(ctx, "tests: [{promql_expr_test: [{expr: up, eval_time: 1h}]}]\n")
	if !strings.Contains(got, "it was ended at 0s of 1h0m0s: context canceled") {
		t.Errorf("got %s", got)
	}
}

// All tests of a repository have a bound of time together; what comes after is not
// run.
func TestTimeout(t *testing.T) {
	fsys := fstest.MapFS{}
	for name, text := range map[string]string{
		"planet.yaml": main, "prometheus.yml": settings, "tests/a.yml": "tests: [{name: long, promql_expr_test: [{expr: up, eval_time: 1h}]}]\n",
		"tests/b.yml": "tests: [{promql_expr_test: [{expr: up, exp_samples: [{labels: up, value: 1}]}]}]\n",
	} {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	_, problems := planet.Validate(fsys, planet.CheckOptions{Tests: ruletest.Runner{}, TestTimeout: time.Nanosecond})
	if got := problems.Error(); len(problems) != 1 || !strings.Contains(got, "tests/a.yml:1:9: test long: the rule tests have 1ns together") {
		t.Errorf("got %s", got)
	}
}
