// Package kubetest runs real Kubernetes control planes for tests, without
// containers and without a cluster.
//
//	func TestMain(m *testing.M) { os.Exit(kubetest.Main(m)) }
//
//	c := kubetest.Start(t, kubetest.Config{Number: 1, Images: map[string]string{
//		"ghcr.io/pandometrics/pando": kubetest.Pando(t),
//	}})
//	cfg, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
//
// Each is a process of e2e/testkube: an API server, its etcd, the controllers of
// workloads, and a stand-in for kubelet and cluster DNS, which runs containers
// as local processes with addresses of their own. It is built by
// e2e/testkube/build.sh the first time, and kept outside the work tree.
//
// Main moves the tests into a network of their own, in which all of 10.77.0.0/16
// is local, so that nothing of the machine is touched and pods can listen on the
// ports that they have in production. It takes Linux, and root or a kernel that
// lets users have namespaces.
package kubetest
