package main

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubernetes/third_party/forked/golang/expansion"
)

// envValue resolves one variable of a container; so far is what is set before it.
func (w *podWorker) envValue(ctx context.Context, c corev1.Container, e corev1.EnvVar, soFar map[string]string) (string, error) {
	from := e.ValueFrom
	if from == nil {
		return expansion.Expand(e.Value, expansion.MappingFuncFor(soFar)), nil
	}
	switch {
	case from.FieldRef != nil:
		return w.field(from.FieldRef.FieldPath), nil
	case from.ConfigMapKeyRef != nil:
		r := from.ConfigMapKeyRef
		m, err := w.k.cs.CoreV1().ConfigMaps(w.pod.Namespace).Get(ctx, r.Name, metav1.GetOptions{})
		if err != nil {
			return "", err
		}
		v, ok := m.Data[r.Key]
		return v, missing(ok, "config map", r.Name, r.Key, r.Optional)
	case from.SecretKeyRef != nil:
		r := from.SecretKeyRef
		s, err := w.k.cs.CoreV1().Secrets(w.pod.Namespace).Get(ctx, r.Name, metav1.GetOptions{})
		if err != nil {
			return "", err
		}
		v, ok := s.Data[r.Key]
		return string(v), missing(ok, "secret", r.Name, r.Key, r.Optional)
	case from.ResourceFieldRef != nil:
		kind, name, _ := strings.Cut(from.ResourceFieldRef.Resource, ".")
		list := c.Resources.Limits
		if kind == "requests" {
			list = c.Resources.Requests
		}
		q := list[corev1.ResourceName(name)]
		return fmt.Sprint(q.Value()), nil
	}
	return "", fmt.Errorf("the stand-in kubelet does not know its source")
}

func missing(ok bool, kind, name, key string, optional *bool) error {
	if ok || optional != nil && *optional {
		return nil
	}
	return fmt.Errorf("%s %q has no key %q", kind, name, key)
}

// field is the value of a pod's field, as the downward API has it.
func (w *podWorker) field(path string) string {
	switch path {
	case "status.podIP", "status.podIPs":
		return w.ip.String()
	case "status.hostIP":
		return w.k.cidr.Addr().Next().String()
	case "metadata.name":
		return w.pod.Name
	case "metadata.namespace":
		return w.pod.Namespace
	case "metadata.uid":
		return string(w.pod.UID)
	case "spec.nodeName":
		return nodeName
	case "spec.serviceAccountName":
		return w.pod.Spec.ServiceAccountName
	}
	for prefix, m := range map[string]map[string]string{"metadata.labels['": w.pod.Labels, "metadata.annotations['": w.pod.Annotations} {
		if key, ok := strings.CutPrefix(path, prefix); ok {
			return m[strings.TrimSuffix(key, "']")]
		}
	}
	return ""
}
