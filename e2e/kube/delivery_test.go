package kube_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/pandometrics/pando/deploy"
	"github.com/pandometrics/pando/e2e/kubetest"
	"github.com/pandometrics/pando/gitops"
	"github.com/pandometrics/pando/gitops/kube"
)

// delivery is a cluster with what a control loop is installed with, and a
// deliverer with its account's permissions.
type delivery struct {
	*cluster
	d *kube.Deliverer
	// writes counts requests that could change something; before each, allow
	// may fail it.
	writes atomic.Int64
	allow  atomic.Pointer[func(n int64) error]
	// requests counts all; before each, disturb may wait, or fail it.
	requests atomic.Int64
	disturb  atomic.Pointer[func(n int64) error]
}

func startDelivery(t testing.TB, number int) *delivery {
	t.Helper()
	v := &delivery{cluster: startCluster(t, kubetest.Config{Number: number})}
	if _, err := v.typed.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"gitops/serviceaccount.yaml", "gitops/rbac.yaml", "leaf/serviceaccount.yaml", "zone/serviceaccount.yaml", "root/serviceaccount.yaml"} {
		text, err := os.ReadFile(manifests + "/base/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range objects(t, text) {
			u.SetNamespace(namespace)
			for _, s := range subjects(u) {
				s["namespace"] = namespace
			}
			v.apply([]*unstructured.Unstructured{u})
		}
	}
	v.d = v.deliverer()
	return v
}

// subjects are those of a binding.
func subjects(u *unstructured.Unstructured) (out []map[string]any) {
	all, _ := u.Object["subjects"].([]any)
	for _, s := range all {
		out = append(out, s.(map[string]any))
	}
	return out
}

// deliverer returns a new one, as after a restart of the loop.
func (v *delivery) deliverer() *kube.Deliverer { v.t.Helper(); return v.delivererVia(nil) }

// delivererVia has one that talks to pods by a client of its own.
func (v *delivery) delivererVia(pods *http.Client) *kube.Deliverer {
	v.t.Helper()
	rc := v.account("pando-gitops")
	rc.Wrap(func(next http.RoundTripper) http.RoundTripper { return counting{v, next} })
	cfg := kube.DefaultConfig()
	cfg.Namespace, cfg.QPS, cfg.Burst = namespace, 200, 200
	logger := slog.New(slog.NewTextHandler(v.t.Output(), nil))
	d, err := kube.New(rc, cfg, kube.Deps{Templates: deploy.Workloads(), Logger: logger, Pods: pods})
	if err != nil {
		v.t.Fatal(err)
	}
	return d
}

// account returns how a service account reaches the API server.
func (v *delivery) account(name string) *rest.Config {
	v.t.Helper()
	admin, err := clientcmd.BuildConfigFromFlags("", v.Kubeconfig)
	if err != nil {
		v.t.Fatal(err)
	}
	tr, err := v.typed.CoreV1().ServiceAccounts(namespace).CreateToken(v.t.Context(), name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		v.t.Fatal(err)
	}
	rc := rest.AnonymousClientConfig(admin)
	rc.BearerToken = tr.Status.Token
	return rc
}

// counting counts what could change something.
type counting struct {
	v    *delivery
	next http.RoundTripper
}

func (c counting) RoundTrip(q *http.Request) (*http.Response, error) {
	n := c.v.requests.Add(1)
	if f := c.v.disturb.Load(); f != nil {
		if err := (*f)(n); err != nil {
			return nil, err
		}
	}
	if q.Method != http.MethodGet {
		n := c.v.writes.Add(1)
		if f := c.v.allow.Load(); f != nil {
			if err := (*f)(n); err != nil {
				return nil, err
			}
		}
	}
	return c.next.RoundTrip(q)
}

// leaf is the workload that the tests deliver to.
const leafWorkload = `{"role": "leaf", "name": "leaf", "image": "` + image + `:1", "replicas": 1, "storage": {"size": "1Gi"},
	"identity": {"zone": "eu", "cluster": "eu-1"}, "parents": ["127.0.0.1:9"], "files": "leaf",
	"resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}}`

