package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"github.com/pandometrics/pando/gitops"
)

// api is the API server, as far as it is needed. Its requests are bounded in
// time, size and rate.
type api struct {
	cfg     Config
	typed   kubernetes.Interface
	dynamic dynamic.Interface
	meta    metadata.Interface
	metrics *metrics
}

// pageSize bounds an answer; maxObjects what is read of one kind.
const (
	pageSize   = 250
	maxObjects = 5000
)

func newAPI(rc *rest.Config, cfg Config, m *metrics) (*api, error) {
	rc = rest.CopyConfig(rc)
	rc.Timeout, rc.QPS, rc.Burst = cfg.Timeout, cfg.QPS, cfg.Burst
	rc.UserAgent = "pando-gitops"
	client, err := rest.HTTPClientFor(rc)
	if err != nil {
		return nil, fmt.Errorf("client of the API server: %w", err)
	}
	a := &api{cfg: cfg, metrics: m}
	if a.typed, err = kubernetes.NewForConfigAndClient(rc, client); err != nil {
		return nil, fmt.Errorf("client of the API server: %w", err)
	}
	if a.dynamic, err = dynamic.NewForConfigAndClient(rc, client); err != nil {
		return nil, fmt.Errorf("client of the API server: %w", err)
	}
	if a.meta, err = metadata.NewForConfigAndClient(rc, client); err != nil {
		return nil, fmt.Errorf("client of the API server: %w", err)
	}
	return a, nil
}

// asked turns an error of a request into one that says what was to be done, and
// whether it has to do with the revision: only what the API server finds wrong
// with an object has.
func (a *api) asked(verb, what string, err error) error {
	a.metrics.asked(verb, err)
	switch {
	case err == nil:
		return nil
	case apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsRequestEntityTooLargeError(err):
		return &gitops.RefusedError{Workload: "the API server", Message: fmt.Sprintf("%s %s: %v", verb, what, err)}
	case apierrors.IsForbidden(err):
		return &gitops.UnavailableError{What: fmt.Sprintf("not allowed to %s %s; give the loop's account that permission", verb, what), Err: err}
	default:
		return &gitops.UnavailableError{What: fmt.Sprintf("%s %s", verb, what), Err: err}
	}
}

// list returns the metadata of what carries our marks, of one kind.
func (a *api) list(ctx context.Context, k kind) ([]observed, error) {
	var out []observed
	opts := metav1.ListOptions{LabelSelector: a.cfg.owned(), Limit: pageSize}
	for {
		page, err := a.meta.Resource(k.gvr).Namespace(a.cfg.Namespace).List(ctx, opts)
		if err := a.asked("list", k.gvr.Resource, err); err != nil {
			return nil, err
		}
		for i := range page.Items {
			out = append(out, a.cfg.observe(k.gvk.Kind, &page.Items[i].ObjectMeta))
		}
		if opts.Continue = page.Continue; opts.Continue == "" {
			return out, nil
		}
		if len(out) > maxObjects {
			return nil, fmt.Errorf("there are more than %d %s of ours: remove those that are not needed", maxObjects, k.gvr.Resource)
		}
	}
}

// look returns the metadata of one object, false if there is none.
func (a *api) look(ctx context.Context, i id) (observed, bool, error) {
	m, err := a.meta.Resource(kinds()[i.Kind].gvr).Namespace(a.cfg.Namespace).Get(ctx, i.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return observed{}, false, nil
	}
	if err := a.asked("get", i.String(), err); err != nil {
		return observed{}, false, err
	}
	return a.cfg.observe(i.Kind, &m.ObjectMeta), true, nil
}

