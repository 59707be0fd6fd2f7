package kube_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pandometrics/pando/e2e/kubetest"
	"github.com/pandometrics/pando/gitops/gittest"
)

// planetAtHome is that of overlays/single-cluster. Its leaf and its root find each
// other by the zone that the loop makes, beside that of the overlay.
const planetAtHome = `apiVersion: pando/v1
zones:
  - {name: home, hosts: [first], addresses: ["pando-zone-home-children:9091"]}
root: {hosts: [first], addresses: ["pando-root-children:9091"]}
clusters: [{name: first, zone: home}]
waves: [{name: all}]
allow: {discovery: [static, kubernetes]}
`

// deployAll has the loop keep all tiers, and itself: with the image's tag, and the
// size of the root's volume.
func deployAll(tag, size string) string {
	return planetAtHome + fmt.Sprintf(`deploy:
  image: %s:%s
  leaf: {storage: {size: 10Gi}, resources: {requests: {cpu: 100m, memory: 512Mi}}}
  zone: {storage: {size: 10Gi}, resources: {requests: {cpu: 100m, memory: 512Mi}}}
  root: {storage: {size: %s}, resources: {requests: {cpu: 100m, memory: 512Mi}}}
  gitops: {}
`, image, tag, size)
}

// tierRule is what zone and root record: how many leaves there are.
func tierRule(tier string) string {
	return fmt.Sprintf("groups:\n- name: %s\n  rules: [{record: '%s:leaves:count', expr: 'count(count by (pod) (up{job=\"pando-leaf\"}))'}]\n", tier, tier)
}

// What is scraped, by pods: one that is made anew has another address, and the last
// samples of the old one may still count.
var (
	targetsAtHome   = `count by (zone, cluster, job) (count by (zone, cluster, job, pod) (up{job=~"pando-.*"} == 1))`
	targetsAtHomeBy = []string{"zone", "cluster", "job"}
	wholeAtHome     = []string{"home first pando-gitops 1", "home first pando-leaf 1", "home first pando-root 1", "home first pando-zone 1"}
)

// The loop makes a whole planet of nothing but accounts: a leaf, a zone and a root,
// which run, and find each other, and load what the repository says of them. Then it
// rolls out another version of them, and of itself.
func TestLoopKeepsAWholePlanet(t *testing.T) {
	repo := gittest.New(t)
	first := repo.Commit("planet.yaml", deployAll("1", "10Gi"), "prometheus.yml", "global: {scrape_interval: 1s, evaluation_interval: 1s}\n", "scrape/pando.yml", scrapePando,
		"rules/zone/z.yml", tierRule("zone"), "rules/root/r.yml", tierRule("root"))
	c := startCluster(t, kubetest.Config{Number: 43})
	c.installed(slices.DeleteFunc(objects(t, kubetest.Render(t, following(t, "overlays/single-cluster", repo.URL))), func(u *unstructured.Unstructured) bool {
		return slices.Contains([]string{"StatefulSet", "Service", "PodDisruptionBudget", "NetworkPolicy"}, u.GetKind()) && u.GetLabels()["app.kubernetes.io/component"] != "gitops"
	}))
	c.handOver("gitops")
	c.awaitStatus(map[string]string{"applied": first})
	root := c.address("pando-root-0")
	awaitAnswer(t, root, targetsAtHome, targetsAtHomeBy, wholeAtHome)
	for _, tier := range []string{"zone", "root"} {
		awaitAnswer(t, root, tier+":leaves:count", nil, []string{"1"})
	}

	next := repo.Commit("planet.yaml", deployAll("2", "10Gi"))
	c.awaitStatus(map[string]string{"applied": next})
	for _, name := range []string{"pando-leaf-0", "pando-zone-home-0", "pando-root-0"} {
		await(t, name+" is of the new version", func(ctx context.Context) error {
			p, err := c.pod(ctx, name)
			if err == nil && p.Spec.Containers[0].Image != image+":2" {
				err = fmt.Errorf("image %s", p.Spec.Containers[0].Image)
			}
			return err
		})
	}
	await(t, "the loop is of the new version", func(ctx context.Context) error {
		p, err := c.loopOf(ctx)
		if err == nil && p.Spec.Containers[0].Image != image+":2" {
			err = fmt.Errorf("image %s", p.Spec.Containers[0].Image)
		}
		return err
	})
	last := repo.Commit("rules/root/r.yml", tierRule("again"))
	c.awaitStatus(map[string]string{"applied": last})
	awaitAnswer(t, c.address("pando-root-0"), "again:leaves:count", nil, []string{"1"})
	tiers := strings.ReplaceAll(targetsAtHome, `"pando-.*"`, `"pando-(leaf|zone|root)"`)
	awaitAnswer(t, c.address("pando-root-0"), tiers, targetsAtHomeBy, wholeAtHome[1:])
}

