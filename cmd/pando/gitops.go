package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/prometheus/model/labels"
	"go.opentelemetry.io/otel"

	"github.com/pandometrics/pando/gitops"
	"github.com/pandometrics/pando/gitops/dirs"
	gitplanet "github.com/pandometrics/pando/gitops/planet"
	"github.com/pandometrics/pando/gitops/source"
	"github.com/pandometrics/pando/querytree"
)

// gitopsCommand runs the control loop of one cluster.
func gitopsCommand(app *kingpin.Application, out streams) (string, command) {
	c := app.Command("gitops", "Make what runs in one cluster match a git repository: fetch, verify, validate, wait for its wave, deliver, confirm.")
	f := &gitopsFlags{}
	f.register(c)
	return c.FullCommand(), func(ctx context.Context) error {
		logger, err := f.logger(out.err)
		if err != nil {
			return err
		}
		n, _, err := openGitops(f, logger, newRegistry())
		if err != nil {
			return err
		}
		n.announce(out.out)
		return n.Run(ctx)
	}
}

// openGitops binds the loop's address and opens its state. In Kubernetes there is
// a loop only while the node holds the lease, and none is returned.
func openGitops(f *gitopsFlags, logger *slog.Logger, reg *prometheus.Registry) (_ *node, _ *gitops.Loop, err error) {
	if err := f.complete(); err != nil {
		return nil, nil, err
	}
	n := &node{name: "gitops cluster=" + f.loop.Cluster, logger: logger, webConfig: f.webConfigFile}
	if n.authenticated, err = checksPasswords(f.webConfigFile); err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			_ = n.Close()
		}
	}()
	if n.http, err = listen("web.listen-address", f.httpAddress); err != nil {
		return nil, nil, err
	}
	n.startHTTP()
	id := querytree.Identity{Tier: "gitops", Labels: labels.FromStrings(querytree.ClusterLabel, f.loop.Cluster)}
	if _, err := n.trace(f.commonFlags, id); err != nil {
		return nil, nil, err
	}
	if f.kube.wanted() {
		return n, nil, n.deliverIntoKubernetes(f, logger, reg)
	}
	folder, err := dirs.Open(f.dirs)
	if err != nil {
		return nil, nil, err
	}
	loop, err := f.openLoop(folder, logger, reg)
	if err != nil {
		return nil, nil, err
	}
	n.closers = append(n.closers, loop.Close)
	n.add(loop.Run)
	n.serve(gitopsHTTP(n, loop, f, reg))
	return n, loop, nil
}

// delivery is where configuration is delivered to.
type delivery interface {
	gitops.Deliverer
	gitops.Confirmer
}

// openLoop joins the parts of the loop.
func (f *gitopsFlags) openLoop(to delivery, logger *slog.Logger, reg *prometheus.Registry) (*gitops.Loop, error) {
	from := f.from
	if from == nil {
		src, err := source.New(f.source)
		if err != nil {
			return nil, err
		}
		from = src
	}
	root, err := f.askRoot()
	if err != nil {
		return nil, err
	}
	return gitops.New(f.loop, gitops.Deps{
		Source: from, Renderer: planetRenderer{f.loop.Cluster, f.checked}, Differ: planetRenderer{}, Deliverer: to, Confirmer: to, Fleet: root,
		Logger: logger, Registerer: reg, Tracer: otel.GetTracerProvider(),
	})
}

// gitopsHTTP serves the loop's API, its metrics, and the probes.
func gitopsHTTP(n *node, loop *gitops.Loop, f *gitopsFlags, reg *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	api := loop.Handler(gitops.HTTPConfig{MayCommand: mayCommand(n.authenticated), WebhookSecret: f.secret()})
	mux.Handle(gitops.Path, api)
	mux.Handle(gitops.Path+"/", api)
	mux.HandleFunc("GET "+schemaPath+"{kind}", serveSchema)
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	for _, probe := range []string{"healthy", "ready"} {
		mux.HandleFunc("GET /-/"+probe, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, "Pando %s is %s.\n", n.name, probe) })
	}
	return mux
}

// schemaPath is where the JSON schemas of the repository's files are, by kind.
const schemaPath = "/pando/api/v1/schemas/"

// serveSchema answers with the schema of a kind of file, for editors.
func serveSchema(w http.ResponseWriter, r *http.Request) {
	data, err := gitplanet.Schema(gitplanet.Kind(strings.TrimSuffix(r.PathValue("kind"), ".json")))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/schema+json")
	_, _ = w.Write(data) // the client is gone, or will see that it is cut
}

// mayCommand allows commands to those whose password was checked, or else to
// those on the same machine.
func mayCommand(authenticated bool) func(*http.Request) error {
	return func(r *http.Request) error {
		if authenticated || thisMachine(r.RemoteAddr) && thisMachine(r.Host) {
			return nil
		}
		return errors.New("commands are taken from this machine only, at a loopback address, unless --web.config.file says who the users are")
	}
}

// thisMachine tells whether an address, with or without a port, is this machine's.
// The name in a request is checked too: a web page can make a browser send one
// to a name of its own that leads here.
func thisMachine(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