// get returns an object, nil if there is none.
func (a *api) get(ctx context.Context, i id) (*unstructured.Unstructured, error) {
	o, err := a.dynamic.Resource(kinds()[i.Kind].gvr).Namespace(a.cfg.Namespace).Get(ctx, i.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return o, a.asked("get", i.String(), err)
}

// apply applies an object, and returns what it became, and which fields were
// taken back from others. Only where the object is ours is anything taken: force.
func (a *api) apply(ctx context.Context, o *object, force bool) (observed, []string, error) {
	live, err := a.patch(ctx, o, false)
	var taken []string
	if conflicts := conflictsOf(err); len(conflicts) > 0 {
		a.metrics.conflicts.Add(float64(len(conflicts)))
		if !force {
			return observed{}, nil, &gitops.UnavailableError{What: fmt.Sprintf("%s has fields that others manage: %s; remove it, or have them let go", o.id, strings.Join(conflicts, ", ")), Err: err}
		}
		taken = conflicts
		live, err = a.patch(ctx, o, true)
	}
	if o.content && apierrors.IsInvalid(err) {
		live, err = a.anew(ctx, o)
	}
	if err := a.asked("apply", o.id.String(), err); err != nil {
		return observed{}, nil, err
	}
	var m metav1.ObjectMeta
	if err := metadataOf(live, &m); err != nil {
		return observed{}, nil, err
	}
	return a.cfg.observe(o.Kind, &m), taken, nil
}

// patch applies an object, once, or finds out what would come of it: dryRun.
func (a *api) patch(ctx context.Context, o *object, force bool, dryRun ...string) (*unstructured.Unstructured, error) {
	if len(dryRun) == 0 {
		a.metrics.writes.Inc()
	}
	body, err := json.Marshal(o.body.Object)
	if err != nil {
		return nil, err
	}
	return a.dynamic.Resource(kinds()[o.Kind].gvr).Namespace(a.cfg.Namespace).Patch(ctx, o.Name, types.ApplyPatchType, body,
		metav1.PatchOptions{FieldManager: a.cfg.FieldManager, Force: &force, DryRun: dryRun})
}

// anew replaces content that is not what its name says: it cannot be changed.
func (a *api) anew(ctx context.Context, o *object) (*unstructured.Unstructured, error) {
	old, ok, err := a.look(ctx, o.id)
	if err != nil {
		return nil, err
	}
	if ok {
		if err := a.remove(ctx, old); err != nil {
			return nil, err
		}
	}
	return a.patch(ctx, o, false)
}

// remove deletes just the object that was looked at.
func (a *api) remove(ctx context.Context, o observed) error {
	a.metrics.writes.Inc()
	uid, background := types.UID(o.uid), metav1.DeletePropagationBackground
	err := a.dynamic.Resource(kinds()[o.Kind].gvr).Namespace(a.cfg.Namespace).Delete(ctx, o.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &o.version}, PropagationPolicy: &background,
	})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return a.asked("delete", o.id.String(), err)
}

// pods returns those of a folder.
func (a *api) pods(ctx context.Context, folder string) ([]corev1.Pod, error) {
	list, err := a.typed.CoreV1().Pods(a.cfg.Namespace).List(ctx, metav1.ListOptions{LabelSelector: podSelector(folder), Limit: pageSize})
	if err := a.asked("list", "pods", err); err != nil {
		return nil, err
	}
	if list.Continue != "" {
		return nil, fmt.Errorf("%s has more than %d pods in one cluster", folder, pageSize)
	}
	slices.SortFunc(list.Items, func(x, y corev1.Pod) int { return strings.Compare(x.Name, y.Name) })
	return list.Items, nil
}

func metadataOf(u *unstructured.Unstructured, to *metav1.ObjectMeta) error {
	part, _, err := unstructured.NestedMap(u.Object, "metadata")
	if err != nil {
		return fmt.Errorf("metadata of %s %s: %w", u.GetKind(), u.GetName(), err)
	}
	text, err := json.Marshal(part)
	if err != nil {
		return fmt.Errorf("metadata of %s %s: %w", u.GetKind(), u.GetName(), err)
	}
	if err := json.Unmarshal(text, to); err != nil {
		return fmt.Errorf("metadata of %s %s: %w", u.GetKind(), u.GetName(), err)
	}
	return nil
}

// conflictsOf returns the fields that other managers hold, and who.
func conflictsOf(err error) (out []string) {
	var s apierrors.APIStatus
	if !apierrors.IsConflict(err) || !errors.As(err, &s) || s.Status().Details == nil {
		return nil
	}
	for _, c := range s.Status().Details.Causes {
		if c.Type == metav1.CauseTypeFieldManagerConflict {
			out = append(out, c.Field+" ("+c.Message+")")
		}
	}
	return out
}
