package kube_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pandometrics/pando/e2e/kubetest"
)

const manifests = "../../deploy"

// overlays returns all folders of overlays, by their paths below deploy.
func overlays(t testing.TB) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(filepath.Join(manifests, "overlays"), func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "kustomization.yaml" {
			rel, rerr := filepath.Rel(manifests, filepath.Dir(name))
			out = append(out, rel)
			return rerr
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 4 {
		t.Fatalf("only %d overlays: %v", len(out), out)
	}
	return out
}

// Every overlay is what the API server takes, field by field, and what it makes
// of it confines its pods as far as the strictest of Pod Security Standards asks.
func TestAPIServerTakesAllOverlays(t *testing.T) {
	c := startCluster(t, kubetest.Config{Number: 9})
	folders := []string{withControlLoop(t)}
	for _, overlay := range overlays(t) {
		folders = append(folders, filepath.Join(manifests, overlay))
	}
	for _, overlay := range folders {
		all := objects(t, kubetest.Render(t, overlay))
		at := slices.IndexFunc(all, func(u *unstructured.Unstructured) bool { return u.GetKind() == "Namespace" })
		if at < 0 {
			t.Fatalf("%s makes no namespace", overlay)
		}
		c.apply(all[at : at+1])
		if level := all[at].GetLabels()["pod-security.kubernetes.io/enforce"]; level != "restricted" {
			t.Errorf("%s: pods of its namespace need not be confined: %q", overlay, level)
		}
		c.apply(all, metav1.DryRunAll)
		for _, u := range all {
			if u.GetKind() == "StatefulSet" || u.GetKind() == "Deployment" {
				c.mayRun(overlay, u)
			}
		}
	}
}

// mayRun creates the pod that a workload would, without effect, in a namespace
// which admits only what is confined.
func (c *cluster) mayRun(overlay string, workload *unstructured.Unstructured) {
	c.t.Helper()
	template, _, err := unstructured.NestedMap(workload.Object, "spec", "template")
	if err != nil {
		c.t.Fatal(err)
	}
	pod := &unstructured.Unstructured{Object: template}
	pod.SetAPIVersion("v1")
	pod.SetKind("Pod")
	pod.SetName(workload.GetName() + "-x")
	pod.SetNamespace(workload.GetNamespace())
	// Its account is not there, nor its claims: neither is looked at.
	unstructured.RemoveNestedField(pod.Object, "spec", "serviceAccountName")
	claims, _, err := unstructured.NestedSlice(workload.Object, "spec", "volumeClaimTemplates")
	if err != nil {
		c.t.Fatal(err)
	}
	volumes, _, err := unstructured.NestedSlice(pod.Object, "spec", "volumes")
	if err != nil {
		c.t.Fatal(err)
	}
	for _, claim := range claims {
		name, _, _ := unstructured.NestedString(claim.(map[string]any), "metadata", "name")
		volumes = append(volumes, map[string]any{"name": name, "persistentVolumeClaim": map[string]any{"claimName": name}})
	}
	if err := unstructured.SetNestedSlice(pod.Object, volumes, "spec", "volumes"); err != nil {
		c.t.Fatal(err)
	}
	if err := c.applyOne(pod, []string{metav1.DryRunAll}); err != nil {
		c.t.Errorf("%s: pod of %s: %v", overlay, workload.GetName(), err)
	}
}

// What no overlay uses can be rendered nevertheless.
func TestAllComponentsRender(t *testing.T) {
	dir := t.TempDir()
	abs, err := filepath.Abs(manifests)
	if err != nil {
		t.Fatal(err)
	}
	for _, component := range []string{"leaf-pair", "cert-manager/leaf", "cert-manager/zone", "cert-manager/root", "cert-manager/gitops"} {
		k := "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [" + relative(t, dir, abs, "base/leaf") +
			"]\ncomponents: [" + relative(t, dir, abs, "components/"+component) + "]\n"
		if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(k), 0o600); err != nil {
			t.Fatal(err)
		}
		out := string(kubetest.Render(t, dir))
		for _, want := range map[string][]string{
			"leaf-pair":         {"replicas: 2", "--replica=$(POD_NAME)", "podAntiAffinity"},
			"cert-manager/leaf": {"secretName: pando-leaf-tls"}, "cert-manager/zone": {"secretName: pando-zone-tls"}, "cert-manager/root": {"secretName: pando-root-tls"},
			"cert-manager/gitops": {"secretName: pando-gitops-tls"},
		}[component] {
			if !strings.Contains(out, want) {
				t.Errorf("%s: no %q in what it makes", component, want)
			}
		}
	}
}

// Each component for Secrets of the control loop names what it mounts, and all go
// together.
func TestSecretsOfTheControlLoop(t *testing.T) {
	dir := t.TempDir()
	abs, err := filepath.Abs(manifests)
	if err != nil {
		t.Fatal(err)
	}
	k := "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [" + relative(t, dir, abs, "base/gitops") + "]\ncomponents:\n"
	for _, name := range []string{"password", "signers", "webhook", "root"} {
		k += "  - " + relative(t, dir, abs, "components/gitops-secrets/"+name) + "\n"
	}
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(k), 0o600); err != nil {
		t.Fatal(err)
	}
	out := string(kubetest.Render(t, dir))
	for _, want := range []string{
		"--git.password-file=/etc/pando/git/password", "--git.ssh-signers-file=/etc/pando/signers/signers", "mountPath: /etc/pando/signers", "secretName: pando-git-signers",
		"--webhook.secret-file=/etc/pando/webhook/secret", "mountPath: /etc/pando/webhook", "--root.http-config-file=/etc/pando/root/http.yml", "mountPath: /etc/pando/root",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in what they make", want)
		}
	}
}

// withControlLoop returns a folder with an overlay of a leaf and the control loop.
func withControlLoop(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	abs, err := filepath.Abs(manifests)
	if err != nil {
		t.Fatal(err)
	}
	k := "namespace: pando\nresources:\n"
	for _, base := range []string{"namespace", "leaf", "gitops"} {
		k += "  - " + relative(t, dir, abs, "base/"+base) + "\n"
	}
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(k), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func relative(t testing.TB, from, abs, path string) string {
	t.Helper()
	out, err := filepath.Rel(from, filepath.Join(abs, path))
	if err != nil {
		t.Fatal(err)
	}
	return out
}
