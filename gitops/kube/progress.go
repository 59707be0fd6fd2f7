package kube

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/pandometrics/pando/gitops"
)

// underWay returns an error for pods that are not as they should be yet. It is one
// of progress, unless a pod of the folders cannot stay up.
func (d *Deliverer) underWay(ctx context.Context, inv *inventory, waiting error) error {
	for _, folder := range slices.Sorted(maps.Keys(inv.Folders)) {
		pods, err := d.api.pods(ctx, folder)
		if err != nil {
			return err
		}
		if err := crashing(pods); err != nil {
			return fmt.Errorf("%w; %w", waiting, err)
		}
	}
	return &gitops.ProgressError{What: waiting.Error()}
}

// crashing returns an error if a container of a pod ends again and again.
func crashing(pods []corev1.Pod) error {
	for i := range pods {
		p := &pods[i]
		if p.DeletionTimestamp != nil {
			continue
		}
		for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
			if w := c.State.Waiting; w != nil && w.Reason == "CrashLoopBackOff" {
				return fmt.Errorf("container %s of pod %s ends again and again (%d restarts): see its log", c.Name, p.Name, c.RestartCount)
			}
		}
	}
	return nil
}
