package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

const (
	clusterDomain = ".svc.cluster.local"
	// hostnameAnnotation is external-dns', by which a Service gets a name that
	// other clusters know too.
	hostnameAnnotation = "external-dns.alpha.kubernetes.io/hostname"
)

// nameServer answers for the names of Services, for names that they are given in
// public DNS, and asks those of other clusters for the rest.
type nameServer struct {
	cs       kubernetes.Interface
	services *services
	peers    []string
	conn     net.PacketConn
}

func (s *nameServer) serve(ctx context.Context) {
	go func() { <-ctx.Done(); s.conn.Close() }()
	buf := make([]byte, 1500)
	for {
		n, from, err := s.conn.ReadFrom(buf)
		if err != nil {
			if ctx.Err() == nil {
				log.Printf("name server: %v", err)
			}
			return
		}
		msg := slices.Clone(buf[:n])
		go func() {
			out, err := s.answer(ctx, msg)
			if err != nil {
				log.Printf("name server: %v", err)
				return
			}
			_, _ = s.conn.WriteTo(out, from)
		}()
	}
}

func (s *nameServer) answer(ctx context.Context, msg []byte) ([]byte, error) {
	var p dnsmessage.Parser
	h, err := p.Start(msg)
	if err != nil {
		return nil, err
	}
	q, err := p.Question()
	if err != nil {
		return nil, err
	}
	name := strings.ToLower(strings.TrimSuffix(q.Name.String(), "."))
	addrs, known, err := s.lookup(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", name, err)
	}
	// What another asks is not passed on again, or two would ask each other for ever.
	if !known && !strings.HasSuffix(name, ".cluster.local") && h.RecursionDesired {
		for _, peer := range s.peers {
			if out, rcode := ask(peer, msg); rcode == dnsmessage.RCodeSuccess {
				return out, nil
			}
		}
	}
	out := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: h.ID, Response: true, Authoritative: true, RecursionDesired: h.RecursionDesired, RecursionAvailable: true},
		Questions: []dnsmessage.Question{q},
	}
	if !known {
		out.RCode = dnsmessage.RCodeNameError
	}
	if q.Type == dnsmessage.TypeA {
		for _, a := range addrs {
			out.Answers = append(out.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET, TTL: 1},
				Body:   &dnsmessage.AResource{A: a.As4()},
			})
		}
	}
	return out.Pack()
}

// ask puts a question to another name server, not to be passed on.
func ask(server string, msg []byte) ([]byte, dnsmessage.RCode) {
	msg = slices.Clone(msg)
	msg[2] &^= 1 // recursion desired
	conn, err := net.DialTimeout("udp", server, time.Second)
	if err != nil {
		return nil, dnsmessage.RCodeServerFailure
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	if _, err := conn.Write(msg); err != nil {
		return nil, dnsmessage.RCodeServerFailure
	}
	buf := make([]byte, 1500)
	n, err := conn.Read(buf)
	if err != nil {
		return nil, dnsmessage.RCodeServerFailure
	}
	var p dnsmessage.Parser
	h, err := p.Start(buf[:n])
	if err != nil {
		return nil, dnsmessage.RCodeServerFailure
	}
	return buf[:n], h.RCode
}

// lookup returns the addresses of a name, and whether it is one.
func (s *nameServer) lookup(ctx context.Context, name string) ([]netip.Addr, bool, error) {
	if inside, ok := strings.CutSuffix(name, clusterDomain); ok {
		parts := strings.Split(inside, ".")
		switch len(parts) {
		case 2:
			return s.service(ctx, parts[1], parts[0])
		case 3:
			return s.endpoints(ctx, parts[2], parts[1], parts[0])
		}
		return nil, false, nil
	}
	all, err := s.cs.CoreV1().Services("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, false, err
	}
	var out []netip.Addr
	known := false
	for _, svc := range all.Items {
		if !slices.Contains(strings.Split(svc.Annotations[hostnameAnnotation], ","), name) {
			continue
		}
		known = true
		if svc.Spec.Type != corev1.ServiceTypeLoadBalancer {
			continue // it has no address that others reach
		}
		a, err := s.services.address(ctx, &svc)
		if err != nil {
			return nil, false, err
		}
		out = append(out, a)
	}
	return out, known, nil
}

// service returns the address of a Service, or those of its pods if it is headless.
func (s *nameServer) service(ctx context.Context, namespace, name string) ([]netip.Addr, bool, error) {
	svc, err := s.cs.CoreV1().Services(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	a, err := s.services.address(ctx, svc)
	if err != nil || a.IsValid() {
		return []netip.Addr{a}, true, err
	}
	return s.endpoints(ctx, namespace, name, "")
}

func (s *nameServer) endpoints(ctx context.Context, namespace, service, hostname string) ([]netip.Addr, bool, error) {
	slicesOf, err := s.cs.DiscoveryV1().EndpointSlices(namespace).List(ctx, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + service})
	if err != nil {
		return nil, false, err
	}
	var out []netip.Addr
	for _, sl := range slicesOf.Items {
		for _, e := range sl.Endpoints {
			if e.Conditions.Ready != nil && !*e.Conditions.Ready || hostname != "" && (e.Hostname == nil || *e.Hostname != hostname) {
				continue
			}
			for _, a := range e.Addresses {
				if ip, err := netip.ParseAddr(a); err == nil && ip.Is4() && !slices.Contains(out, ip) {
					out = append(out, ip)
				}
			}
		}
	}
	return out, len(slicesOf.Items) > 0 && (hostname == "" || len(out) > 0), nil
}
