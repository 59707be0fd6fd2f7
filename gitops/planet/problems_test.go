package planet_test

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/pandometrics/pando/gitops/planet"
)

// What is wrong, where it is, and what to change. A name ends with ! if the problem
// is a warning.
func TestProblems(t *testing.T) {
	for _, tc := range []struct{ name, files, want string }{
		// Files.
		{"not YAML", "-- limits/leaf.yml --\na: [\n", "limits/leaf.yml:1: it is not YAML"},
		{"two documents", "-- limits/leaf.yml --\nquery.timeout: 1m\n---\nx: y\n", "limits/leaf.yml:2:1: it has several YAML documents, of which the second is here: write one"},
		{"unknown field", "-- rules/leaf/up.yml --\ngroups:\n  - name: up\n    rulez: []\n", "rules/leaf/up.yml:3:5: there is no field \"rulez\" here; is rules meant?"},
		{"key twice", "-- limits/leaf.yml --\nquery.timeout: 1m\nquery.timeout: 2m\n", "limits/leaf.yml:2:1: the key \"query.timeout\" is there twice"},
		{"missing field", "-- scrape/nodes.yml --\nscrape_configs:\n  - metrics_path: /x\n", "scrape/nodes.yml:2:5: job_name is missing"},
		{"a list for a mapping", "-- scrape/nodes.yml --\n- job_name: x\n", "scrape/nodes.yml:1:1: a list is not a mapping"},
		{"unknown folder", "-- rule/x.yml --\ngroups: []\n", "rule: nothing is known of this name; is rules meant?"},
		{"unknown file", "-- notes.txt --\nx\n", "notes.txt: nothing is known of this name; if it is not configuration, name it in ignore"},
		{"rules without a tier", "-- rules/x.yml --\ngroups: []\n", "rules/x.yml: rules are in rules/leaf, rules/zone or rules/root"},
		{"odd file name", "-- scrape/a b.yml --\nscrape_configs: []\n", "scrape/a b.yml: call it by letters"},
		{"two spellings of a name", "-- scrape/nodes.yaml --\nscrape_configs: []\n", "scrape/nodes.yml: there is scrape/nodes.yaml too"},
		{"root in a zone", "-- zones/eu/rules/root/x.yml --\ngroups: []\n", "zones/eu/rules/root/x.yml: the root is above all zones"},
		{"zone in a cluster", "-- clusters/eu-1/limits/zone.yml --\nquery.timeout: 1m\n", "clusters/eu-1/limits/zone.yml: a zone is above its clusters"},
		{"limits of nothing", "-- limits/planet.yml --\nquery.timeout: 1m\n", "limits/planet.yml: limits are in leaf.yml, zone.yml and root.yml"},
		{"tests in an overlay", "-- zones/eu/tests/x.yml --\ntests: []\n", "zones/eu/tests: tests are not overlaid"},

		// References.
		{"overlay of no zone", "-- zones/er/limits/leaf.yml --\nquery.timeout: 1m\n", "zones/er: there is no zone er in planet.yaml; is eu meant?"},
		{"overlay of no cluster", "-- clusters/eu-3/limits/leaf.yml --\nquery.timeout: 1m\n", "clusters/eu-3: there is no cluster eu-3"},
		{"removes nothing", "-- zones/eu/scrape/x.yml --\nscrape_configs: [{job_name: node, delete: true}]\n", "zones/eu/scrape/x.yml:1:18: job node is removed here, but no earlier layer has it"},
		{"job twice", "-- scrape/x.yml --\nscrape_configs: [{job_name: nodes}]\n", "scrape/x.yml:1:18: job nodes is in scrape/nodes.yml:2 too"},
		{"unknown variable", "-- rules/leaf/up.yml --\ngroups:\n  - name: up\n    rules:\n      - {record: a, expr: 'up{x=\"${clutser}\"}'}\n", "rules/leaf/up.yml:4:27: there is no variable ${clutser}: only identity can be put in: ${cluster}, ${zone} and ${label:NAME}; is cluster meant?"},
		{"cluster in a zone", "-- rules/zone/up.yml --\ngroups:\n  - {name: up, rules: [{record: a, expr: 'up{x=\"${cluster}\"}'}]}\n", "rules/zone/up.yml:2:5: group up uses ${cluster}, which tier zone does not have"},
		{"label that some lack", "-- scrape/nodes.yml --\nscrape_configs:\n  - {job_name: 'a', static_configs: [{targets: ['${label:continent}:80']}]}\n", "scrape/nodes.yml:2:5: ${label:continent} has no value in cluster us-1: give it that label, or leave the variable out (in cluster us-1)"},

		// What Prometheus says.
		{"PromQL", "-- rules/leaf/up.yml --\ngroups:\n  - name: up\n    rules:\n      - record: a\n        expr: sum(up\n", "rules/leaf/up.yml:5:15: the expression is wrong at its line 1, column 7: parse error: unclosed left parenthesis"},
		{"PromQL that takes minutes", "-- rules/leaf/up.yml --\ngroups:\n  - {name: up, rules: [{record: a, expr: '" + strings.Repeat("(", 5000) + "'}]}\n", "rules/leaf/up.yml:2:42: nesting of the query"},
		{"template", "-- rules/leaf/up.yml --\ngroups:\n  - {name: up, rules: [{alert: A, expr: up, annotations: {x: '{{ .Foo'}}]}\n", "rules/leaf/up.yml:2:24: annotation \"x\": template"},
		{"for of a recording rule", "-- rules/leaf/up.yml --\ngroups:\n  - {name: up, rules: [{record: a, expr: up, for: 1m}]}\n", "rules/leaf/up.yml:2:33: invalid field 'for' in recording rule"},
		{"both", "-- rules/leaf/up.yml --\ngroups:\n  - {name: up, rules: [{record: a, alert: b, expr: up}]}\n", "rules/leaf/up.yml:2:24: exactly one of record, alert must be there"},
		{"regular expression", "-- scrape/nodes.yml --\nscrape_configs:\n  - job_name: a\n    relabel_configs:\n      - {source_labels: [x], regex: 'a(', target_label: b}\n", "scrape/nodes.yml:2:5: error parsing regexp: missing closing ): `^(?s:a()$`"},
		{"field of a discovery", "-- scrape/nodes.yml --\nscrape_configs:\n  - job_name: a\n    kubernetes_sd_configs:\n      - role: pod\n        rule: x\n", "scrape/nodes.yml:5:9: there is no field rule here"},
		{"timeout", "-- scrape/nodes.yml --\nscrape_configs:\n  - {job_name: a, scrape_timeout: 2m}\n", "scrape/nodes.yml:2:5: scrape timeout greater than scrape interval"},
		{"global", "-- prometheus.yml --\nglobal: {scrape_interval: 10s, scrape_timeout: 20s}\n", "prometheus.yml:1:10: global scrape timeout greater than scrape interval: make scrape_timeout at most scrape_interval, or leave it out"},
		{"timeout of a job", "-- scrape/nodes.yml --\nscrape_configs:\n  - {job_name: a, scrape_timeout: 20m}\n", "scrape/nodes.yml:2:5: scrape timeout greater than scrape interval for scrape config with job name \"a\": make scrape_timeout at most"},
		{"relabel action", "-- scrape/nodes.yml --\nscrape_configs:\n  - {job_name: a, relabel_configs: [{action: hashmod, source_labels: [x], target_label: y}]}\n", "scrape/nodes.yml:2:5: relabel configuration for hashmod requires non-zero modulus: add modulus"},
		{"several credentials", "-- scrape/nodes.yml --\nscrape_configs:\n  - {job_name: a, basic_auth: {username: a}, authorization: {credentials: b}}\n", "scrape/nodes.yml:2:5: at most one of basic_auth"},
		{"loop scraped seldom!", "-- scrape/nodes.yml --\nscrape_configs:\n  - {job_name: pando-gitops, scrape_interval: 20s}\n", "scrape/nodes.yml:2:47: warning: the control loop of the cluster is scraped every 20s, so others hear that late that it rejects a revision: write scrape_interval: 15s for this job"},
		{"targets that choose their job!", "-- scrape/nodes.yml --\nscrape_configs:\n  - {job_name: a, honor_labels: true}\n", "scrape/nodes.yml:2:33: warning: honor_labels lets targets choose their label job"},
		{"samples that choose their job!", "-- scrape/nodes.yml --\nscrape_configs:\n  - {job_name: a, metric_relabel_configs: [{source_labels: [app], target_label: job}]}\n", "scrape/nodes.yml:2:81: warning: target_label: job lets targets choose their label job"},
		{"alert for nobody!", "-- prometheus.yml --\nglobal: {}\n-- rules/leaf/up.yml --\ngroups:\n  - {name: up, rules: [{alert: A, expr: up == 0}]}\n", "rules/leaf/up.yml:2:24: warning: the alert A goes to nobody"},
		{"a name of two tiers!", "-- rules/leaf/up.yml --\ngroups:\n  - {name: up, rules: [{record: a, expr: up}]}\n-- rules/zone/up.yml --\ngroups:\n  - {name: up, rules: [{record: b, expr: up}, {record: a, expr: up}]}\n", "rules/zone/up.yml:2:47: warning: tier zone records \"a\", and so does tier leaf (rules/leaf/up.yml:2): whoever asks tier zone gets what that records alone"},
		{"a name of all tiers!", "-- rules/leaf/up.yml --\ngroups:\n  - {name: up, rules: [{record: a, expr: up}]}\n-- rules/zone/up.yml --\ngroups:\n  - {name: up, rules: [{record: a, expr: up}]}\n-- rules/root/up.yml --\ngroups:\n  - {name: up, rules: [{record: a, expr: up}]}\n", "rules/root/up.yml:2:24: warning: tier root records \"a\", and so does tier zone (rules/zone/up.yml:2)"},

		// What tiers say.
		{"rollup", "-- rollups/r.yml --\nrollups:\n  - {expr: 'topk(3, x)', interval: 1m, keep: {root: {for: 90d}}}\n", "rollups/r.yml:2:12: rollup topk(3, x) every 1m: expr: "},
		{"rollups of one name", "-- rollups/s.yml --\nrollups:\n  - {name: b, expr: 'sum by (job) (rate(x_total[5m]))', interval: 1m, keep: {root: {for: 90d}}}\n", "rollups/s.yml:2:5: rollup b: it is the same as the rollup at rollups/r.yml:2"},
		{"aggregation", "-- aggregations/a.yml --\nrules:\n  - {name: a, match: [x], without: [le]}\n", "aggregations/a.yml:2:5: rule \"a\": le cannot be dropped"},
		{"aggregation over identity", "-- aggregations/a.yml --\nrules:\n  - {name: a, match: [x], without: [cluster]}\n", "aggregations/a.yml:2:5: rule \"a\": label \"cluster\" is the leaf's own"},
		{"limit", "-- limits/root.yml --\nquery.timeout: soon\n", "limits/root.yml:1:16: query.timeout is \"soon\": write a duration"},
		{"limit of another tier", "-- limits/leaf.yml --\nquery.child-deadline: 1m\n", "limits/leaf.yml:1:1: query.child-deadline is not a limit of tier leaf"},
		{"no such limit", "-- limits/leaf.yml --\nquery.time: 1m\n", "limits/leaf.yml:1:1: there is no field \"query.time\" here; is query.timeout meant?"},
		{"external label", "-- prometheus.yml --\nglobal: {external_labels: {zone: mars}}\n", "prometheus.yml:1:34: external label zone is mars, but all series of the leaf have zone=eu"},
		{"environment", "-- prometheus.yml --\nglobal: {external_labels: {x: '$HOME'}}\n", "prometheus.yml:1:31: external labels with $ would tell the leaf's environment"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, problems := planet.Validate(with(tc.files), planet.CheckOptions{})
			got := problems.Error()
			if len(problems) == 0 || !strings.HasPrefix(got, tc.want) {
				t.Errorf("want %s\ngot  %s", tc.want, got)
			}
			if problems.Failed() == strings.HasSuffix(tc.name, "!") {
				t.Errorf("severity: %s", got)
			}
		})
	}
}