// revisionOf is a bundle with a rule that tells it from others.
func revisionOf(name string, workloads ...string) *gitops.Bundle {
	b := &gitops.Bundle{Revision: "commit-" + name, Hash: "hash-" + name, Files: map[string][]byte{
		"leaf/prometheus.yml": []byte("global: {scrape_interval: 15s}\nrule_files: [rules/*.yml]\n"),
		"leaf/rules/a.yml":    fmt.Appendf(nil, "groups:\n- name: %s\n  rules: [{record: r, expr: '1'}]\n", name),
		"leaf/rollups.yml":    []byte("rollups: []\n"),
	}}
	if len(workloads) > 0 {
		b.Deploy = json.RawMessage(`{"workloads": [` + strings.Join(workloads, ",") + `]}`)
	}
	return b
}

func (v *delivery) deliver(b *gitops.Bundle) {
	v.t.Helper()
	await(v.t, "delivery of "+b.Hash, func(ctx context.Context) error { return v.d.Deliver(ctx, b) })
}

// loaded waits until the workload says that it runs a revision, and that this
// is so for its rules.
func (v *delivery) loaded(b *gitops.Bundle) {
	v.t.Helper()
	await(v.t, "workload has loaded "+b.Hash, func(ctx context.Context) error {
		got, err := v.d.Loaded(ctx)
		if err == nil && got != b.Hash {
			err = fmt.Errorf("it has loaded %q", got)
		}
		return err
	})
	v.rules(strings.TrimPrefix(b.Hash, "hash-"))
}

func (v *delivery) rules(want string) {
	v.t.Helper()
	resp, err := http.Get("http://" + v.address("pando-leaf-0") + "/api/v1/rules")
	if err != nil {
		v.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || strings.Count(string(text), `"interval"`) != 1 || !strings.Contains(string(text), `"name":"`+want+`"`) {
		v.t.Errorf("rules %s, error %v; want just the group %q", text, err, want)
	}
}

// unwritten checks that nothing is written meanwhile.
func (v *delivery) unwritten(what string, do func()) {
	v.t.Helper()
	before := v.writes.Load()
	do()
	if n := v.writes.Load() - before; n != 0 {
		v.t.Errorf("%s: %d writes", what, n)
	}
}

func (v *delivery) configMap(name string) *corev1.ConfigMap {
	v.t.Helper()
	cm, err := v.typed.CoreV1().ConfigMaps(namespace).Get(v.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		v.t.Fatal(err)
	}
	return cm
}

// edit changes an object as kubectl edit does.
func (v *delivery) editLeaf(change func(labels map[string]string)) {
	v.t.Helper()
	await(v.t, "edit", func(ctx context.Context) error {
		s, err := v.typed.AppsV1().StatefulSets(namespace).Get(ctx, "pando-leaf", metav1.GetOptions{})
		if err != nil {
			return err
		}
		change(s.Labels)
		_, err = v.typed.AppsV1().StatefulSets(namespace).Update(ctx, s, metav1.UpdateOptions{FieldManager: "kubectl-edit"})
		return err
	})
}

// A workload is made, changes its configuration without a restart, refuses what
// is wrong, and is put right when others change it; and nothing is written while
// nothing changes. All of that with the permissions that are installed, and no
// others.
func TestDelivery(t *testing.T) {
	v := startDelivery(t, 31)
	a, b := revisionOf("a", leafWorkload), revisionOf("b", leafWorkload)
	if got, err := v.d.Loaded(t.Context()); got != "" || err != nil {
		t.Fatalf("loaded %q, error %v, before anything was delivered", got, err)
	}
	v.deliver(a)
	v.loaded(a)
	first, err := v.pod(t.Context(), "pando-leaf-0")
	if err != nil {
		t.Fatal(err)
	}

	v.deliver(b)
	v.loaded(b)
	v.unwritten("the same again", func() { v.deliver(b); v.loaded(b) })
	v.d = v.deliverer()
	v.unwritten("the same again after a restart", func() { v.loaded(b); v.deliver(b) })

	t.Run("refused", func(t *testing.T) {
		bad := revisionOf("bad", leafWorkload)
		bad.Files["leaf/prometheus.yml"] = []byte("scrape_configs: [{job_name: x, scrape_interval: never}]\n")
		var no *gitops.RefusedError
		if err := v.d.Deliver(t.Context(), bad); !errors.As(err, &no) || !strings.Contains(no.Message, "never") || no.Workload != "pod pando-leaf-0" {
			t.Fatalf("error %v, want the leaf's own words", err)
		}
		v.rules("b")
		v.deliver(b)
		v.loaded(b)
	})
	t.Run("not told", func(t *testing.T) { v.notTold(); v.deliver(b); v.loaded(b) })
	t.Run("drift", func(t *testing.T) { v.drift(b) })
	t.Run("foreign", func(t *testing.T) { v.foreign(b) })

	last, err := v.pod(t.Context(), "pando-leaf-0")
	if err != nil || last.UID != first.UID || last.Status.ContainerStatuses[0].RestartCount != first.Status.ContainerStatuses[0].RestartCount {
		t.Errorf("the pod was replaced, or restarted: %v", err)
	}
	t.Run("prune", func(t *testing.T) { v.prune() })
}

// notTold delivers while no pod hears of it, as one that starts at that moment:
// it loads the revision when it is next asked what it has.
func (v *delivery) notTold() {
	deaf := &http.Client{Transport: roundTrip(func(q *http.Request) (*http.Response, error) {
		if q.Method == http.MethodPost {
			return nil, errors.New("nobody listens")
		}
		return http.DefaultTransport.RoundTrip(q)
	})}
	next := revisionOf("late", leafWorkload)
	if err := v.delivererVia(deaf).Deliver(v.t.Context(), next); err == nil {
		v.t.Error("delivered, though no pod was told")
	}
	v.rules("b")
	v.loaded(next)
}

// roundTrip is an http.RoundTripper.
type roundTrip func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTrip) RoundTrip(q *http.Request) (*http.Response, error) { return f(q) }

