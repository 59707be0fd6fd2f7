package kube

import (
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Connect reads how the API server is reached from a kubeconfig file, or, if its
// name is empty, from what a pod has. It does not talk to the API server.
func Connect(kubeconfig string) (*rest.Config, error) {
	return clientcmd.BuildConfigFromFlags("", kubeconfig)
}