// What is wrong with planet.yaml.
func TestProblemsOfThePlanet(t *testing.T) {
	for _, tc := range []struct{ name, old, now, want string }{
		{"version", "pando/v1", "pando/v2", "planet.yaml:1:13: it is \"pando/v2\": write pando/v1"},
		{"zone", "{name: us-1, zone: us", "{name: us-1, zone: usa", "planet.yaml:9:24: cluster us-1 is in zone usa, which is not in zones; is us meant?"},
		{"cluster twice", "name: eu-2", "name: eu-1", "planet.yaml:8:12: cluster eu-1 is in line 7 too"},
		{"zone twice", "{name: us}", "{name: eu}", "planet.yaml:4:12: zone eu is in line 3 too"},
		{"parent", "{name: us}", "{name: us, parent: eux}", "planet.yaml:4:24: there is no zone eux; is eu meant?"},
		{"in itself", "{name: us}", "{name: us, parent: us}", "planet.yaml:4:24: zone us is in itself"},
		{"host", "hosts: [us-1]", "hosts: [us-3]", "planet.yaml:5:16: the root is hosted by cluster us-3, which is not in clusters"},
		{"gate", "gates: [up]", "gates: [down]", "planet.yaml:11:69: there is no gate down"},
		{"gate's PromQL", "avg(up) > bool 0.9", "avg(up", "planet.yaml:14:22: gate up: 1:7: parse error"},
		{"gate of a range", "avg(up) > bool 0.9", "'up[5m]'", "planet.yaml:14:22: gate up is a range vector"},
		{"gate that nobody has", ", gates: [up]", "", "planet.yaml:14:5: warning: no wave has the gate up"},
		{"selector", `{stage="canary"}`, `{stage=canary}`, "planet.yaml:11:29: the selector is not one"},
		{"selector of nothing", `{stage="canary"}`, `{stage="none"}`, "planet.yaml:11:29: the selector {stage=\"none\"} matches no cluster"},
		{"in no wave", "{name: rest}", `{name: rest, select: ['{zone="us"}']}`, "planet.yaml:8:5: cluster eu-2 is in no wave"},
		{"wave without clusters", "{name: rest}", "{name: rest}\n  - {name: more}", "planet.yaml:13:5: wave more has no cluster"},
		{"name of a path", "name: us-1", "name: ../us", "planet.yaml:9:12: \"../us\" does not fit: a name of at most 63"},
		{"value of a label", "stage: canary", `stage: 'x"y'`, "planet.yaml:7:44: \"x\\\"y\" does not fit"},
		{"label of the zone", "labels: {stage: prod, port: \"9200\"}", "labels: {continent: asia}", "planet.yaml:8:48: cluster eu-2 has continent=asia, and the zone that it is in has continent=europe"},
		{"label of identity", "stage: canary", "cluster: canary", "planet.yaml:7:46: the label cluster is what cluster eu-1 is named by"},
		{"no image", "gates:\n", "deploy: {gitops: {}}\ngates:\n", "planet.yaml:13:9: deploy: gitops has no image"},
		{"TLS without a Secret", "gates:\n", "deploy: {image: a, root: {tls: {}}}\ngates:\n", "planet.yaml:13:32: secret is missing"},
		{"no loop", "gates:\n", "deploy: {image: a, gitops: {replicas: 0}}\ngates:\n", "planet.yaml:13:9: deploy: gitops has no replicas"},
		{"TLS of the loop", "gates:\n", "deploy: {image: a, gitops: {tls: {secret: x}}}\ngates:\n", "planet.yaml:13:9: deploy: gitops has tls"},
		{"no parent", "gates:\n", "deploy: {image: a, leaf: {}}\ngates:\n", "planet.yaml:3:5: zone eu and those above have no addresses"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			text := strings.Replace(small, tc.old, tc.now, 1)
			if text == small {
				t.Fatalf("no %q", tc.old)
			}
			_, problems := planet.Validate(files(text), planet.CheckOptions{})
			if got := problems.Error(); !strings.HasPrefix(got, tc.want) {
				t.Errorf("want %s\ngot  %s", tc.want, got)
			}
		})
	}
	_, problems := planet.Validate(fstest.MapFS{}, planet.CheckOptions{})
	if got := problems.Error(); !strings.HasPrefix(got, "planet.yaml: there is no such file") {
		t.Errorf("of no files: %s", got)
	}
}

