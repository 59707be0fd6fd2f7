// Package gitops makes what runs in one cluster match a git repository.
package gitops
