package kube

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pandometrics/pando/gitops"
)

// templates are manifests as deploy/ has them, but shorter.
func templates(t *testing.T) fstest.MapFS {
	t.Helper()
	text, err := os.ReadFile("testdata/zone.yaml")
	if err != nil {
		t.Fatal(err)
	}
	leaf := strings.ReplaceAll(strings.ReplaceAll(string(text), "pando-zone", "pando-leaf"), "component: zone", "component: leaf")
	root := strings.ReplaceAll(leaf, "leaf", "root")
	return fstest.MapFS{"zone/all.yaml": {Data: text}, "leaf/all.yaml": {Data: []byte(leaf)}, "root/all.yaml": {Data: []byte(root)}, "leaf/prometheus.yml": {Data: []byte("not: a manifest")}}
}

func deliverer(t *testing.T) *Deliverer {
	return &Deliverer{cfg: config(), deps: Deps{Templates: templates(t)}.withDefaults()}
}

func bundle(t *testing.T, ws ...Workload) *gitops.Bundle {
	t.Helper()
	text, err := json.Marshal(Deploy{Workloads: ws})
	if err != nil {
		t.Fatal(err)
	}
	return &gitops.Bundle{Revision: "c", Hash: "h", Deploy: text, Files: map[string][]byte{
		"leaf/prometheus.yml": []byte("{}"), "leaf/rollups.yml": []byte("{}"), "zone/eu/rollups.yml": []byte("{}"), "zone/us/rollups.yml": []byte("{}"),
	}}
}

func find(t *testing.T, d *desired, kind, name string) *unstructured.Unstructured {
	t.Helper()
	for _, o := range d.objects {
		if o.id == (id{kind, name}) {
			return o.body
		}
	}
	var all []string
	for _, o := range d.objects {
		all = append(all, o.String())
	}
	t.Fatalf("no %s/%s among %v", kind, name, all)
	return nil
}

func container(t *testing.T, u *unstructured.Unstructured) map[string]any {
	t.Helper()
	all, _, err := unstructured.NestedSlice(u.Object, "spec", "template", "spec", "containers")
	if err != nil || len(all) != 1 {
		t.Fatalf("%d containers, error %v", len(all), err)
	}
	return all[0].(map[string]any)
}

func TestWorkloadLeaf(t *testing.T) {
	w := Workload{Role: "leaf", Name: "leaf", Image: "pando:2", Replicas: 2, Identity: map[string]string{"zone": "eu", "cluster": "eu-1", "env": "prod"}, Parents: []string{"zone:9091", "zone2:9091"}, Files: "leaf", LinkLocal: []string{"169.254.20.10"}}
	w.Resources.Requests = map[string]string{"cpu": "2"}
	w.Secrets = append(w.Secrets, struct {
		Name string `json:"name"`
		Path string `json:"path"`
	}{"tls", "/etc/tls"})
	d, err := deliverer(t).want(bundle(t, w))
	if err != nil {
		t.Fatal(err)
	}
	set := find(t, d, "StatefulSet", "pando-leaf")
	c := container(t, set)
	want := []any{
		"leaf", "--storage.path=/var/lib/pando", "--config.pull=leaf", "--config.pull-to=/var/lib/pando/pando-planet",
		"--cluster=eu-1", "--external-label=env=prod", "--zone=eu", "--parent=zone:9091", "--parent=zone2:9091", "--replica=$(POD_NAME)", "--scrape.allow-link-local=169.254.20.10",
		"--config.file=/var/lib/pando/pando-planet/current/leaf/prometheus.yml", "--rollup.file=/var/lib/pando/pando-planet/current/leaf/rollups.yml",
	}
	want[0] = "zone" // the shortened manifest's own
	if diff := cmp.Diff(want, c["args"]); diff != "" {
		t.Error(diff)
	}
	if c["image"] != "pando:2" {
		t.Errorf("image %v", c["image"])
	}
	if diff := cmp.Diff([]any{map[string]any{"name": "POD_NAME", "valueFrom": map[string]any{"fieldRef": map[string]any{"fieldPath": "metadata.name"}}}}, c["env"]); diff != "" {
		t.Errorf("variables: %s", diff)
	}
	if diff := cmp.Diff(map[string]any{"requests": map[string]any{"cpu": "2", "memory": "2Gi"}, "limits": map[string]any{"memory": "2Gi"}}, c["resources"]); diff != "" {
		t.Errorf("resources: %s", diff)
	}
	if _, ok, _ := unstructured.NestedSlice(set.Object, "spec", "volumeClaimTemplates"); ok {
		t.Error("a claim without storage")
	}
	volumes, _, _ := unstructured.NestedSlice(set.Object, "spec", "template", "spec", "volumes")
	if diff := cmp.Diff([]any{map[string]any{"name": "secret-0", "secret": map[string]any{"secretName": "tls"}}, map[string]any{"name": "data", "emptyDir": map[string]any{}}}, volumes); diff != "" {
		t.Errorf("volumes: %s", diff)
	}
	if d.folders["leaf"] != 2 || d.folders["zone/eu"] != -1 {
		t.Errorf("folders %v", d.folders)
	}
}

