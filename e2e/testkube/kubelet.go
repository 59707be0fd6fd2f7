package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/netip"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

const nodeName = "testkube-node"

// kubelet stands in for scheduler and kubelet: it binds every pod to its one
// node, gives it an address and reports on it. With run it also runs the pod's
// containers as local processes, and probes them.
type kubelet struct {
	cs   kubernetes.Interface
	cidr netip.Prefix
	run  bool
	dir  string
	// images maps a container image, without its tag, to the local program that
	// is its entry point.
	images map[string]string
	// resolver is the address of a name server for pods, api of the API server.
	resolver string
	apiPort  int

	mu   sync.Mutex
	next netip.Addr
	ips  map[types.UID]netip.Addr
	pods map[types.UID]*podWorker
}

// start registers the node and follows pods and claims until ctx ends.
func (k *kubelet) start(ctx context.Context) error {
	k.next = k.cidr.Addr().Next().Next() // the first is the node's own
	k.ips, k.pods = map[types.UID]netip.Addr{}, map[types.UID]*podWorker{}
	if err := k.register(ctx); err != nil {
		return err
	}
	f := informers.NewSharedInformerFactory(k.cs, 0)
	var known sync.Once // addresses of a former run are taken before any is given
	if _, err := f.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(o any) {
			known.Do(func() { k.adopt(ctx) })
			k.sync(ctx, o.(*corev1.Pod))
		},
		UpdateFunc: func(_, o any) { k.sync(ctx, o.(*corev1.Pod)) },
		DeleteFunc: func(o any) {
			if d, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = d.Obj
			}
			if p, ok := o.(*corev1.Pod); ok {
				go k.forget(p.UID)
			}
		},
	}); err != nil {
		return err
	}
	if _, err := f.Core().V1().PersistentVolumeClaims().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { k.claim(ctx, o.(*corev1.PersistentVolumeClaim)) },
		UpdateFunc: func(_, o any) { k.claim(ctx, o.(*corev1.PersistentVolumeClaim)) },
	}); err != nil {
		return err
	}
	f.Start(ctx.Done())
	f.WaitForCacheSync(ctx.Done())
	return nil
}

func (k *kubelet) register(ctx context.Context) error {
	nodes := k.cs.CoreV1().Nodes()
	n, err := nodes.Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: nodeName, Labels: map[string]string{
		"kubernetes.io/hostname": nodeName, "kubernetes.io/os": "linux", "topology.kubernetes.io/zone": "zone-a",
	}}}, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		n, err = nodes.Get(ctx, nodeName, metav1.GetOptions{})
	}
	if err != nil {
		return fmt.Errorf("register node: %w", err)
	}
	n.Status.Capacity = corev1.ResourceList{"cpu": resource.MustParse("64"), "memory": resource.MustParse("256Gi"), "pods": resource.MustParse("1000")}
	n.Status.Allocatable = n.Status.Capacity
	n.Status.Conditions = []corev1.NodeCondition{{
		Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady",
		LastHeartbeatTime: metav1.Now(), LastTransitionTime: metav1.Now(),
	}}
	_, err = nodes.UpdateStatus(ctx, n, metav1.UpdateOptions{})
	return err
}

// adopt takes the addresses of pods that a former process ran.
func (k *kubelet) adopt(ctx context.Context) {
	all, err := k.cs.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		log.Printf("list pods: %v", err)
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range all.Items {
		if a, err := netip.ParseAddr(p.Status.PodIP); err == nil && k.cidr.Contains(a) {
			k.ips[p.UID] = a
			if !a.Less(k.next) {
				k.next = a.Next()
			}
		}
	}
}

func (k *kubelet) addr(uid types.UID) netip.Addr {
	k.mu.Lock()
	defer k.mu.Unlock()
	a, ok := k.ips[uid]
	if !ok {
		a = k.next
		k.next = k.next.Next()
		k.ips[uid] = a
	}
	return a
}

// forget ends what runs of a pod, and returns once it has ended.
func (k *kubelet) forget(uid types.UID) {
	k.mu.Lock()
	w := k.pods[uid]
	delete(k.pods, uid)
	delete(k.ips, uid)
	k.mu.Unlock()
	if w != nil {
		w.stop()
	}
}

