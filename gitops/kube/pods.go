package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pandometrics/pando/gitops"
)

// RevisionMetric is the gauge by which a pod tells which revision it has loaded.
const RevisionMetric = "pando_config_loaded_revision_info"

const (
	maxAnswer   = 64 << 20 // of /metrics
	podsAtATime = 8
	maxTold     = 1000 // pods that are remembered
)

// readyPods returns those that must load configuration: those that are not ready
// fetch it when they start.
func (d *Deliverer) readyPods(ctx context.Context, folder string) ([]corev1.Pod, error) {
	all, err := d.api.pods(ctx, folder)
	return slices.DeleteFunc(all, func(p corev1.Pod) bool { return !ready(&p) }), err
}

func ready(p *corev1.Pod) bool {
	if p.DeletionTimestamp != nil || p.Status.PodIP == "" {
		return false
	}
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// count remembers how many pods are ready before a delivery.
func (d *Deliverer) count(ctx context.Context, want *desired) error {
	for folder := range want.folders {
		pods, err := d.readyPods(ctx, folder)
		if err != nil {
			return err
		}
		d.ready[folder] = len(pods)
	}
	return nil
}

// reload tells the pods of all folders to load what the pointer names now. Those of a
// folder that cannot be told do not keep the next on what they have; one that refuses
// does.
func (d *Deliverer) reload(ctx context.Context, want *desired, revision string) error {
	var errs []error
	for _, folder := range slices.Sorted(maps.Keys(want.folders)) {
		pods, err := d.readyPods(ctx, folder)
		if err != nil {
			return errors.Join(append(errs, err)...) // the API server is away
		}
		err = each(pods, func(p *corev1.Pod) error {
			if now, err := d.ask(ctx, p); err == nil && now == revision {
				return nil
			}
			return d.tellReload(ctx, p)
		})
		var no *gitops.RefusedError
		if errors.As(err, &no) {
			return no
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// each does something for each pod, some at a time. Of the errors, a refusal
// comes first: the others may pass.
func each(pods []corev1.Pod, do func(*corev1.Pod) error) error {
	errs := make([]error, len(pods))
	turns := make(chan struct{}, podsAtATime)
	var wg sync.WaitGroup
	for i := range pods {
		wg.Go(func() {
			turns <- struct{}{}
			errs[i] = do(&pods[i])
			<-turns
		})
	}
	wg.Wait()
	var no *gitops.RefusedError
	for _, err := range errs {
		if errors.As(err, &no) {
			return no
		}
	}
	return errors.Join(errs...)
}

// loadedBy returns what all pods have loaded.
func (d *Deliverer) loadedBy(ctx context.Context, inv *inventory) (string, error) {
	all := inv.Revision
	for _, folder := range slices.Sorted(maps.Keys(inv.Folders)) {
		pods, err := d.readyPods(ctx, folder)
		if err != nil {
			return "", err
		}
		if n := max(d.ready[folder], 1); len(pods) < n && inv.Folders[folder] != 0 {
			return "", d.underWay(ctx, inv, fmt.Errorf("%d pods of %s are ready, %d are expected (label selector %s)", len(pods), folder, n, podSelector(folder)))
		}
		var mu sync.Mutex
		loaded := map[string]string{} // revision → a pod
		err = each(pods, func(p *corev1.Pod) error {
			r, err := d.ask(ctx, p)
			if err == nil && r != inv.Revision && d.behind(p, inv.Revision) {
				if err := d.tellReload(ctx, p); err != nil {
					return err
				}
				r, err = d.ask(ctx, p)
			}
			mu.Lock()
			defer mu.Unlock()
			loaded[r] = p.Name
			return err
		})
		if err != nil {
			return "", err
		}
		delete(loaded, inv.Revision)
		for other, pod := range loaded {
			d.deps.Logger.Debug("pod has loaded another revision", "pod", pod, "loaded", other, "expected", inv.Revision)
			all = other
		}
	}
	return all, nil
}

// behind tells whether a pod is to be told to load a revision: it began with
// another one, and was not ready yet when the others were told. Once is enough:
// who refuses it does so again.
func (d *Deliverer) behind(p *corev1.Pod, revision string) bool {
	d.tellMu.Lock()
	defer d.tellMu.Unlock()
	if d.told[p.UID] == revision {
		return false
	}
	if len(d.told) >= maxTold {
		clear(d.told)
	}
	d.told[p.UID] = revision
	return true
}

// url returns where a pod serves HTTP.
func (d *Deliverer) url(p *corev1.Pod, path string) string {
	port := d.cfg.PodPort
	for _, c := range p.Spec.Containers {
		for _, cp := range c.Ports {
			if cp.Name == "http" {
				port = int(cp.ContainerPort)
			}
		}
	}
	return d.cfg.PodScheme + "://" + net.JoinHostPort(p.Status.PodIP, strconv.Itoa(port)) + path
}

func (d *Deliverer) do(ctx context.Context, p *corev1.Pod, method, path string, read func(*http.Response) error) error {
	q, err := http.NewRequestWithContext(ctx, method, d.url(p, path), nil)
	if err != nil {
		return fmt.Errorf("pod %s: %w", p.Name, err)
	}
	resp, err := d.deps.Pods.Do(q)
	if err != nil {
		return fmt.Errorf("pod %s: %w", p.Name, err)
	}
	defer func() { _ = resp.Body.Close() }()
	return read(resp)
}

// tellReload has a pod fetch and load its configuration.
func (d *Deliverer) tellReload(ctx context.Context, p *corev1.Pod) error {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.ReloadTimeout)
	defer cancel()
	return d.do(ctx, p, http.MethodPost, "/-/reload", func(resp *http.Response) error {
		if resp.StatusCode/100 == 2 {
			return nil
		}
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096)) // what there is of it
		said := strings.TrimSpace(strings.ToValidUTF8(string(text), "?"))
		if resp.StatusCode == http.StatusInternalServerError {
			return &gitops.RefusedError{Workload: "pod " + p.Name, Message: said}
		}
		return fmt.Errorf("pod %s does not reload: HTTP status %d: %.300s", p.Name, resp.StatusCode, said)
	})
}

// ask returns which revision a pod has loaded, "" if it does not say.
func (d *Deliverer) ask(ctx context.Context, p *corev1.Pod) (revision string, err error) {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	err = d.do(ctx, p, http.MethodGet, "/metrics", func(resp *http.Response) error {
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("pod %s does not tell its metrics: HTTP status %d", p.Name, resp.StatusCode)
		}
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(io.LimitReader(resp.Body, maxAnswer))
		if err != nil {
			return fmt.Errorf("pod %s: read its metrics: %w", p.Name, err)
		}
		for _, m := range families[RevisionMetric].GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "revision" {
					revision = l.GetValue()
				}
			}
		}
		return nil
	})
	return revision, err
}