// Two zones in one cluster have nothing in common that could be mixed up.
func TestWorkloadZones(t *testing.T) {
	eu := Workload{Role: "zone", Zone: "eu", Name: "zone-eu", Image: "pando:2", Replicas: 1, Identity: map[string]string{"zone": "eu"}, Files: "zone/eu"}
	us := eu
	us.Zone, us.Name, us.Identity, us.Files = "us", "zone-us", map[string]string{"zone": "us"}, "zone/us"
	d, err := deliverer(t).want(bundle(t, eu, us))
	if err != nil {
		t.Fatal(err)
	}
	for _, zone := range []string{"eu", "us"} {
		set := find(t, d, "StatefulSet", "pando-zone-"+zone)
		for _, at := range [][]string{{"metadata", "labels"}, {"spec", "selector", "matchLabels"}, {"spec", "template", "metadata", "labels"}} {
			labels, _, _ := unstructured.NestedStringMap(set.Object, at...)
			if labels[labelZone] != zone {
				t.Errorf("%v: %v", at, labels)
			}
		}
		if name, _, _ := unstructured.NestedString(set.Object, "spec", "serviceName"); name != "pando-zone-"+zone+"-children" {
			t.Errorf("service %s", name)
		}
		service := find(t, d, "Service", "pando-zone-"+zone+"-children")
		if selector, _, _ := unstructured.NestedStringMap(service.Object, "spec", "selector"); selector[labelZone] != zone {
			t.Errorf("selector %v", selector)
		}
	}
	if slices.ContainsFunc(d.objects, func(o *object) bool { return o.Kind == "ServiceAccount" || o.Kind == "Role" }) {
		t.Error("accounts and permissions are delivered")
	}
}

func TestWorkloadStorage(t *testing.T) {
	w := Workload{Role: "leaf", Name: "leaf", Image: "i", Replicas: 1, Files: "leaf"}
	if err := json.Unmarshal([]byte(`{"storage": {"size": "50Gi", "class": "fast"}}`), &w); err != nil {
		t.Fatal(err)
	}
	d, err := deliverer(t).want(bundle(t, w))
	if err != nil {
		t.Fatal(err)
	}
	set := find(t, d, "StatefulSet", "pando-leaf")
	claims, _, _ := unstructured.NestedSlice(set.Object, "spec", "volumeClaimTemplates")
	want := []any{map[string]any{"metadata": map[string]any{"name": "data"}, "spec": map[string]any{
		"accessModes": []any{"ReadWriteOnce"}, "storageClassName": "fast", "resources": map[string]any{"requests": map[string]any{"storage": "50Gi"}},
	}}}
	if diff := cmp.Diff(want, claims); diff != "" {
		t.Error(diff)
	}
	if p, _, _ := unstructured.NestedStringMap(set.Object, "spec", "persistentVolumeClaimRetentionPolicy"); p["whenDeleted"] != "Retain" {
		t.Errorf("claims would go with the workload: %v", p)
	}
}

func TestWorkloadRefused(t *testing.T) {
	for name, test := range map[string]struct{ deploy, want string }{
		"namespace": {`{"namespace": "other", "workloads": []}`, "change deploy.namespace"},
		"role":      {`{"workloads": [{"role": "sidecar", "name": "x"}]}`, "no manifests"},
		"size":      {`{"workloads": [{"role": "leaf", "name": "leaf", "storage": {"size": "big"}}]}`, "not a size"},
		"quantity":  {`{"workloads": [{"role": "leaf", "name": "leaf", "resources": {"limits": {"cpu": "much"}}}]}`, "not a quantity"},
		"twice":     {`{"workloads": [{"role": "leaf", "name": "leaf"}, {"role": "leaf", "name": "leaf"}]}`, "two workloads"},
		"nonsense":  {`[]`, "read which workloads"},
	} {
		b := bundle(t)
		b.Deploy = json.RawMessage(test.deploy)
		if _, err := deliverer(t).want(b); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q in it", name, err, test.want)
		}
	}
}