// All that is wrong is told, ordered by file and line, not only the first thing.
func TestAllProblems(t *testing.T) {
	_, problems := planet.Validate(with(`
-- rules/leaf/a.yml --
groups:
  - name: a
    rules:
      - {record: a, expr: sum(}
      - {record: b, expr: avg(}
-- rules/leaf/b.yml --
groups: [{nam: x}]
-- limits/zone.yml --
query.timeout: x
-- scrape/nodes.yml --
scrape_configs: [{job_name: x, static_configs: [{targets: ['a/b']}]}]
`), planet.CheckOptions{})
	var at []string
	for _, p := range problems {
		at = append(at, fmt.Sprintf("%s:%d", p.File, p.Line))
	}
	want := "limits/zone.yml:1 rules/leaf/a.yml:4 rules/leaf/a.yml:5 rules/leaf/b.yml:1 rules/leaf/b.yml:1 scrape/nodes.yml:1"
	if got := strings.Join(at, " "); got != want {
		t.Errorf("want %s\ngot  %s\n%v", want, got, problems)
	}
}

// What a stranger may put into a repository costs no more than an error.
func TestBounds(t *testing.T) {
	bomb := "-- limits/leaf.yml --\na: &a [x, x, x, x, x, x, x, x, x, x]\n"
	for i, name := range strings.Split("bcdefghi", "") {
		above := string("abcdefgh"[i])
		bomb += fmt.Sprintf("%s: &%s [%s]\n", name, name, strings.TrimSuffix(strings.Repeat("*"+above+", ", 10), ", "))
	}
	for _, tc := range []struct{ name, files, want string }{
		{"alias bomb", bomb, "limits/leaf.yml:1:4: it has more than 200000 values"},
		{"alias of itself", "-- limits/leaf.yml --\na: &a [*a]\n", "limits/leaf.yml:1:8: the alias *a stands for something that it is a part of"},
		{"nesting", "-- limits/leaf.yml --\na: " + strings.Repeat("[", 100) + strings.Repeat("]", 100) + "\n", "limits/leaf.yml:1:68: it is nested deeper than 64 levels"},
		{"tag", "-- limits/leaf.yml --\na: !!binary eA==\n", "limits/leaf.yml:1:4: the tag !!binary is not used here"},
		{"large file", "-- limits/leaf.yml --\n" + strings.Repeat("# filling\n", 1<<17), "limits/leaf.yml: it has more than 1 MiB"},
	} {
		_, problems := planet.Validate(with(tc.files), planet.CheckOptions{})
		if got := problems.Error(); !strings.HasPrefix(got, tc.want) {
			t.Errorf("%s: want %s\ngot  %s", tc.name, tc.want, got)
		}
	}
	for _, name := range []string{"limits/leaf.yml", "planet.yaml", "scrape/x.yml", "zones/eu"} {
		fsys := files(small)
		fsys[name] = &fstest.MapFile{Data: []byte("../../etc/passwd"), Mode: fs.ModeSymlink}
		if _, err := planet.Load(fsys); err == nil {
			t.Errorf("a link at %s is followed", name)
		}
	}
	many := files(small)
	for i := range planet.MaxFiles + 1 {
		many[fmt.Sprintf("scrape/%d.yml", i)] = &fstest.MapFile{}
	}
	if _, err := planet.Load(many); err == nil || !strings.Contains(err.Error(), "more than 20000 files") {
		t.Errorf("of many files: %.300v", err)
	}
}