// Workloads of an overlay are handed over to the loop, as docs/install-kubernetes.md
// says: leaf and root with their volumes, the zone by one beside it.
func TestHandOver(t *testing.T) {
	repo := gittest.New(t)
	first := repo.Commit("planet.yaml", planetAtHome, "prometheus.yml", "global: {scrape_interval: 1s, evaluation_interval: 1s}\n", "scrape/pando.yml", scrapePando)
	c := startCluster(t, kubetest.Config{Number: 44})
	c.installFolder(following(t, "overlays/single-cluster", repo.URL), nil, nil)
	c.awaitReady()
	c.awaitStatus(map[string]string{"applied": first})
	root := c.address("pando-root-0")
	awaitAnswer(t, root, targetsAtHome, targetsAtHomeBy, wholeAtHome)
	oldest := `min(min_over_time(timestamp(up{job="pando-leaf"})[1h:1s]))`
	var before []string
	await(t, "the oldest sample", func(ctx context.Context) (err error) {
		if before, err = query(ctx, root, oldest); err == nil && len(before) == 0 {
			err = errors.New("no sample at a full second yet")
		}
		return err
	})
	sets, claims := c.uids("statefulsets"), c.uids("persistentvolumeclaims")

	// Volumes of another size would be other volumes: that is refused, and says so, and
	// nothing of what was handed over is touched.
	larger := deployAll("0.1.0", "20Gi")
	wrong := repo.Commit("planet.yaml", larger)
	c.awaitStatus(map[string]string{"applied": first, "reason": "StatefulSet/pando-leaf"}) // what is in the way
	c.handOver("leaf", "root", "gitops")
	c.awaitStatus(map[string]string{"applied": first, "rejected": wrong, "rejectedWhy": "StatefulSet/pando-root"})
	awaitAnswer(t, root, targetsAtHome, targetsAtHomeBy, wholeAtHome)
	if d := cmp.Diff(sets, c.uids("statefulsets")); d != "" {
		t.Errorf("a revision that was refused has changed StatefulSets (-before +after):\n%s", d)
	}

	// The root's is made anew around its pods, the leaf's stays as it is.
	orphan := metav1.DeletePropagationOrphan
	if err := c.typed.AppsV1().StatefulSets(namespace).Delete(t.Context(), "pando-root", metav1.DeleteOptions{PropagationPolicy: &orphan}); err != nil {
		t.Fatal(err)
	}
	right := repo.Commit("planet.yaml", larger+"# once more\n")
	c.awaitStatus(map[string]string{"applied": right})
	awaitAnswer(t, c.address("pando-root-0"), `count(count by (pod) (up{job="pando-zone"} == 1))`, nil, []string{"2"})
	c.removeTier("zone", "pando-zone")
	root = c.address("pando-root-0")
	awaitAnswer(t, root, targetsAtHome, targetsAtHomeBy, wholeAtHome)
	awaitAnswer(t, root, oldest, nil, before)
	if now := c.uids("statefulsets"); now["pando-leaf"] != sets["pando-leaf"] || now["pando-root"] == sets["pando-root"] {
		t.Errorf("StatefulSets before %v, after %v: want the leaf's as it was, and another for the root", sets, now)
	}
	now := c.uids("persistentvolumeclaims")
	for name, uid := range claims {
		if now[name] != uid {
			t.Errorf("volume %s is another one", name)
		}
	}
	last := repo.Commit("rules/root/r.yml", tierRule("again"))
	c.awaitStatus(map[string]string{"applied": last})
	awaitAnswer(t, c.address("pando-root-0"), "again:leaves:count", nil, []string{"1"})
}

// handedOver are the kinds of objects that are handed over.
func handedOver() []schema.GroupVersionResource {
	return []schema.GroupVersionResource{
		{Group: "apps", Version: "v1", Resource: "statefulsets"},
		{Group: "apps", Version: "v1", Resource: "deployments"},
		{Version: "v1", Resource: "services"},
		{Group: "policy", Version: "v1", Resource: "poddisruptionbudgets"},
		{Group: "networking.k8s.io", Version: "v1", Resource: "networkpolicies"},
	}
}

// handOver gives what is of some tiers to the loop, by labels.
func (c *cluster) handOver(tiers ...string) {
	c.t.Helper()
	mine := metav1.ListOptions{LabelSelector: "app.kubernetes.io/component in (" + strings.Join(tiers, ",") + ")"}
	patch := []byte(`{"metadata":{"labels":{"app.kubernetes.io/managed-by":"pando-gitops","pandometrics.github.io/owner":"pando"}}}`)
	for _, kind := range handedOver() {
		all, err := c.dynamic.Resource(kind).Namespace(namespace).List(c.t.Context(), mine)
		if err != nil {
			c.t.Fatal(err)
		}
		for _, u := range all.Items {
			if _, err := c.dynamic.Resource(kind).Namespace(namespace).Patch(c.t.Context(), u.GetName(), types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
				c.t.Fatal(err)
			}
		}
	}
}

// removeTier deletes a workload of an overlay, and what is about its pods.
func (c *cluster) removeTier(tier, name string) {
	c.t.Helper()
	for _, kind := range handedOver() {
		all, err := c.dynamic.Resource(kind).Namespace(namespace).List(c.t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=" + tier + ",!pandometrics.github.io/public,app.kubernetes.io/managed-by!=pando-gitops"})
		if err != nil {
			c.t.Fatal(err)
		}
		for _, u := range all.Items {
			if err := c.dynamic.Resource(kind).Namespace(namespace).Delete(c.t.Context(), u.GetName(), metav1.DeleteOptions{}); err != nil {
				c.t.Fatal(err)
			}
		}
	}
	await(c.t, name+" is gone", func(ctx context.Context) error {
		if _, err := c.typed.CoreV1().Pods(namespace).Get(ctx, name+"-0", metav1.GetOptions{}); err == nil {
			return errors.New("its pod is still there")
		}
		return nil
	})
}

// uids returns those of all objects of a kind, by name.
func (c *cluster) uids(resource string) map[string]types.UID {
	c.t.Helper()
	kind := schema.GroupVersionResource{Version: "v1", Resource: resource}
	if resource == "statefulsets" {
		kind.Group = "apps"
	}
	all, err := c.dynamic.Resource(kind).Namespace(namespace).List(c.t.Context(), metav1.ListOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	out := map[string]types.UID{}
	for _, u := range all.Items {
		out[u.GetName()] = u.GetUID()
	}
	return out
}