func (v *delivery) drift(now *gitops.Bundle) {
	ctx, t := v.t.Context(), v.t
	v.unwritten("what others add", func() {
		v.editLeaf(func(labels map[string]string) { labels["theirs"] = "x" })
		v.loaded(now)
	})
	const ours = "app.kubernetes.io/component"
	v.editLeaf(func(labels map[string]string) { labels[ours] = "taken" })
	if got, err := v.d.Loaded(ctx); err != nil || got != "" {
		t.Errorf("loaded %q, error %v, though a field was taken", got, err)
	}
	v.deliver(now)
	v.loaded(now)
	s, err := v.typed.AppsV1().StatefulSets(namespace).Get(ctx, "pando-leaf", metav1.GetOptions{})
	if err != nil || s.Labels[ours] != "leaf" || s.Labels["theirs"] != "x" {
		t.Errorf("labels %v, error %v; want ours and theirs", s.Labels, err)
	}
	events, err := v.typed.CoreV1().Events(namespace).List(ctx, metav1.ListOptions{FieldSelector: "reason=FieldsTakenBack"})
	if err != nil || len(events.Items) == 0 || !strings.Contains(events.Items[0].Message, ours) || !strings.Contains(events.Items[0].Message, "kubectl-edit") {
		t.Errorf("events %v, error %v; want who took what", events, err)
	}

	for _, name := range []string{"pando-config", v.part()} {
		if err := v.typed.CoreV1().ConfigMaps(namespace).Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		if got, err := v.d.Loaded(ctx); err != nil || got != "" {
			t.Errorf("loaded %q, error %v, though %s is gone", got, err, name)
		}
		v.deliver(now)
		v.loaded(now)
	}
	v.unwritten("after drift", func() { v.deliver(now); v.loaded(now) })

	// A controller that does not let go is left alone, and told.
	for i := range 10 {
		v.editLeaf(func(labels map[string]string) { labels[ours] = fmt.Sprint("taken", i) })
		if err = v.d.Deliver(ctx, now); err != nil {
			break
		}
	}
	var away *gitops.UnavailableError
	if !errors.As(err, &away) || !strings.Contains(err.Error(), "kubectl-edit") || !strings.Contains(err.Error(), "StatefulSet/pando-leaf") {
		t.Errorf("error %v, want who fights for what", err)
	}
	v.d = v.deliverer() // forgets the fight
	v.deliver(now)
	v.loaded(now)
}