// Aliases and merge keys are YAML like any other.
func TestAliases(t *testing.T) {
	p := load(t, with(`
-- scrape/nodes.yml --
scrape_configs:
  - &base
    job_name: a
    static_configs: &targets [{targets: ["${cluster}:80"]}]
    honor_labels: true
  - {<<: *base, job_name: b, metrics_path: /b}
  - {job_name: c, static_configs: *targets}
`))
	got := string(render(t, p, "eu-1").Files["leaf/prometheus.yml"])
	for _, want := range []string{"job_name: b", "metrics_path: /b", "honor_labels: true}", "job_name: c"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
	if strings.Count(got, `"eu-1:80"`) != 3 || strings.ContainsAny(got, "&*") && strings.Contains(got, "<<") {
		t.Errorf("rendered\n%s", got)
	}
	accepted(t, render(t, p, "eu-1"))
}

// Configuration from git does what planet.yaml allows, and nothing else.
func TestAllowed(t *testing.T) {
	const allow = "allow: {files: [/etc/pando/, /ca.pem], hosts: [sd.example.com, '*.corp', '169.254.1.1'], discovery: [static, http, file]}\n"
	for _, tc := range []struct{ job, refused, allowed string }{
		{"basic_auth: {username: a, password_file: /etc/pando/p}", "allow.files", "yes"},
		{"basic_auth: {username: a, password_file: /etc/shadow}", "allow.files", "allow.files"},
		{"basic_auth: {username: a, password_file: /etc/pando/../shadow}", "allow.files", "allow.files"},
		{"basic_auth: {username: a, password: secret}", "must not be in git", "must not be in git"},
		{"authorization: {credentials: secret}", "must not be in git", "must not be in git"},
		{"bearer_token: secret", "must not be in git", "must not be in git"},
		{"tls_config: {key: x}", "must not be in git", "must not be in git"},
		{"tls_config: {ca_file: /ca.pem}", "allow.files", "yes"},
		{"http_headers: {X: {files: [/etc/shadow]}}", "allow.files", "allow.files"},
		{"http_headers: {X: {secrets: [a]}}", "must not be in git", "must not be in git"},
		{"oauth2: {client_id: a, client_secret_file: /etc/pando/s, token_url: 'https://sd.example.com/t'}", "allow.files", "yes"},
		{"oauth2: {client_id: a, client_secret_file: /etc/pando/s, token_url: 'https://evil.example.com/t'}", "allow.hosts", "allow.hosts"},
		{"proxy_url: 'http://p.corp:80'", "allow.hosts", "yes"},
		{"proxy_url: 'http://pcorp:80'", "allow.hosts", "allow.hosts"},
		{"http_sd_configs: [{url: 'http://sd.example.com/x'}]", "allow.discovery", "yes"},
		{"http_sd_configs: [{url: 'http://a:b@sd.example.com/x'}]", "password", "password"},
		{"file_sd_configs: [{files: [/etc/pando/x.yml]}]", "allow.discovery", "yes"},
		{"file_sd_configs: [{files: [/etc/x.yml]}]", "allow.discovery", "allow.files"},
		{"kubernetes_sd_configs: [{role: pod}]", "yes", "allow.discovery"},
		{"kubernetes_sd_configs: [{role: pod, kubeconfig_file: /root/.kube/config}]", "allow.files", "allow.discovery"},
		{"scrape_failure_log_file: /tmp/x", "write a file", "write a file"},
		{"static_configs: [{targets: ['169.254.169.254']}]", "credentials", "credentials"},
		{"static_configs: [{targets: ['169.254.1.1:80']}]", "credentials", "yes"},
		{"static_configs: [{targets: ['[::ffff:169.254.169.254]:80']}]", "credentials", "credentials"},
		{"static_configs: [{targets: ['[fe80::1%eth0]:80']}]", "credentials", "credentials"},
		{"static_configs: [{targets: ['2852039166:80']}]", "credentials", "credentials"},
		{"static_configs: [{targets: ['0xa9.0xfe.0xa9.0xfe']}]", "credentials", "credentials"},
		{"static_configs: [{targets: ['metadata.google.internal.:80']}]", "credentials", "credentials"},
		{"static_configs: [{targets: ['x:80'], labels: {__address__: '169.254.169.254'}}]", "credentials", "credentials"},
		{"relabel_configs: [{target_label: __address__, replacement: '169.254.169.254'}]", "credentials", "credentials"},
		{"http_headers: {params: {files: [/etc/passwd]}}", "allow.files", "allow.files"},
		{"http_headers: {labels: {files: [/etc/passwd]}}", "allow.files", "allow.files"},
		{"http_headers: {http_headers: {secrets: [x]}}", "holds a secret", "holds a secret"},
		{"params: {files: [/etc/passwd], password: [x]}", "yes", "yes"},
		{"kubernetes_sd_configs: [{role: pod, api_server: 'internal:443'}]", "allow.hosts", "allow.hosts"},
		{"relabel_configs: [{target_label: __address__, replacement: '169.254.169.254$1:80'}]", "credentials", "credentials"},
		{"relabel_configs: [{target_label: __address__, replacement: '169.254.169.${1}'}]", "credentials", "credentials"},
		{"relabel_configs: [{source_labels: [a], target_label: '${1}', replacement: 'metadata$1:80'}]", "credentials", "credentials"},
		{"relabel_configs: [{target_label: __address__, replacement: '10.0.0.$1:80'}, {target_label: __address__, replacement: '$1:$2'}]", "yes", "yes"},
		{"relabel_configs: [{action: labelmap, regex: foo, replacement: __address__}]", "labelmap", "labelmap"},
		{"relabel_configs: [{action: labelmap, regex: x(.+), replacement: '__${1}__'}]", "labelmap", "labelmap"},
		{"relabel_configs: [{action: labelmap, regex: (.)(.+), replacement: '$1$2'}]", "labelmap", "labelmap"},
		{"relabel_configs: [{action: labelmap, regex: x(.+)}, {action: labelmap, regex: x(.+), replacement: '$1'}, {action: labelmap, regex: x(.+), replacement: 'k8s_$1'}]", "yes", "yes"},
		{"static_configs: [{targets: ['x:80'], labels: {x__address__: '169.254.169.254'}}]", "credentials", "credentials"},
		{"static_configs: [{targets: ['x:80'], labels: {__unix_socket__: /run/x}}]", "socket", "socket"},
		{"relabel_configs: [{target_label: __unix_socket__, replacement: /run/x}]", "socket", "socket"},
		{"relabel_configs: [{action: labelmap, regex: foo, replacement: __unix_socket__}]", "socket", "socket"},
		{"static_configs: [{targets: ['10.0.0.1:80', 'localhost:9090', 'x.example.com'], labels: {password: x, file: y}}]", "yes", "yes"},
	} {
		for given, want := range map[string]string{"": tc.refused, allow: tc.allowed} {
			fsys := with("-- scrape/nodes.yml --\nscrape_configs:\n  - job_name: a\n    " + tc.job + "\n")
			fsys["planet.yaml"].Data = append(fsys["planet.yaml"].Data, given...)
			_, problems := planet.Validate(fsys, planet.CheckOptions{})
			if got := problems.Error(); want == "yes" && got != "" || want != "yes" && !strings.Contains(got, want) {
				t.Errorf("%s with %q: want %s, got %s", tc.job, given, want, got)
			}
		}
	}
}

// The loop's own image is told apart from that of all: nothing tries it before.
func TestLoopImage(t *testing.T) {
	for image, warned := range map[string]bool{"": false, "image: a": false, "image: b": true} {
		_, problems := planet.Validate(files(strings.Replace(small, "gates:\n", "deploy: {image: a, gitops: {"+image+"}}\ngates:\n", 1)), planet.CheckOptions{})
		if got := problems.Error(); problems.Failed() || strings.Contains(got, "warning: deploy: gitops has an image of its own") != warned {
			t.Errorf("%q: %s", image, got)
		}
	}
}
