package kube_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pandometrics/pando/e2e/kubetest"
	"github.com/pandometrics/pando/gitops"
	"github.com/pandometrics/pando/gitops/gittest"
)

// bake is how long a revision must have run in the first wave.
const bake = 3 * time.Second

// planetOfTwo has a cluster in each of two waves. Workloads are those of the overlays.
const planetOfTwo = `apiVersion: pando/v1
zones:
  - {name: eu, hosts: [eu-1]}
  - {name: us, hosts: [us-1]}
root: {hosts: [eu-1]}
clusters:
  - {name: eu-1, zone: eu}
  - {name: us-1, zone: us}
waves:
  - {name: canary, select: ['{cluster="eu-1"}'], bake: 3s, gates: [not-broken]}
  - {name: rest, bake: 1s, gates: [not-broken]}
gates:
  - {name: not-broken, expr: sum(broken or vector(0)) == bool 0}
allow: {discovery: [static, kubernetes], files: [/missing/token]}
`

// scrapePando is what overlays have the leaf scrape of Pando itself, oftener. Labels are
// the same, so that series go on: those of another target stay for two of its intervals.
const scrapePando = `scrape_configs:
  - job_name: pando
    kubernetes_sd_configs: [{role: pod, namespaces: {own_namespace: true}}]
    relabel_configs:
      - source_labels: [__meta_kubernetes_pod_label_app_kubernetes_io_name, __meta_kubernetes_pod_container_port_name]
        regex: pando;http
        action: keep
      - {source_labels: [__meta_kubernetes_pod_label_app_kubernetes_io_component], regex: (.+), replacement: pando-$1, target_label: job}
      - {source_labels: [__meta_kubernetes_namespace], target_label: namespace}
      - {source_labels: [__meta_kubernetes_pod_name], target_label: pod}
`

// scrapeZone is a target that a commit adds.
func scrapeZone(more string) string {
	return "scrape_configs:\n- job_name: zone-service\n  static_configs: [{targets: ['pando-zone:9090']}]\n  " + more + "\n"
}

// waves are two clusters and a root, each with its loop, and a repository.
type waves struct {
	t      testing.TB
	repo   *gittest.Repo
	eu, us *cluster
	ca     *authority
}

// overlay returns a folder with an overlay of deploy/, and what a user adds to it.
func (w *waves) overlay(name string) string {
	w.t.Helper()
	return following(w.t, "overlays/planet/"+name, w.repo.URL)
}

// following returns a folder with an overlay of deploy/, and what a user adds to
// it: where the repository is. The rest is for tests: it is read over plain http,
// and looked at oftener than once a minute, as the fleet is.
func following(t testing.TB, overlay, url string) string {
	t.Helper()
	dir := t.TempDir()
	abs, err := filepath.Abs(manifests)
	if err != nil {
		t.Fatal(err)
	}
	k := fmt.Sprintf(`namespace: pando
resources: [%s]
configMapGenerator:
  - {name: pando-gitops-identity, behavior: merge, literals: [git-url=%s]}
patches:
  - target: {kind: Deployment, name: pando-gitops}
    patch: |-
`, relative(t, dir, abs, overlay), url)
	for _, flag := range []string{"git.allow-http", "interval=1s", "rollout.interval=1s"} {
		k += "      - {op: add, path: /spec/template/spec/containers/0/args/-, value: --" + flag + "}\n"
	}
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(k), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// apply installs both clusters, or one of them again.
func (w *waves) apply(clusters ...*cluster) {
	w.t.Helper()
	for _, c := range clusters {
		if c == w.eu {
			c.installFolder(w.overlay("root"), w.ca, map[string][]string{
				"leaf": nil, "zone": {"pando-zone-children", "zone-eu.pando.example.org"}, "root": {"pando-root-children", "root.pando.example.org"},
			})
			continue
		}
		c.installFolder(w.overlay("zone"), w.ca, map[string][]string{"leaf": nil, "zone": {"pando-zone-children", "zone-us.pando.example.org"}, "gitops": {"pando-gitops"}})
	}
}

// runs waits until a cluster's loop says that it runs a revision.
func (w *waves) runs(c *cluster, revision string) {
	w.t.Helper()
	c.awaitStatus(map[string]string{"applied": revision})
}

// loopOf returns the pod of a cluster's loop.
func (c *cluster) loopOf(ctx context.Context) (*corev1.Pod, error) {
	all, err := c.typed.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=gitops"})
	if err != nil {
		return nil, err
	}
	all.Items = slices.DeleteFunc(all.Items, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil || p.Status.PodIP == "" })
	if len(all.Items) != 1 {
		return nil, fmt.Errorf("%d pods of the control loop", len(all.Items))
	}
	return &all.Items[0], nil
}

