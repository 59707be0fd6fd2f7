package kube_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/pandometrics/pando/e2e/kubetest"
)

// within bounds what is waited for, on a machine with much else to do.
const within = 3 * time.Minute

const namespace = "pando"

// cluster is a control plane with the clients that the tests use.
type cluster struct {
	*kubetest.Cluster
	t       testing.TB
	typed   *kubernetes.Clientset
	dynamic *dynamic.DynamicClient
	mapper  *restmapper.DeferredDiscoveryRESTMapper
}

func startCluster(t testing.TB, cfg kubetest.Config) *cluster {
	t.Helper()
	cfg.Images = map[string]string{image: kubetest.Pando(t)}
	c := &cluster{Cluster: kubetest.Start(t, cfg), t: t}
	rc, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	rc.QPS, rc.Burst, rc.WarningHandler = 100, 200, rest.NoWarnings{}
	if c.typed, err = kubernetes.NewForConfig(rc); err != nil {
		t.Fatal(err)
	}
	if c.dynamic, err = dynamic.NewForConfig(rc); err != nil {
		t.Fatal(err)
	}
	d, err := discovery.NewDiscoveryClientForConfig(rc)
	if err != nil {
		t.Fatal(err)
	}
	c.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(d))
	return c
}

// objects parses what kustomize prints.
func objects(t testing.TB, manifests []byte) []*unstructured.Unstructured {
	t.Helper()
	var out []*unstructured.Unstructured
	for d := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(manifests), 4096); ; {
		u := &unstructured.Unstructured{}
		err := d.Decode(&u.Object)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(u.Object) > 0 {
			out = append(out, u)
		}
	}
}

// apply sends objects as kubectl apply --server-side does, unknown fields not
// allowed.
func (c *cluster) apply(all []*unstructured.Unstructured, dryRun ...string) {
	c.t.Helper()
	for _, u := range all {
		if err := c.applyOne(u, dryRun); err != nil {
			c.t.Fatalf("apply %s %s: %v", u.GetKind(), u.GetName(), err)
		}
	}
}

func (c *cluster) applyOne(u *unstructured.Unstructured, dryRun []string) error {
	gvk := u.GroupVersionKind()
	m, err := c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return err
	}
	var r dynamic.ResourceInterface = c.dynamic.Resource(m.Resource)
	if m.Scope.Name() == meta.RESTScopeNameNamespace {
		if u.GetNamespace() == "" {
			return errors.New("it names no namespace")
		}
		r = c.dynamic.Resource(m.Resource).Namespace(u.GetNamespace())
	}
	body, err := u.MarshalJSON()
	if err != nil {
		return err
	}
	_, err = r.Patch(c.t.Context(), u.GetName(), types.ApplyPatchType, body, metav1.PatchOptions{
		FieldManager: "e2e", FieldValidation: metav1.FieldValidationStrict, DryRun: dryRun,
	})
	return err
}

// await waits until check returns no error.
func await(t testing.TB, what string, check func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	var last error // that is not only about the time being over
	for {
		err := check(ctx)
		if err == nil {
			return
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not after %v: %v", what, within, last)
		case <-tick.C:
		}
	}
}

// awaitReady waits until all StatefulSets have all their pods ready.
func (c *cluster) awaitReady() {
	c.t.Helper()
	await(c.t, "pods are ready", func(ctx context.Context) error {
		all, err := c.typed.AppsV1().StatefulSets(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		if len(all.Items) == 0 {
			return errors.New("there are no StatefulSets")
		}
		for _, s := range all.Items {
			if s.Status.ObservedGeneration != s.Generation || s.Status.ReadyReplicas != *s.Spec.Replicas || s.Status.UpdatedReplicas != *s.Spec.Replicas {
				return fmt.Errorf("%s: %d of %d pods are ready", s.Name, s.Status.ReadyReplicas, *s.Spec.Replicas)
			}
		}
		return nil
	})
}

// pod returns a pod that is ready, or why there is none.
func (c *cluster) pod(ctx context.Context, name string) (*corev1.Pod, error) {
	p, err := c.typed.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	for _, s := range p.Status.Conditions {
		if s.Type == corev1.PodReady && s.Status == corev1.ConditionTrue {
			return p, nil
		}
	}
	return nil, fmt.Errorf("pod %s is not ready", name)
}

// address returns host:port of a pod's HTTP API.
func (c *cluster) address(pod string) string {
	c.t.Helper()
	var out string
	await(c.t, "address of "+pod, func(ctx context.Context) error {
		p, err := c.pod(ctx, pod)
		if err == nil {
			out = p.Status.PodIP + ":9090"
		}
		return err
	})
	return out
}

// replace deletes a pod, and its claim too if it is lost, and waits for the next one.
func (c *cluster) replace(pod string, loseClaim bool) {
	c.t.Helper()
	old, err := c.typed.CoreV1().Pods(namespace).Get(c.t.Context(), pod, metav1.GetOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	if loseClaim {
		if err := c.typed.CoreV1().PersistentVolumeClaims(namespace).Delete(c.t.Context(), "data-"+pod, metav1.DeleteOptions{}); err != nil {
			c.t.Fatal(err)
		}
	}
	if err := c.typed.CoreV1().Pods(namespace).Delete(c.t.Context(), pod, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		c.t.Fatal(err)
	}
	await(c.t, pod+" is replaced", func(ctx context.Context) error {
		p, err := c.pod(ctx, pod)
		if err == nil && p.UID == old.UID {
			return errors.New("the old one is still there")
		}
		return err
	})
}

// upgrade has a StatefulSet roll out another image, and checks all the while that
// one of its pods is fine.
func (c *cluster) upgrade(name string, fine func(ctx context.Context, address string) error) {
	c.t.Helper()
	sets := c.typed.AppsV1().StatefulSets(namespace)
	patch := fmt.Sprintf(`{"spec":{"template":{"spec":{"containers":[{"name":"pando","image":"%s:next"}]}}}}`, image)
	if _, err := sets.Patch(c.t.Context(), name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		c.t.Fatal(err)
	}
	looks := 0
	await(c.t, "upgrade of "+name, func(ctx context.Context) error {
		s, err := sets.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		var errs []error
		ok := false
		for i := range *s.Spec.Replicas {
			p, err := c.pod(ctx, fmt.Sprintf("%s-%d", name, i))
			if err == nil {
				err = fine(ctx, p.Status.PodIP+":9090")
			}
			ok = ok || err == nil
			errs = append(errs, err)
		}
		if looks++; !ok && ctx.Err() == nil {
			c.t.Errorf("during the upgrade of %s, no pod is fine: %v", name, errors.Join(errs...))
		}
		if s.Status.ObservedGeneration != s.Generation || s.Status.UpdatedReplicas != *s.Spec.Replicas || s.Status.AvailableReplicas != *s.Spec.Replicas {
			return fmt.Errorf("%d of %d pods are upgraded and available", s.Status.UpdatedReplicas, *s.Spec.Replicas)
		}
		return nil
	})
	if looks < 5 {
		c.t.Errorf("the upgrade of %s was looked at %d times only", name, looks)
	}
}
