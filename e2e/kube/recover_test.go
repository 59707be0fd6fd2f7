package kube_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What docs/install-kubernetes.md says under "Recover the control loop", done to the
// cluster of the second wave while the repository's newest revision is one that
// the first wave has rejected.

// loseState deletes the volume of the loop, its pod, and applies the overlay.
func (w *waves) loseState(good string) {
	c, ctx := w.us, w.t.Context()
	pointer := c.delivered()
	old, err := c.loopOf(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := c.typed.CoreV1().PersistentVolumeClaims(namespace).Delete(ctx, "pando-gitops", metav1.DeleteOptions{}); err != nil {
		w.t.Fatal(err)
	}
	if err := c.typed.CoreV1().Pods(namespace).Delete(ctx, old.Name, metav1.DeleteOptions{}); err != nil {
		w.t.Fatal(err)
	}
	w.apply(c)
	await(w.t, "the next loop", func(ctx context.Context) error {
		p, err := c.loopOf(ctx)
		if err == nil && p.UID == old.UID {
			err = errors.New("the old one is still there")
		}
		return err
	})
	// It takes what the fleet runs, which is what it has.
	await(w.t, "it runs the good revision", func(context.Context) error {
		if _, ok := c.history("running")[good]; !ok {
			return errors.New("not yet")
		}
		return nil
	})
	if now := c.delivered(); now != pointer {
		w.t.Errorf("what is delivered changed from %s to %s", pointer, now)
	}
}

// loseConfigMaps deletes everything that was delivered, and what it notes of that.
func (w *waves) loseConfigMaps(good string) {
	c := w.us
	pointer := c.delivered()
	mine := metav1.ListOptions{LabelSelector: "app.kubernetes.io/managed-by=pando-gitops"}
	before, err := c.typed.CoreV1().ConfigMaps(namespace).List(w.t.Context(), mine)
	if err != nil || len(before.Items) < 4 {
		w.t.Fatalf("%d ConfigMaps, error %v; want pointer, contents, inventory and status", len(before.Items), err)
	}
	if err := c.typed.CoreV1().ConfigMaps(namespace).DeleteCollection(w.t.Context(), metav1.DeleteOptions{}, mine); err != nil {
		w.t.Fatal(err)
	}
	await(w.t, "what was deleted is there again", func(ctx context.Context) error {
		cm, err := c.typed.CoreV1().ConfigMaps(namespace).Get(ctx, "pando-config", metav1.GetOptions{})
		if err == nil && cm.Data["config.json"] != pointer {
			err = fmt.Errorf("it is %s", cm.Data["config.json"])
		}
		if err == nil {
			_, err = c.typed.CoreV1().ConfigMaps(namespace).Get(ctx, "pando-gitops-inventory", metav1.GetOptions{})
		}
		return err
	})
	c.awaitStatus(map[string]string{"applied": good})
}

// loseCluster deletes the namespace, volumes and all, and applies the overlay.
func (w *waves) loseCluster(good string) {
	c := w.us
	if err := c.typed.CoreV1().Namespaces().Delete(w.t.Context(), namespace, metav1.DeleteOptions{}); err != nil {
		w.t.Fatal(err)
	}
	await(w.t, "the namespace is gone", func(ctx context.Context) error {
		if _, err := c.typed.CoreV1().Namespaces().Get(ctx, namespace, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			return fmt.Errorf("it is still there: %w", err)
		}
		return nil
	})
	begun := time.Now()
	w.apply(c)
	w.runs(c, good)
	w.t.Logf("a cluster made from nothing runs the last good revision after %v", time.Since(begun).Round(time.Second))
}
