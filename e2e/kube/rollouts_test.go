package kube_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pandometrics/pando/e2e/kubetest"
)

// rendered returns the workloads that a kustomization over an overlay makes, by
// name.
func rendered(t *testing.T, overlay, text string, components ...string) map[string]*unstructured.Unstructured {
	t.Helper()
	dir := t.TempDir()
	abs, err := filepath.Abs(manifests)
	if err != nil {
		t.Fatal(err)
	}
	k := "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamespace: pando\nresources: [" + relative(t, dir, abs, overlay) + "]\n" + text
	if len(components) > 0 {
		k += "components:\n"
	}
	for _, c := range components {
		k += "  - " + relative(t, dir, abs, "components/"+c) + "\n"
	}
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(k), 0o600); err != nil {
		t.Fatal(err)
	}
	out := map[string]*unstructured.Unstructured{}
	for _, u := range objects(t, kubetest.Render(t, dir)) {
		if u.GetKind() == "StatefulSet" || u.GetKind() == "Deployment" {
			out[u.GetName()] = u
		}
	}
	return out
}

// container returns the arguments and mounts of a workload, as text.
func container(t *testing.T, u *unstructured.Unstructured) string {
	t.Helper()
	if u == nil {
		t.Fatal("a workload is not there")
	}
	b, err := u.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The root of an overlay asks the loop of its cluster; with the component for
// commands, it and the loop have users, and each other's credentials.
func TestRolloutsAtTheRoot(t *testing.T) {
	plain := rendered(t, "overlays/planet/root", "")
	if s := container(t, plain["pando-root"]); !strings.Contains(s, "--rollouts.loop=http://pando-gitops:9095") || strings.Contains(s, "--web.config.file") {
		t.Errorf("root: %s", s)
	}
	if s := container(t, plain["pando-leaf"]); !strings.Contains(s, `"mountPath":"/etc/pando/rollouts"`) || !strings.Contains(s, `"optional":true,"secretName":"pando-rollouts"`) {
		t.Errorf("leaf: %s", s)
	}
	all := rendered(t, "overlays/planet/root", "", "rollouts-commands")
	for name, want := range map[string][]string{
		"pando-root":   {"--rollouts.commands=operator", "--web.config.file=/etc/pando/rollouts/web.yml", "--rollouts.http-config-file=/etc/pando/rollouts/http.yml", `"secretName":"pando-rollouts"`},
		"pando-gitops": {"--web.config.file=/etc/pando/rollouts/web.yml", "--root.http-config-file=/etc/pando/rollouts/http.yml", "--kube.pod-http-config-file=/etc/pando/rollouts/http.yml", `"secretName":"pando-rollouts"`},
	} {
		for _, w := range append(want, `"mountPath":"/etc/pando/rollouts"`) {
			if s := container(t, all[name]); !strings.Contains(s, w) {
				t.Errorf("%s has no %s: %s", name, w, s)
			}
		}
	}
}

// The configuration of one's own that the guide shows gives pods the label by which
// the control loop finds those of the zone.
func TestOwnNamesAreFound(t *testing.T) {
	guide, err := os.ReadFile("../../docs/install-kubernetes.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(guide), "configMapGenerator:\n  - name: pando-leaf-config       # replaces")
	text, _, ends := strings.Cut(text, "```")
	if !ok || !ends {
		t.Fatal("the guide has no configuration of one's own")
	}
	_, text, _ = strings.Cut(text, "  - name: pando-leaf-identity")
	zone := container(t, rendered(t, "overlays/single-cluster", "configMapGenerator:\n  - name: pando-leaf-identity"+text)["pando-zone"])
	if !strings.Contains(zone, `"pandometrics.github.io/zone":"eu"`) || strings.Contains(zone, `"pandometrics.github.io/zone":"home"`) {
		t.Errorf("pods of the zone: %s", zone)
	}
}
