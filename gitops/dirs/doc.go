// Package dirs delivers configuration as folders on a disk, for workloads that
// do not run in Kubernetes.
//
//	BASE/revisions/3fa9…/leaf/prometheus.yml, leaf/rules/…, leaf/revision
//	BASE/revisions/77c1…/…
//	BASE/current -> revisions/3fa9…
//
// A folder is named by the hash of what it holds and is never changed once it
// has its name. The workload reads through the link current, which is replaced
// by one rename. So at every moment, and after a power cut at any moment,
// current leads to one whole revision. A workload that reads several files
// while the link is replaced tells so by the file revision, which it reads
// before and after; see package leaf.
package dirs
