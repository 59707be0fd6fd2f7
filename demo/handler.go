package demo

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
)

// handlerOpts negotiate text, OpenMetrics and protobuf, the last being what
// carries native histograms. Over loopback, compression costs more than it
// saves.
func handlerOpts() promhttp.HandlerOpts {
	return promhttp.HandlerOpts{EnableOpenMetrics: true, DisableCompression: true, ErrorHandling: promhttp.HTTPErrorOnError}
}

func serve(w http.ResponseWriter, r *http.Request, g prometheus.GathererFunc) {
	promhttp.HandlerFor(g, handlerOpts()).ServeHTTP(w, r)
}

// Handler serves what there is to scrape in the cluster:
//
//	GET /sd                          the pods, as Prometheus HTTP service discovery
//	GET /pods/{pod}/metrics          the metrics of one of them
//	GET /kube-state-metrics/metrics  what Kubernetes knows of the pods
//	GET /cadvisor/metrics            what the pods consume
//	GET /host/metrics                this machine
//
// The targets of /sd are at the address by which /sd itself was asked. A pod that
// was replaced leaves /sd at once, answers for another 30 seconds, and is not
// found after that.
func (c *Cluster) Handler() http.Handler { return c.handler }

func (c *Cluster) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sd", c.serveDiscovery)
	mux.HandleFunc("GET /pods/{pod}/metrics", c.servePod)
	mux.HandleFunc("GET /kube-state-metrics/metrics", func(w http.ResponseWriter, r *http.Request) {
		serve(w, r, func() ([]*dto.MetricFamily, error) { return c.gatherKube(), nil })
	})
	mux.HandleFunc("GET /cadvisor/metrics", func(w http.ResponseWriter, r *http.Request) {
		serve(w, r, func() ([]*dto.MetricFamily, error) { return c.gatherContainers(), nil })
	})
	mux.Handle("GET /host/metrics", c.host)
	return mux
}

func (c *Cluster) servePod(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("pod")
	if name == c.checkout.pod {
		c.checkout.metrics.ServeHTTP(w, r)
		return
	}
	mfs, ok := c.gatherPod(name)
	if !ok {
		http.Error(w, fmt.Sprintf("no pod %q; GET /sd lists those there are", name), http.StatusNotFound)
		return
	}
	serve(w, r, func() ([]*dto.MetricFamily, error) { return mfs, nil })
}

// TargetGroup is an entry of Prometheus' service discovery over HTTP and by files.
type TargetGroup struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// Discovery returns what GET /sd answers to who asks at an address.
func (c *Cluster) Discovery(address string) []TargetGroup {
	groups := []TargetGroup{}
	for _, id := range c.identities() {
		groups = append(groups, TargetGroup{Targets: []string{address}, Labels: map[string]string{
			"__metrics_path__": "/pods/" + id.pod + "/metrics",
			"namespace":        id.namespace, "pod": id.pod, "service": id.service, "job": id.service,
			"container": id.service, "version": id.version, "node": id.node, "instance": id.ip + ":8080",
		}})
	}
	return groups
}

func (c *Cluster) serveDiscovery(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	// The client is gone if this fails; there is nobody to tell.
	_ = json.NewEncoder(w).Encode(c.Discovery(r.Host))
}
