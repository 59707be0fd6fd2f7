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
	progress := &gitops.ProgressError{What: waiting.Error()}
	for _, folder := range slices.Sorted(maps.Keys(inv.Folders)) {
		pods, err := d.api.pods(ctx, folder)
		if err != nil {
			return err
		}
		if err := crashing(pods); err != nil {
			return fmt.Errorf("%w; %w", waiting, err)
		}
		if progress.Obstacle == "" {
			progress.Obstacle = obstacle(pods)
		}
	}
	return progress
}

// obstacle says what keeps a pod from starting, "" for nothing. It may pass, such as
// a registry or a node that is away, and it may be a mistake in the revision.
func obstacle(pods []corev1.Pod) string {
	for i := range pods {
		p := &pods[i]
		if p.DeletionTimestamp != nil {
			continue
		}
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
				return fmt.Sprintf("pod %s fits on no node: %s", p.Name, clip(c.Message, 200))
			}
		}
		for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
			if w := c.State.Waiting; w != nil && slices.Contains(cannotStart(), w.Reason) {
				return fmt.Sprintf("container %s of pod %s does not start: %s: %s", c.Name, p.Name, w.Reason, clip(w.Message, 200))
			}
		}
	}
	return ""
}

// cannotStart are reasons of containers that wait for more than their turn.
func cannotStart() []string {
	return []string{"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
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
