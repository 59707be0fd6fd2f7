package kube

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/pandometrics/pando/gitops"
)

// Pods that are not ready yet are progress, with what is in the way of it; a pod
// that cannot stay up is not.
func TestUnderWay(t *testing.T) {
	const pod = `{"metadata": {"name": "pando-leaf-0"}, "status": {"containerStatuses": [{"name": "pando", "restartCount": 3, "state": {"waiting": {"reason": %q}}}]}}`
	for reason, want := range map[string]bool{"ContainerCreating": true, "ImagePullBackOff": true, "CrashLoopBackOff": false} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": [`+pod+`]}`, reason)
		}))
		defer server.Close()
		d, err := New(&rest.Config{Host: server.URL}, config(), Deps{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = d.loadedBy(t.Context(), &inventory{Revision: "h", Folders: map[string]int{"leaf": 1}})
		var p *gitops.ProgressError
		if err == nil || errors.As(err, &p) != want {
			t.Errorf("%s: error %v, want progress: %v", reason, err, want)
		}
		if obstructed := p != nil && strings.Contains(p.Obstacle, "container pando of pod pando-leaf-0 does not start"); obstructed != (reason == "ImagePullBackOff") {
			t.Errorf("%s: error %+v, want it to tell of an obstacle only if the image cannot be pulled", reason, p)
		}
		if told := err != nil && strings.Contains(err.Error(), "pod pando-leaf-0 ends again and again"); told == want {
			t.Errorf("%s: error %v", reason, err)
		}
	}
}

// A pod that fits on no node is told of, and one that is going is not.
func TestObstacle(t *testing.T) {
	var p corev1.Pod
	p.Name = "pando-leaf-0"
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: "0/3 nodes have 4Ti of memory"}}
	if got, want := obstacle([]corev1.Pod{p}), "pod pando-leaf-0 fits on no node: 0/3 nodes have 4Ti of memory"; got != want {
		t.Errorf("obstacle %q, want %q", got, want)
	}
	p.DeletionTimestamp = &metav1.Time{}
	if got := obstacle([]corev1.Pod{p}); got != "" {
		t.Errorf("obstacle %q, want none", got)
	}
}
