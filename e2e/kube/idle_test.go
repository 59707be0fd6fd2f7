package kube_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/pandometrics/pando/gitops/gittest"
)

// writes are requests that could change something, as they come to the API server
// from a process.
type writes struct {
	mu     sync.Mutex
	lease  int
	others []string
}

// through returns a kubeconfig with the credentials of an account, by which requests
// go through w.
func (v *delivery) through(account string, w *writes) string {
	v.t.Helper()
	rc := v.account(account)
	server, err := url.Parse(rc.Host)
	if err != nil {
		v.t.Fatal(err)
	}
	// A kubeconfig's credentials are not sent in the clear: they are added here.
	transport, err := rest.TransportFor(rc)
	if err != nil {
		v.t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(server)
	proxy.Transport = transport
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, q *http.Request) {
		w.note(q)
		proxy.ServeHTTP(rw, q)
	}))
	v.t.Cleanup(s.Close)
	c := clientcmdapi.NewConfig()
	c.Clusters["c"] = &clientcmdapi.Cluster{Server: s.URL}
	c.AuthInfos["a"] = &clientcmdapi.AuthInfo{}
	c.Contexts["x"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "a"}
	c.CurrentContext = "x"
	name := filepath.Join(v.t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*c, name); err != nil {
		v.t.Fatal(err)
	}
	return name
}

func (w *writes) note(q *http.Request) {
	if q.Method == http.MethodGet {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if strings.HasSuffix(q.URL.Path, "/leases/pando-gitops") {
		w.lease++
		return
	}
	w.others = append(w.others, q.Method+" "+q.URL.Path)
}

// since returns how often the lease was renewed, and what else was written.
func (w *writes) since(lease, others int) (int, []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lease - lease, w.others[others:]
}

// While nothing changes, a loop that looks at everything each second writes nothing
// but its lease.
func TestUnchangedLoopRenewsItsLeaseOnly(t *testing.T) {
	v := startDelivery(t, 36)
	root := v.startRoot()
	repo := gittest.New(t)
	first := repo.Commit("planet.yaml", planetOfOne, "prometheus.yml", "global: {scrape_interval: 1s}\n", "rules/leaf/rules.yml", recording("first"))
	w := &writes{}
	v.loop("--git.url="+repo.URL, "--root.url=http://"+root, "--kube.config="+v.through("pando-gitops", w), "--state.path="+t.TempDir())
	v.status(map[string]string{"applied": first, "state": ""})
	renewed, others := 0, 0
	await(t, "three renewals of the lease without another write: the status is told of for a moment longer", func(context.Context) error {
		n, other := w.since(renewed, others)
		if len(other) > 0 {
			renewed, others = renewed+n, others+len(other)
		} else if n >= 3 {
			renewed += n
			return nil
		}
		return fmt.Errorf("%d renewals, and %v", n, other)
	})
	await(t, "ten renewals more", func(context.Context) error {
		n, other := w.since(renewed, others)
		if len(other) > 0 {
			t.Fatalf("after %d renewals of the lease it wrote %v, though nothing had changed", n, other)
		}
		if n < 10 {
			return fmt.Errorf("%d so far", n)
		}
		return nil
	})
	if others == 0 {
		t.Error("no write of the delivery was seen: they are not counted")
	}
}