// What TLS needs is what deploy/components/tls adds.
func TestWorkloadTLS(t *testing.T) {
	parent := []any{"--parent.tls", "--parent.tls.ca-file=/etc/pando/tls/ca.crt", "--parent.tls.cert-file=/etc/pando/tls/tls.crt", "--parent.tls.key-file=/etc/pando/tls/tls.key"}
	grpc := []any{"--grpc.tls.cert-file=/etc/pando/tls/tls.crt", "--grpc.tls.key-file=/etc/pando/tls/tls.key", "--grpc.tls.client-ca-file=/etc/pando/tls/ca.crt"}
	loops := []any{"--loops.listen-address=0.0.0.0:9092"}
	for role, want := range map[string][]any{"leaf": parent, "zone": slices.Concat(grpc, parent), "root": slices.Concat(grpc, loops)} {
		w := Workload{Role: role, Name: role, Image: "i", Replicas: 1, Files: "leaf"}
		if err := json.Unmarshal([]byte(`{"tls": {"secret": "certs"}}`), &w); err != nil {
			t.Fatal(err)
		}
		d, err := deliverer(t).want(bundle(t, w))
		if err != nil {
			t.Fatal(err)
		}
		set := find(t, d, "StatefulSet", "pando-"+role)
		c := container(t, set)
		got := slices.DeleteFunc(slices.Clone(c["args"].([]any)), func(a any) bool {
			return !strings.Contains(a.(string), "tls") && !strings.Contains(a.(string), "loops")
		})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", role, diff)
		}
		volumes, _, _ := unstructured.NestedSlice(set.Object, "spec", "template", "spec", "volumes")
		if diff := cmp.Diff(map[string]any{"name": "tls", "secret": map[string]any{"secretName": "certs", "defaultMode": int64(0o440)}}, volumes[0]); diff != "" {
			t.Errorf("%s: volume: %s", role, diff)
		}
		if mounts := c["volumeMounts"].([]any); mounts[len(mounts)-1].(map[string]any)["mountPath"] != "/etc/pando/tls" {
			t.Errorf("%s: mounts %v", role, mounts)
		}
	}
}

// The loop leaves alone how it was installed itself: flags that name credentials
// are not in its manifest.
func TestWorkloadOwn(t *testing.T) {
	del := deliverer(t)
	del.deps.Templates = os.DirFS("../../deploy/base")
	w := Workload{Role: "gitops", Name: "gitops", Image: "pando:2", Replicas: 1}
	w.Resources.Limits = map[string]string{"memory": "2Gi"}
	d, err := del.want(bundle(t, w))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"replicas": int64(1), "template": map[string]any{"spec": map[string]any{"containers": []any{
		map[string]any{"name": "pando", "image": "pando:2", "resources": map[string]any{"limits": map[string]any{"memory": "2Gi"}}},
	}}}}
	if diff := cmp.Diff(want, find(t, d, "Deployment", "pando-gitops").Object["spec"]); diff != "" {
		t.Error(diff)
	}
}

// Configuration makes no other pods, limits included: those that run load it.
func TestWorkloadsStay(t *testing.T) {
	pods := func(limits, config string) map[string]any {
		b := bundle(t, Workload{Role: "leaf", Name: "leaf", Image: "i", Replicas: 1, Files: "leaf"})
		b.Files["leaf/limits.yml"], b.Files["leaf/prometheus.yml"] = []byte(limits), []byte(config)
		d, err := deliverer(t).want(b)
		if err != nil {
			t.Fatal(err)
		}
		template, _, _ := unstructured.NestedMap(find(t, d, "StatefulSet", "pando-leaf").Object, "spec", "template")
		return template
	}
	if diff := cmp.Diff(pods("query.timeout: 1m", "{}"), pods("query.timeout: 2m", "global: {}")); diff != "" {
		t.Errorf("other configuration: the pods are made anew: %s", diff)
	}
}
