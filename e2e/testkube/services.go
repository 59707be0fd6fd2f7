package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
)

// firstServiceAddress is the last byte of the first address that a Service gets:
// those below are for pods.
const firstServiceAddress = 200

// services stand in for kube-proxy and load balancers: a Service that is not
// headless has an address of its own, at which its ports are there, and no others.
// They are opened when its name is looked up, which is when somebody needs them.
type services struct {
	cs   kubernetes.Interface
	cidr netip.Prefix

	mu   sync.Mutex
	next byte
	all  map[types.UID]*service
}

// service is one Service's address, with the ports that are open.
type service struct {
	addr  netip.Addr
	ports map[int32]net.Listener
}

// address returns that of a Service, with its ports open; none for a headless one.
func (s *services) address(ctx context.Context, svc *corev1.Service) (netip.Addr, error) {
	if svc.Spec.ClusterIP == corev1.ClusterIPNone {
		return netip.Addr{}, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.all[svc.UID]
	if v == nil {
		bytes := s.cidr.Addr().As4()
		if bytes[3] = firstServiceAddress + s.next; bytes[3] < firstServiceAddress || bytes[3] == 255 {
			return netip.Addr{}, errors.New("there are no more addresses for Services")
		}
		s.next++
		v = &service{addr: netip.AddrFrom4(bytes), ports: map[int32]net.Listener{}}
		s.all[svc.UID] = v
	}
	wanted := map[int32]bool{}
	for _, p := range svc.Spec.Ports {
		wanted[p.Port] = true
		if v.ports[p.Port] != nil {
			continue
		}
		l, err := net.Listen("tcp", net.JoinHostPort(v.addr.String(), fmt.Sprint(p.Port)))
		if err != nil {
			return netip.Addr{}, fmt.Errorf("port %d of Service %s: %w", p.Port, svc.Name, err)
		}
		v.ports[p.Port] = l
		context.AfterFunc(ctx, func() { l.Close() })
		go s.serve(ctx, l, svc.Namespace, svc.Name, p.Port)
	}
	for port, l := range v.ports {
		if !wanted[port] {
			l.Close()
			delete(v.ports, port)
		}
	}
	return v.addr, nil
}

// serve takes connections to one port of a Service.
func (s *services) serve(ctx context.Context, l net.Listener, namespace, name string, port int32) {
	for {
		from, err := l.Accept()
		if err != nil {
			return // it was closed
		}
		go func() {
			defer from.Close()
			to, err := s.dial(ctx, namespace, name, port)
			if err != nil {
				log.Printf("service %s/%s, port %d: %v", namespace, name, port, err)
				return
			}
			defer to.Close()
			join(ctx, from.(*net.TCPConn), to.(*net.TCPConn))
		}()
	}
}

// join copies both ways until both have ended.
func join(ctx context.Context, a, b *net.TCPConn) {
	stop := context.AfterFunc(ctx, func() { a.Close(); b.Close() })
	defer stop()
	var wg sync.WaitGroup
	for _, way := range [][2]*net.TCPConn{{a, b}, {b, a}} {
		wg.Go(func() {
			if _, err := io.Copy(way[1], way[0]); err != nil { // one of them is gone: so is the other
				a.Close()
				b.Close()
			}
			_ = way[1].CloseWrite()
		})
	}
	wg.Wait()
}

// dial connects to a pod behind a port of a Service.
func (s *services) dial(ctx context.Context, namespace, name string, port int32) (net.Conn, error) {
	svc, err := s.cs.CoreV1().Services(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(svc.Spec.Ports, func(p corev1.ServicePort) bool { return p.Port == port })
	if i < 0 {
		return nil, errors.New("the Service has it no more")
	}
	slicesOf, err := s.cs.DiscoveryV1().EndpointSlices(namespace).List(ctx, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + name})
	if err != nil {
		return nil, err
	}
	err = errors.New("no pod is ready")
	for _, sl := range slicesOf.Items {
		for _, p := range sl.Ports {
			if p.Port == nil || p.Name == nil || *p.Name != svc.Spec.Ports[i].Name {
				continue
			}
			for _, e := range sl.Endpoints {
				var conn net.Conn
				if conn, err = s.reach(ctx, svc, e, *p.Port); err == nil {
					return conn, nil
				}
			}
		}
	}
	return nil, err
}

// reach connects to one pod; from outside of the cluster, if its NetworkPolicies
// let anybody in there.
func (s *services) reach(ctx context.Context, svc *corev1.Service, e discoveryv1.Endpoint, port int32) (net.Conn, error) {
	if e.Conditions.Ready != nil && !*e.Conditions.Ready {
		return nil, errors.New("no pod is ready")
	}
	if svc.Spec.Type == corev1.ServiceTypeLoadBalancer && e.TargetRef != nil {
		pod, err := s.cs.CoreV1().Pods(svc.Namespace).Get(ctx, e.TargetRef.Name, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		policies, err := s.cs.NetworkingV1().NetworkPolicies(svc.Namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, err
		}
		if !letsIn(policies.Items, pod, port) {
			return nil, fmt.Errorf("no NetworkPolicy lets others than this cluster's pods connect to port %d of pod %s", port, pod.Name)
		}
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", net.JoinHostPort(e.Addresses[0], strconv.Itoa(int(port))))
}

// letsIn tells whether anybody may connect to a port of a pod: no policy is about
// the pod, or one of them has a rule for that port which names no source.
func letsIn(policies []networkingv1.NetworkPolicy, pod *corev1.Pod, port int32) bool {
	about := false
	for _, p := range policies {
		selector, err := metav1.LabelSelectorAsSelector(&p.Spec.PodSelector)
		if err != nil || !selector.Matches(labels.Set(pod.Labels)) || !slices.Contains(p.Spec.PolicyTypes, networkingv1.PolicyTypeIngress) {
			continue
		}
		about = true
		for _, rule := range p.Spec.Ingress {
			if len(rule.From) == 0 && (len(rule.Ports) == 0 || slices.ContainsFunc(rule.Ports, func(r networkingv1.NetworkPolicyPort) bool {
				return r.Port == nil || numberOf(pod, *r.Port) == fmt.Sprint(port)
			})) {
				return true
			}
		}
	}
	return !about
}

// numberOf resolves a port of any container of a pod.
func numberOf(pod *corev1.Pod, p intstr.IntOrString) string {
	for _, c := range pod.Spec.Containers {
		if n := portOf(c, p); n != p.StrVal || p.Type == intstr.Int {
			return n
		}
	}
	return p.String()
}
