package main

import (
	"context"
	"os"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/controller-manager/pkg/informerfactory"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/certificates/rootcacertpublisher"
	"k8s.io/kubernetes/pkg/controller/deployment"
	"k8s.io/kubernetes/pkg/controller/endpointslice"
	"k8s.io/kubernetes/pkg/controller/garbagecollector"
	"k8s.io/kubernetes/pkg/controller/namespace"
	"k8s.io/kubernetes/pkg/controller/replicaset"
	"k8s.io/kubernetes/pkg/controller/serviceaccount"
	"k8s.io/kubernetes/pkg/controller/statefulset"
)

// runControllers runs those controllers of kube-controller-manager that a
// StatefulSet, a Deployment, a Service and a Namespace need, without the
// command around them (about 300 packages fewer to compile).
func runControllers(ctx context.Context, cfg *rest.Config, pki *pkiFiles) error {
	cfg = rest.CopyConfig(cfg)
	cs, err := kubernetes.NewForConfig(rest.AddUserAgent(cfg, "controllers"))
	if err != nil {
		return err
	}
	md, err := metadata.NewForConfig(cfg)
	if err != nil {
		return err
	}
	inf := informers.NewSharedInformerFactory(cs, 0)
	mdInf := metadatainformer.NewSharedInformerFactory(md, 0)
	started := make(chan struct{})
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(cs.Discovery()))

	core, apps := inf.Core().V1(), inf.Apps().V1()
	sts := statefulset.NewStatefulSetController(ctx, core.Pods(), apps.StatefulSets(), core.PersistentVolumeClaims(), apps.ControllerRevisions(), cs)
	rs := replicaset.NewReplicaSetController(ctx, apps.ReplicaSets(), core.Pods(), cs, replicaset.BurstReplicas)
	dep, err := deployment.NewDeploymentController(ctx, apps.Deployments(), apps.ReplicaSets(), core.Pods(), cs)
	if err != nil {
		return err
	}
	eps := endpointslice.NewController(ctx, core.Pods(), core.Services(), core.Nodes(), inf.Discovery().V1().EndpointSlices(), 100, cs, 0)
	ns := namespace.NewNamespaceController(ctx, cs, md, cs.Discovery().ServerPreferredNamespacedResources, core.Namespaces(), 5*time.Minute, corev1.FinalizerKubernetes)
	sa, err := serviceaccount.NewServiceAccountsController(klog.FromContext(ctx), core.ServiceAccounts(), core.Namespaces(), cs, serviceaccount.DefaultServiceAccountsControllerOptions())
	if err != nil {
		return err
	}
	gc, err := garbagecollector.NewGarbageCollector(ctx, cs, md, mapper, garbagecollector.DefaultIgnoredResources(), informerfactory.NewInformerFactory(inf, mdInf), started)
	if err != nil {
		return err
	}
	ca, err := os.ReadFile(pki.ca)
	if err != nil {
		return err
	}
	rootCA, err := rootcacertpublisher.NewPublisher(core.ConfigMaps(), core.Namespaces(), cs, ca)
	if err != nil {
		return err
	}
	inf.Start(ctx.Done())
	mdInf.Start(ctx.Done())
	close(started)
	var wg sync.WaitGroup
	for _, f := range []func(){
		func() { sts.Run(ctx, 4) }, func() { rs.Run(ctx, 2) }, func() { dep.Run(ctx, 2) },
		func() { eps.Run(ctx, 2) }, func() { ns.Run(ctx, 2) }, func() { sa.Run(ctx, 1) }, func() { rootCA.Run(ctx, 1) },
		func() { gc.Run(ctx, 4, 30*time.Second) }, func() { gc.Sync(ctx, cs.Discovery(), 30*time.Second) },
	} {
		wg.Add(1)
		go func() { defer wg.Done(); f() }()
	}
	wg.Wait()
	return nil
}
