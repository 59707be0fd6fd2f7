package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	promconfig "github.com/prometheus/common/config"

	"github.com/pandometrics/pando/deploy"
	"github.com/pandometrics/pando/gitops/kube"
)

// deliverKubeFlags are those of delivery into Kubernetes.
type deliverKubeFlags struct {
	kubeFlags
	deliver    string
	identity   string
	manifests  string
	podsConfig string
}

// The ways to deliver.
const (
	deliverDirectory  = "directory"
	deliverKubernetes = "kubernetes"
)

// statusInterval is how often the status ConfigMap is looked after.
const statusInterval = 2 * time.Second

func (f *deliverKubeFlags) register(c *kingpin.CmdClause) {
	f.kubeFlags.register(c)
	c.Flag("deliver", "Where to deliver to: a directory, or the namespace of a Kubernetes cluster.").Default(deliverDirectory).EnumVar(&f.deliver, deliverDirectory, deliverKubernetes)
	c.Flag("kube.manifests", "Folder with manifests of workloads to use instead of those that come with pando: one folder for each of leaf, zone and root.").PlaceHolder("PATH").StringVar(&f.manifests)
	c.Flag("kube.lease", "How long the lease is held by a loop that went away; another takes over then.").Default(f.kube.Lease.String()).DurationVar(&f.kube.Lease)
	c.Flag("kube.identity", "What this loop is called in the lease; by default, the name of its host, which is that of its pod.").StringVar(&f.identity)
	c.Flag("kube.keep", "Earlier configurations that stay in the cluster.").Default(strconv.Itoa(f.kube.Keep)).IntVar(&f.kube.Keep)
	c.Flag("kube.pod-scheme", "How pods serve HTTP: http or https.").Default(f.kube.PodScheme).EnumVar(&f.kube.PodScheme, "http", "https")
	c.Flag("kube.pod-port", "Port of pods that have none of name http.").Default(strconv.Itoa(f.kube.PodPort)).IntVar(&f.kube.PodPort)
	c.Flag("kube.pod-http-config-file", "File that says how to reach pods, as promtool's: TLS, credentials.").StringVar(&f.podsConfig)
}

func (f *deliverKubeFlags) wanted() bool { return f.deliver == deliverKubernetes }

// complete says what is wrong, and fills in what is known to a pod.
func (f *deliverKubeFlags) complete() (err error) {
	if f.identity == "" {
		if f.identity, err = os.Hostname(); err != nil {
			return fmt.Errorf("--kube.identity: %w", err)
		}
	}
	return f.kubeFlags.complete()
}

// open connects the parts of delivery.
func (f *deliverKubeFlags) open(logger *slog.Logger, reg *prometheus.Registry) (*kube.Deliverer, error) {
	deps := kube.Deps{Templates: deploy.Workloads(), Logger: logger, Registerer: reg}
	if f.manifests != "" {
		deps.Templates = os.DirFS(f.manifests)
	}
	if f.podsConfig != "" {
		cfg, _, err := promconfig.LoadHTTPConfigFile(f.podsConfig)
		if err != nil {
			return nil, fmt.Errorf("--kube.pod-http-config-file=%s: %w", f.podsConfig, err)
		}
		if deps.Pods, err = promconfig.NewClientFromConfig(*cfg, "pods", promconfig.WithUserAgent("pando/"+buildVersion())); err != nil {
			return nil, fmt.Errorf("--kube.pod-http-config-file=%s: %w", f.podsConfig, err)
		}
	}
	server, err := kube.Connect(f.kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("--kube.config: %w", err)
	}
	return kube.New(server, f.kube, deps)
}

// deliverIntoKubernetes has the node run the loop while it holds the lease.
func (n *node) deliverIntoKubernetes(f *gitopsFlags, logger *slog.Logger, reg *prometheus.Registry) error {
	d, err := f.kube.open(logger, reg)
	if err != nil {
		return err
	}
	standby := standbyHTTP(n, reg)
	n.serve(standby)
	n.add(func(ctx context.Context) error {
		return d.Lead(ctx, f.kube.identity, func(ctx context.Context) error {
			defer n.serve(standby)
			return n.lead(ctx, f, d, logger, reg)
		})
	})
	return nil
}

// lead runs one loop.
func (n *node) lead(ctx context.Context, f *gitopsFlags, d *kube.Deliverer, logger *slog.Logger, reg *prometheus.Registry) (err error) {
	loop, err := f.openLoop(d, logger, reg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, loop.Close()) }()
	n.serve(gitopsHTTP(n, loop, f, reg))
	reporting, stop := context.WithCancel(ctx)
	reported := make(chan struct{})
	go func() {
		defer close(reported)
		_ = d.Report(reporting, loop.Status, statusInterval) // it ends with its context
	}()
	err = loop.Run(ctx)
	stop()
	<-reported
	return err
}

// standbyHTTP serves while another loop holds the lease.
func standbyHTTP(n *node, reg *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	for _, probe := range []string{"healthy", "ready"} {
		mux.HandleFunc("GET /-/"+probe, func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, "Pando %s is %s, and waits for the lease.\n", n.name, probe)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "Pando "+n.name+" waits for the lease: another loop leads", http.StatusServiceUnavailable)
	})
	return mux
}