// rolledOut returns an error as long as pods of workloads are being replaced.
func (d *Deliverer) rolledOut(ctx context.Context, inv *inventory) error {
	for _, key := range slices.Sorted(maps.Keys(inv.Objects)) {
		e := inv.Objects[key]
		if e.Kind != "StatefulSet" && e.Kind != "Deployment" || e.Want == "" {
			continue
		}
		o, err := d.api.get(ctx, e.id)
		if err != nil {
			return err
		}
		if o == nil {
			return fmt.Errorf("%s is gone", e.id)
		}
		number := func(path ...string) int64 {
			n, _, _ := unstructured.NestedInt64(o.Object, path...) // 0 if it is not there
			return n
		}
		want := number("spec", "replicas")
		if seen := number("status", "observedGeneration"); seen < o.GetGeneration() {
			return d.underWay(ctx, inv, fmt.Errorf("%s: its change has not been seen by its controller", e.id))
		}
		if updated := number("status", "updatedReplicas"); updated < want {
			return d.underWay(ctx, inv, fmt.Errorf("%s: %d of %d pods are of the newest template", e.id, updated, want))
		}
		if r := number("status", "readyReplicas"); r < want {
			return d.underWay(ctx, inv, fmt.Errorf("%s: %d of %d pods are ready", e.id, r, want))
		}
	}
	return nil
}
