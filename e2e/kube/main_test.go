// Package kube_test applies the manifests of deploy/ to real Kubernetes API
// servers, and lets what they describe run: real Pando processes, with the
// addresses, names, secrets, accounts and volumes that their pods have.
package kube_test

import (
	"os"
	"testing"

	"github.com/pandometrics/pando/e2e/kubetest"
)

func TestMain(m *testing.M) { os.Exit(kubetest.Main(m)) }

// image is the one that the manifests name.
const image = "ghcr.io/pandometrics/pando"