// stopAll ends all pods.
func (k *kubelet) stopAll() {
	k.mu.Lock()
	all := k.pods
	k.pods = map[types.UID]*podWorker{}
	k.mu.Unlock()
	var wg sync.WaitGroup
	for _, w := range all {
		wg.Go(w.stop)
	}
	wg.Wait()
}

func (k *kubelet) sync(ctx context.Context, p *corev1.Pod) {
	if err := k.syncPod(ctx, p); err != nil && ctx.Err() == nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		log.Printf("pod %s/%s: %v", p.Namespace, p.Name, err)
	}
}

func (k *kubelet) syncPod(ctx context.Context, p *corev1.Pod) error {
	pods := k.cs.CoreV1().Pods(p.Namespace)
	if p.DeletionTimestamp != nil {
		go func() { // others go on while this one takes its time to end
			k.forget(p.UID)
			zero := int64(0)
			err := pods.Delete(ctx, p.Name, metav1.DeleteOptions{GracePeriodSeconds: &zero, Preconditions: &metav1.Preconditions{UID: &p.UID}})
			if err != nil && ctx.Err() == nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
				log.Printf("pod %s/%s: %v", p.Namespace, p.Name, err)
			}
		}()
		return nil
	}
	if p.Spec.NodeName == "" {
		return pods.Bind(ctx, &corev1.Binding{
			ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name, UID: p.UID},
			Target:     corev1.ObjectReference{Kind: "Node", Name: nodeName},
		}, metav1.CreateOptions{})
	}
	if p.Spec.NodeName != nodeName {
		return nil
	}
	if !k.run {
		if p.Status.Phase == corev1.PodRunning {
			return nil
		}
		return k.report(ctx, p, k.addr(p.UID), allReady(p))
	}
	ip := k.addr(p.UID)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pods[p.UID] == nil {
		k.pods[p.UID] = k.startPod(ctx, p.DeepCopy(), ip)
	}
	return nil
}

// containerState is what is known of one container.
type containerState struct {
	ready    bool
	restarts int32
	started  time.Time
	waiting  string // why it does not run, if it does not
}

func allReady(p *corev1.Pod) []containerState {
	out := make([]containerState, len(p.Spec.Containers))
	for i := range out {
		out[i] = containerState{ready: true, started: time.Now()}
	}
	return out
}

// report writes a pod's status.
func (k *kubelet) report(ctx context.Context, p *corev1.Pod, ip netip.Addr, states []containerState) error {
	now := metav1.Now()
	st := corev1.PodStatus{Phase: corev1.PodRunning, HostIP: k.cidr.Addr().Next().String(), PodIP: ip.String(), PodIPs: []corev1.PodIP{{IP: ip.String()}}, StartTime: &now}
	ready := corev1.ConditionTrue
	for i, c := range p.Spec.Containers {
		s := states[i]
		started := !s.started.IsZero()
		cs := corev1.ContainerStatus{Name: c.Name, Image: c.Image, Ready: s.ready, RestartCount: s.restarts, Started: &started}
		if started {
			cs.State.Running = &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(s.started)}
		} else {
			cs.State.Waiting = &corev1.ContainerStateWaiting{Reason: "ContainerCreating", Message: s.waiting}
			st.Phase = corev1.PodPending
		}
		if !s.ready {
			ready = corev1.ConditionFalse
		}
		st.ContainerStatuses = append(st.ContainerStatuses, cs)
	}
	st.Conditions = []corev1.PodCondition{
		{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: now},
		{Type: corev1.PodInitialized, Status: corev1.ConditionTrue, LastTransitionTime: now},
		{Type: corev1.ContainersReady, Status: ready, LastTransitionTime: now},
		{Type: corev1.PodReady, Status: ready, LastTransitionTime: now},
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": p.UID}, "status": st})
	if err != nil {
		return err
	}
	_, err = k.cs.CoreV1().Pods(p.Namespace).Patch(ctx, p.Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	return err
}
