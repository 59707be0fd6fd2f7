package kube

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"regexp"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Config says where to deliver to.
type Config struct {
	// Namespace is the only one in which anything is read or written.
	Namespace string
	// Name is the first word of the names of all that is not a workload, and
	// tells deliverers of one namespace apart.
	Name string
	// FieldManager owns the fields that are applied.
	FieldManager string
	// Timeout bounds each request to the API server, and each question to a pod.
	Timeout time.Duration
	// ReloadTimeout bounds a pod's loading of its configuration.
	ReloadTimeout time.Duration
	// QPS bounds the requests to the API server, Burst those in a row.
	QPS   float32
	Burst int
	// Keep is how many contents of the past stay, beside the current.
	Keep int
	// PodScheme and PodPort are where pods serve HTTP. A container's port of name
	// http goes before PodPort.
	PodScheme string
	PodPort   int
	// Lease is how long a loop that went away holds the lease. It is renewed six times
	// as often.
	Lease time.Duration
}

// DefaultConfig lacks the namespace.
func DefaultConfig() Config {
	return Config{
		Name: "pando", FieldManager: "pando-gitops", Timeout: 10 * time.Second, ReloadTimeout: 2 * time.Minute,
		QPS: 20, Burst: 40, Keep: 3, PodScheme: "http", PodPort: 9090, Lease: 30 * time.Second,
	}
}

// dnsLabel is what names of namespaces and the like are.
var dnsLabel = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$`)

// Validate says what to change.
func (c Config) Validate() error {
	var errs []error
	add := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf("delivery into Kubernetes: "+format, args...))
		}
	}
	add(c.Namespace == "", "the namespace is missing")
	add(!dnsLabel.MatchString(c.Name), "name %q must be a word of at most 40 lower-case letters, digits and dashes", c.Name)
	add(c.FieldManager == "" || len(c.FieldManager) > 128, "the field manager needs a name of at most 128 bytes")
	add(c.Timeout < time.Second || c.ReloadTimeout < time.Second, "requests need a second at least, not %s and %s", c.Timeout, c.ReloadTimeout)
	add(c.QPS <= 0 || c.Burst <= 0, "%g requests a second, %d in a row: both must be above 0", c.QPS, c.Burst)
	add(c.Keep < 1 || c.Keep > 20, "contents to keep must be 1 to 20, not %d", c.Keep)
	add(c.PodScheme != "http" && c.PodScheme != "https", "pods serve http or https, not %q", c.PodScheme)
	add(c.PodPort < 1 || c.PodPort > 65535, "%d is not a port", c.PodPort)
	add(c.Lease < 2*time.Second || c.Lease > 10*time.Minute, "the lease must be of 2 s to 10 min, not %s", c.Lease)
	return errors.Join(errs...)
}

// Deps are what a Deliverer works with; none is needed.
type Deps struct {
	// Templates holds the manifests of workloads in a folder for each role: leaf,
	// zone, root and gitops. Without them, no workloads are managed.
	Templates fs.FS
	// Pods talks to pods; nil is a client without proxy.
	Pods       *http.Client
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time
}

func (d Deps) withDefaults() Deps {
	if d.Pods == nil {
		d.Pods = &http.Client{
			Transport:     &http.Transport{MaxIdleConns: 64, IdleConnTimeout: 30 * time.Second},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	if d.Registerer == nil {
		d.Registerer = prometheus.NewRegistry()
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	return d
}

func (c Config) pointer() string   { return c.Name + "-config" }
func (c Config) inventory() string { return c.Name + "-gitops-inventory" }
func (c Config) status() string    { return c.Name + "-gitops-status" }
func (c Config) lease() string     { return c.Name + "-gitops" }

// Labels of what is made here, and of pods.
const (
	labelManagedBy = "app.kubernetes.io/managed-by"
	labelName      = "app.kubernetes.io/name"
	labelComponent = "app.kubernetes.io/component"
	labelPartOf    = "app.kubernetes.io/part-of"
	labelOwner     = "pandometrics.github.io/owner"
	labelZone      = "pandometrics.github.io/zone"
	labelContent   = "pandometrics.github.io/content"

	managedBy = "pando-gitops"
)
