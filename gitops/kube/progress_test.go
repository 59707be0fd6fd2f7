package kube

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/pandometrics/pando/gitops"
)

// Pods that are not ready yet are progress; a pod that cannot stay up is not.
func TestUnderWay(t *testing.T) {
	const pod = `{"metadata": {"name": "pando-leaf-0"}, "status": {"containerStatuses": [{"name": "pando", "restartCount": 3, "state": {"waiting": {"reason": %q}}}]}}`
	for reason, want := range map[string]bool{"ContainerCreating": true, "CrashLoopBackOff": false} {
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
		if told := err != nil && strings.Contains(err.Error(), "pod pando-leaf-0 ends again and again"); told == want {
			t.Errorf("%s: error %v", reason, err)
		}
	}
}
