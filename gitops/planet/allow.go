package planet

import (
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// allowed is what configuration from git may make a leaf do. What is not in it is
// refused: whoever can commit must not thereby read a leaf's files or reach what
// only the leaf can reach.
type allowed struct {
	Files     []string `yaml:"files"`
	Hosts     []string `yaml:"hosts"`
	Discovery []string `yaml:"discovery"`

	cap *Cap // nil for none
}

// discovery returns the kinds of discovery that are allowed.
func (a allowed) discovery() []string {
	if a.Discovery == nil {
		return []string{"static", "kubernetes", "dns"}
	}
	return a.Discovery
}

// file reports whether a file may be read.
func (a allowed) file(name string) bool {
	return coversFile(a.Files, name) && a.cap.file(name)
}

// coversFile reports whether a file is on a list, or in a folder on it.
func coversFile(list []string, name string) bool {
	return slices.ContainsFunc(list, func(f string) bool {
		if strings.HasSuffix(f, "/") {
			return strings.HasPrefix(name, f) && path.Clean(name) == name
		}
		return name == f
	})
}

// host reports whether a host is named.
func (a allowed) host(name string) bool {
	return coversHost(a.Hosts, name) && a.cap.host(name)
}

// coversHost reports whether a host is on a list, or in a domain on it.
func coversHost(list []string, name string) bool {
	return slices.ContainsFunc(list, func(h string) bool {
		if domain, ok := strings.CutPrefix(h, "*"); ok {
			return strings.HasSuffix(strings.ToLower(name), strings.ToLower(domain))
		}
		return strings.EqualFold(name, h)
	})
}

// secrets are fields that hold a secret itself.
func secrets() []string {
	return []string{"password", "credentials", "bearer_token", "client_secret", "secret_key", "client_certificate_key", "secrets", "proxy_connect_header"}
}

// check returns what is not allowed below a node. The parent is the key that the
// node is under.
func (a allowed) check(n *yaml.Node, parent string) (faults []fault) {
	add := func(n *yaml.Node, format string, args ...any) {
		faults = append(faults, fault{n, fmt.Sprintf(format, args...)})
	}
	if n.Kind == yaml.SequenceNode {
		for _, c := range n.Content {
			faults = append(faults, a.check(c, parent)...)
		}
		return faults
	}
	keys(n, func(k, v *yaml.Node) {
		name := k.Value
		switch {
		case name == "params" && parent == "": // of the job's URL
			return
		case name == "labels" && parent == "static_configs":
			a.checkLabels(v, add)
			return
		case name == "http_headers": // what a header is called says nothing of what it is
			keys(v, func(_, header *yaml.Node) { faults = append(faults, a.check(header, name)...) })
			return
		case strings.HasSuffix(name, "log_file"):
			add(k, "%s makes the leaf write a file: it cannot be set from git", name)
		case strings.HasSuffix(name, "_file") || name == "files":
			a.checkFiles(name, v, add)
		case slices.Contains(secrets(), name) || name == "key" && parent == "tls_config":
			add(k, "%s holds a secret, which must not be in git: mount it as a file, name it in %s_file, and allow that in allow.files of planet.yaml", name, name)
		case slices.Contains([]string{"url", "proxy_url", "token_url", "api_server"}, name) && v.Kind == yaml.ScalarNode:
			a.checkURL(name, v, add)
		case strings.HasSuffix(name, "_sd_configs") || name == "static_configs":
			a.checkDiscovery(k, add)
		case name == "targets" && parent == "static_configs":
			for _, t := range v.Content {
				a.checkTarget(t, t.Value, add)
			}
		}
		faults = append(faults, a.check(v, name)...)
	})
	if parent == "relabel_configs" {
		a.checkRelabeling(n, add)
	}
	return faults
}

// adding notes a fault.
type adding func(n *yaml.Node, format string, args ...any)

func (a allowed) checkFiles(name string, v *yaml.Node, add adding) {
	nodes := []*yaml.Node{v}
	if v.Kind == yaml.SequenceNode {
		nodes = v.Content
	}
	for _, n := range nodes {
		if n.Kind == yaml.ScalarNode && n.Value != "" && !a.file(n.Value) {
			add(n, "%s names %s, which configuration from git may not read: add it to allow.files of planet.yaml%s, or change it", name, shortened(n.Value), a.cap.also("file", a.cap.file(n.Value)))
		}
	}
}

func (a allowed) checkURL(name string, n *yaml.Node, add adding) {
	u, err := url.Parse(n.Value)
	if name == "api_server" && n.Value != "" && (err != nil || u.Host == "") {
		// As the client of Kubernetes reads what has no scheme.
		if u, err = url.Parse("http://" + n.Value); err != nil || u.Host == "" {
			add(n, "%s is %s: write it as https://HOST:PORT", name, shortened(n.Value))
			return
		}
	}
	if err != nil || u.Host == "" {
		return // Prometheus says what is wrong with it, or it is not a URL
	}
	if u.User != nil {
		add(n, "%s has a password, which must not be in git: take it out", name)
	}
	if !a.host(u.Hostname()) {
		add(n, "%s names the host %s, which configuration from git may not ask: add it to allow.hosts of planet.yaml%s, or change it", name, shortened(u.Hostname()), a.cap.also("host", a.cap.host(u.Hostname())))
	}
}

func (a allowed) checkDiscovery(k *yaml.Node, add adding) {
	kind := strings.TrimSuffix(strings.TrimSuffix(k.Value, "_configs"), "_sd")
	if !(slices.Contains(a.discovery(), kind) && a.cap.finds(kind)) && slices.Contains([]string{"static", "kubernetes", "dns", "http", "file"}, kind) {
		add(k, "%s: discovery of kind %s is not allowed: add it to allow.discovery of planet.yaml%s, or find the targets otherwise", k.Value, kind, a.cap.also("discovery", a.cap.finds(kind)))
	}
}
