package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pandometrics/pando/gitops/kube"
	gitplanet "github.com/pandometrics/pando/gitops/planet"
	"github.com/pandometrics/pando/leaf"
)

// kubeFlags say which API server is used, and which names there.
type kubeFlags struct {
	kubeconfig string
	kube       kube.Config
}

// namespaceFile is where a pod finds its namespace.
const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

func (f *kubeFlags) register(c *kingpin.CmdClause) {
	f.kube = kube.DefaultConfig()
	c.Flag("kube.config", "File that says how to reach the API server; by default, as a pod of the cluster.").PlaceHolder("FILE").StringVar(&f.kubeconfig)
	c.Flag("kube.namespace", "Namespace of what is delivered; by default, that of the pod.").StringVar(&f.kube.Namespace)
	c.Flag("kube.name", "First word of the names of what is delivered.").Default(f.kube.Name).StringVar(&f.kube.Name)
	c.Flag("kube.timeout", "Longest time for a request to the API server.").Default(f.kube.Timeout.String()).DurationVar(&f.kube.Timeout)
}

// complete finds the namespace.
func (f *kubeFlags) complete() error {
	if f.kube.Namespace == "" {
		data, err := os.ReadFile(namespaceFile)
		if err != nil {
			return fmt.Errorf("--kube.namespace is not given, and this is not a pod: %w", err)
		}
		f.kube.Namespace = strings.TrimSpace(string(data))
	}
	return f.kube.Validate()
}

// pullFlags say which configuration a tier fetches before it starts, and before
// it reloads.
type pullFlags struct {
	kubeFlags
	folder   string
	to       string
	initial  string
	patience time.Duration
	follower *kube.Follower // nil if nothing is fetched
}

// register must come before that of flags whose files are read while the command
// line is parsed: they may be among what is fetched.
func (f *pullFlags) register(c *kingpin.CmdClause) {
	c.Flag("config.pull", "Folder of the planet's configuration to fetch from Kubernetes, at the start and with each reload: leaf, root or zone/NAME.").PlaceHolder("FOLDER").StringVar(&f.folder)
	c.Flag("config.pull-to", "Where to keep it: files are in PATH/current/FOLDER, those that were loaded last.").Default("data/planet").PlaceHolder("PATH").StringVar(&f.to)
	c.Flag("config.pull-initial", "Folder with the files to begin with as long as nothing was ever delivered, such as a mounted ConfigMap; without it, the tier waits.").PlaceHolder("PATH").StringVar(&f.initial)
	c.Flag("config.pull-patience", "How long to wait at the start for the first configuration.").Default("5m").DurationVar(&f.patience)
	f.kubeFlags.register(c)
	c.PreAction(func(*kingpin.ParseContext) error {
		if f.folder == "" {
			return nil
		}
		return f.start()
	})
}

// start fetches what the tier begins with.
func (f *pullFlags) start() error {
	if err := f.complete(); err != nil {
		return err
	}
	server, err := kube.Connect(f.kubeconfig)
	if err != nil {
		return fmt.Errorf("--kube.config: %w", err)
	}
	p, err := kube.NewPuller(server, f.kube, f.folder)
	if err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil)) // the flags of logging are not parsed yet
	if f.follower, err = kube.NewFollower(p, f.to, f.initial, logger.With("part", "config")); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), f.patience)
	defer cancel()
	return f.follower.Start(ctx, f.check)
}

// check says whether a leaf could load what was fetched.
func (f *pullFlags) check() error {
	folder := filepath.Join(f.to, "current", filepath.FromSlash(f.folder))
	if limits := filepath.Join(folder, "limits.yml"); exists(limits) {
		tier, _, _ := strings.Cut(f.folder, "/")
		if _, err := readLimits(gitplanet.Tier(tier), limits); err != nil {
			return err
		}
	}
	file := filepath.Join(folder, "prometheus.yml")
	if !exists(file) {
		return nil // a tier without
	}
	_, err := leaf.CheckConfig(file)
	return err
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// before returns a function that fetches, and then reloads.
func (f *pullFlags) before(reload func() error) func() error {
	if f.follower == nil {
		return reload
	}
	return func() error { return f.follower.Reload(reload) }
}

// tell has the metrics say which revision was loaded.
func (f *pullFlags) tell(reg prometheus.Registerer) error {
	if f.follower == nil {
		return nil
	}
	return f.follower.Register(reg)
}