// history returns when a loop did something with each revision.
func (c *cluster) history(what string) map[string]time.Time {
	c.t.Helper()
	out := map[string]time.Time{}
	await(c.t, "history of the loop", func(ctx context.Context) error {
		p, err := c.loopOf(ctx)
		if err != nil {
			return err
		}
		q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.Status.PodIP+":9095"+gitops.Path, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(q)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		var s gitops.Status
		if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
			return err
		}
		for _, e := range s.History {
			if e.What == what {
				out[e.Revision] = e.At
			}
		}
		return nil
	})
	return out
}

// answering asks the root strictly until it is told to stop, and checks that it
// answers for both leaves each time. Whether a scrape was in time, on a machine with
// much else to do, is not asked.
func (w *waves) answering() (stop func()) {
	root := w.eu.address("pando-root-0")
	expr, by, whole := `count by (cluster) (up{job="pando-leaf"})`, []string{"cluster"}, []string{"eu-1 1", "us-1 1"}
	awaitAnswer(w.t, root, expr, by, whole)
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for asked := 0; ; asked++ {
			got, err := query(ctx, root, expr, by...)
			if ctx.Err() != nil {
				if asked < 10 {
					w.t.Errorf("the root was asked %d times only", asked)
				}
				return
			}
			if d := cmp.Diff(whole, got); err != nil || d != "" {
				w.t.Errorf("the root does not answer as before: %v, (-want +got):\n%s", err, d)
			}
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
		}
	}()
	return func() { cancel(); <-done }
}

