// Package kube delivers configuration, and the workloads that read it, into one
// namespace of a Kubernetes cluster.
//
//	d, err := kube.New(restConfig, kube.DefaultConfig(), kube.Deps{Templates: deploy.Workloads()})
//	loop, err := gitops.New(cfg, gitops.Deps{Deliverer: d, Confirmer: d, …})
//	err = d.Lead(ctx, "pod-0", loop.Run)
//
// What a revision is made of lies in immutable ConfigMaps whose names carry the
// hash of what is in them. One small ConfigMap, the pointer, names those of the
// revision in effect; it is replaced by one write, so that a cluster runs one
// revision or another, and none that is mixed:
//
//	pando-config               {"revision": …, "folders": {"leaf": {"content": …, "parts": […]}}}
//	pando-config-leaf-4f1e…-0  index.json, prometheus.yml, rules_requests.yml
//	pando-gitops-inventory     what this package has made, and thus may remove
//	pando-gitops-status        what the loop tells of itself
//
// Nothing is mounted, so that no pod restarts and no kubelet has to be waited
// for: a pod that is told to reload (POST /-/reload) fetches what the pointer
// names (Follower), checks it against the hash, and loads it; if it cannot, it
// goes on with what it had, and says why. What it loaded last is on its own
// disk, so that it starts without the API server too.
//
// All writes are server-side applies under one field manager. The invariants:
//
//   - An object that this package has not made is neither changed nor removed.
//     Volume claims are never touched.
//   - A field that another manager took is taken back, and told; fields that the
//     templates do not mention belong to whoever sets them.
//   - If nothing has changed, nothing is written.
//   - What says nothing about a revision (the API server is away, a permission
//     is missing) is a gitops.UnavailableError, and never has one given up.
//
// It does not grant rights: accounts, roles and namespaces come from whoever
// installs the loop, not from git.
package kube