// part names a ConfigMap with content in effect.
func (v *delivery) part() string {
	v.t.Helper()
	var p struct {
		Folders map[string]struct{ Parts []string }
	}
	if err := json.Unmarshal([]byte(v.configMap("pando-config").Data["config.json"]), &p); err != nil || len(p.Folders["leaf"].Parts) != 1 {
		v.t.Fatalf("pointer %+v, error %v", p, err)
	}
	return p.Folders["leaf"].Parts[0]
}

func (v *delivery) foreign(now *gitops.Bundle) {
	ctx, t := v.t.Context(), v.t
	theirs := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "pando-root"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 1}}}}
	theirs, err := v.typed.CoreV1().Services(namespace).Create(ctx, theirs, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	more := revisionOf("more", leafWorkload, `{"role": "root", "name": "root", "image": "`+image+`:1", "replicas": 0}`)
	v.unwritten("something is in the way", func() {
		var away *gitops.UnavailableError
		if err := v.d.Deliver(ctx, more); !errors.As(err, &away) || !strings.Contains(err.Error(), "Service/pando-root") {
			t.Errorf("error %v, want what is in the way", err)
		}
	})
	v.loaded(now)
	if s, err := v.typed.CoreV1().Services(namespace).Get(ctx, "pando-root", metav1.GetOptions{}); err != nil || s.ResourceVersion != theirs.ResourceVersion {
		t.Errorf("the service of others was touched: %v", err)
	}
}

func (v *delivery) prune() {
	ctx, t := v.t.Context(), v.t
	other := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "pando-config-leaf-mine", Labels: v.configMap("pando-config").Labels}}
	if _, err := v.typed.CoreV1().ConfigMaps(namespace).Create(ctx, other, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	v.deliver(revisionOf("none"))
	await(t, "workloads are gone", func(ctx context.Context) error {
		sets, err := v.typed.AppsV1().StatefulSets(namespace).List(ctx, metav1.ListOptions{})
		if err == nil && len(sets.Items) > 0 {
			err = errors.New("there are StatefulSets")
		}
		return err
	})
	services, err := v.typed.CoreV1().Services(namespace).List(ctx, metav1.ListOptions{})
	if err != nil || len(services.Items) != 1 || services.Items[0].Name != "pando-root" {
		t.Errorf("services %v, error %v; want that of others alone", services, err)
	}
	claims, err := v.typed.CoreV1().PersistentVolumeClaims(namespace).List(ctx, metav1.ListOptions{})
	if err != nil || len(claims.Items) != 1 {
		t.Errorf("%d claims, error %v; want the leaf's", len(claims.Items), err)
	}
	v.configMap("pando-config-leaf-mine")
	for i := range 6 {
		v.deliver(revisionOf(fmt.Sprint("n", i)))
	}
	all, err := v.typed.CoreV1().ConfigMaps(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	parts := slices.DeleteFunc(all.Items, func(m corev1.ConfigMap) bool { return m.Immutable == nil || !*m.Immutable })
	if len(parts) != 1+kube.DefaultConfig().Keep {
		t.Errorf("%d contents are kept, want the current and %d", len(parts), kube.DefaultConfig().Keep)
	}
	_, err = v.typed.CoreV1().ConfigMaps(namespace).Patch(ctx, parts[0].Name, types.MergePatchType, []byte(`{"data":{"x":"y"}}`), metav1.PatchOptions{})
	if !apierrors.IsInvalid(err) {
		t.Errorf("content can be changed: %v", err)
	}
}