// Two clusters and a root, installed from the overlays, with a loop in each. A
// commit reaches the first wave, bakes, reaches the second, and the root answers
// for both. Bad commits stop where they must, and the root answers all the while.
// Then loops and clusters are lost, and are restored as docs/install-kubernetes.md
// says: to the last good revision, though the newest is a bad one.
func TestWavesOfTwoClusters(t *testing.T) {
	w := &waves{t: t, repo: gittest.New(t), ca: newAuthority(t)}
	first := w.repo.Commit("planet.yaml", planetOfTwo, "prometheus.yml", "global: {scrape_interval: 1s, evaluation_interval: 1s}\n", "scrape/pando.yml", scrapePando)
	w.eu = startCluster(t, kubetest.Config{Number: 41, Peers: []int{42}})
	w.us = startCluster(t, kubetest.Config{Number: 42, Peers: []int{41}})
	begun := time.Now()
	w.apply(w.eu, w.us)
	w.runs(w.eu, first)
	w.runs(w.us, first)
	t.Logf("two clusters run the first revision %v after they were installed", time.Since(begun).Round(time.Second))
	root := w.eu.address("pando-root-0")
	stop := w.answering()
	t.Cleanup(func() { stop() })

	good := w.repo.Commit("scrape/zone.yml", scrapeZone(""), "rules/leaf/zone.yml", "groups:\n- name: zone\n  rules: [{record: zone:up:sum, expr: 'sum(up{job=\"zone-service\"})'}]\n")
	begun = time.Now()
	w.runs(w.us, good)
	t.Logf("in both waves %v after the commit, of which %v is bake time", time.Since(begun).Round(100*time.Millisecond), bake)
	both := []string{"eu-1 1", "us-1 1"}
	awaitAnswer(t, root, "zone:up:sum", []string{"cluster"}, both)
	ran, advanced := w.eu.history("running")[good], w.us.history("advance")[good]
	if ran.IsZero() || advanced.Sub(ran) < bake {
		t.Errorf("the first wave ran it at %v, the second took it at %v: it did not bake for %v", ran, advanced, bake)
	}

	bad := map[string]string{} // why, by revision
	t.Run("broken YAML", func(t *testing.T) {
		bad[w.repo.Commit("scrape/zone.yml", "scrape_configs: [\n")] = "broken YAML"
		for _, c := range []*cluster{w.eu, w.us} {
			c.awaitStatus(map[string]string{"state": "stalled", "reason": "scrape/zone.yml", "applied": good})
		}
	})
	t.Run("refused by a leaf", func(t *testing.T) {
		// The planet allows the file, and the leaf does not have it.
		refused := w.repo.Commit("scrape/zone.yml", scrapeZone("tls_config: {ca_file: /missing/token}"))
		bad[refused] = "refused"
		w.eu.awaitStatus(map[string]string{"rejected": refused, "rejectedWhy": "pod pando-leaf-0", "applied": good})
	})
	t.Run("gate fails", func(t *testing.T) {
		failing := w.repo.Commit("scrape/zone.yml", scrapeZone(""), "rules/leaf/broken.yml", "groups:\n- name: b\n  rules: [{record: broken, expr: vector(1)}]\n")
		bad[failing] = "gate"
		w.eu.awaitStatus(map[string]string{"rejected": failing, "rejectedWhy": `gate "not-broken"`, "applied": good})
	})
	awaitAnswer(t, root, "zone:up:sum", []string{"cluster"}, both)
	awaitAnswer(t, root, "broken", []string{"cluster"}, []string{})
	stop()
	w.untouched(bad)

	t.Run("state is lost", func(t *testing.T) { w.loseState(good) })
	t.Run("ConfigMaps are deleted", func(t *testing.T) { w.loseConfigMaps(good) })
	t.Run("cluster is lost", func(t *testing.T) { w.loseCluster(good) })
	awaitAnswer(t, root, "zone:up:sum", []string{"cluster"}, both)
	w.untouched(bad)

	fix := w.repo.Commit("rules/leaf/broken.yml", "groups: []\n")
	w.runs(w.us, fix)
	awaitAnswer(t, root, "zone:up:sum", []string{"cluster"}, both)
}

// untouched checks that the second wave took none of these.
func (w *waves) untouched(bad map[string]string) {
	w.t.Helper()
	advanced := w.us.history("advance")
	for revision, why := range bad {
		if at, took := advanced[revision]; took {
			w.t.Errorf("the second wave took a bad revision (%s) at %v", why, at)
		}
	}
	var p struct{ Commit string }
	if err := json.Unmarshal([]byte(w.us.delivered()), &p); err != nil || bad[p.Commit] != "" {
		w.t.Errorf("the second wave has revision %s (%s), error %v", p.Commit, bad[p.Commit], err)
	}
}

// delivered returns the pointer to what a cluster runs.
func (c *cluster) delivered() string {
	c.t.Helper()
	cm, err := c.typed.CoreV1().ConfigMaps(namespace).Get(c.t.Context(), "pando-config", metav1.GetOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	return cm.Data["config.json"]
}

// awaitStatus waits until the status ConfigMap has these words.
func (c *cluster) awaitStatus(want map[string]string) {
	c.t.Helper()
	await(c.t, fmt.Sprint("status ", want), func(ctx context.Context) error {
		cm, err := c.typed.CoreV1().ConfigMaps(namespace).Get(ctx, "pando-gitops-status", metav1.GetOptions{})
		if err != nil {
			return err
		}
		for k, text := range want {
			if !strings.Contains(cm.Data[k], text) {
				return fmt.Errorf("%s is %q among %v", k, cm.Data[k], cm.Data)
			}
		}
		return nil
	})
}
