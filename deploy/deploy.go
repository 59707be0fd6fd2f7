// Package deploy holds the manifests by which Pando runs in Kubernetes, and what
// is looked at while it does: dashboards and alerts. People apply the manifests
// with kubectl apply -k; the control loop takes them from here.
package deploy

import (
	"embed"
	"io/fs"
)

//go:embed base/leaf base/zone base/root base/gitops
var manifests embed.FS

// Workloads returns the manifests of each role in a folder of its name: leaf, zone,
// root and gitops. They are complete objects in plain YAML, several in a file; what
// is peculiar to a cluster comes from ConfigMaps that they name. A folder's
// kustomization.yaml is no manifest.
func Workloads() fs.FS {
	sub, err := fs.Sub(manifests, "base")
	if err != nil {
		return manifests // not possible: base is a valid path
	}
	return sub
}
