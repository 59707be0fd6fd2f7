package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// How often a pod's probes are asked, and its volumes compared with what they
// are made of. A kubelet takes its time; tests should not.
const (
	probeEvery   = 200 * time.Millisecond
	refreshEvery = time.Second
	maxBackOff   = 2 * time.Second
)

// podWorker runs the containers of one pod.
type podWorker struct {
	k    *kubelet
	pod  *corev1.Pod
	ip   netip.Addr
	home string

	cancel context.CancelFunc
	done   chan struct{}

	mu     sync.Mutex
	states []containerState
}

func (k *kubelet) startPod(ctx context.Context, p *corev1.Pod, ip netip.Addr) *podWorker {
	ctx, cancel := context.WithCancel(ctx)
	w := &podWorker{
		k: k, pod: p, ip: ip, home: filepath.Join(k.dir, "pods", p.Namespace, p.Name, string(p.UID)),
		cancel: cancel, done: make(chan struct{}), states: make([]containerState, len(p.Spec.Containers)),
	}
	go func() {
		defer close(w.done)
		w.run(ctx)
	}()
	return w
}

// stop ends the pod's processes: by SIGTERM, and after its grace by SIGKILL.
func (w *podWorker) stop() {
	w.cancel()
	<-w.done
}

func (w *podWorker) run(ctx context.Context) {
	if len(w.pod.Spec.InitContainers) > 0 {
		log.Printf("pod %s/%s: the stand-in kubelet runs no init containers", w.pod.Namespace, w.pod.Name)
		return
	}
	for {
		err := w.volumes(ctx)
		if err == nil {
			break
		}
		w.each(func(s *containerState) { s.waiting = err.Error() })
		w.report(ctx)
		if !pause(ctx, probeEvery) {
			return
		}
	}
	var wg sync.WaitGroup
	for i := range w.pod.Spec.Containers {
		wg.Go(func() { w.keepRunning(ctx, i) })
	}
	wg.Go(func() { w.watch(ctx) })
	wg.Wait()
}

// keepRunning starts a container again whenever it ends.
func (w *podWorker) keepRunning(ctx context.Context, i int) {
	back := 100 * time.Millisecond
	for ctx.Err() == nil {
		began := time.Now()
		err := w.container(ctx, i)
		if ctx.Err() != nil {
			return
		}
		log.Printf("pod %s/%s: container %s ended: %v", w.pod.Namespace, w.pod.Name, w.pod.Spec.Containers[i].Name, err)
		w.set(i, func(s *containerState) {
			s.ready, s.started, s.waiting = false, time.Time{}, fmt.Sprint("ended: ", err)
			s.restarts++
		})
		w.report(ctx)
		if time.Since(began) > 10*time.Second {
			back = 100 * time.Millisecond
		}
		if !pause(ctx, back) {
			return
		}
		back = min(2*back, maxBackOff)
	}
}

// watch asks probes, reports what changes, and refreshes volumes.
func (w *podWorker) watch(ctx context.Context) {
	refreshed, said := time.Now(), []containerState(nil)
	for pause(ctx, probeEvery) {
		for i, c := range w.pod.Spec.Containers {
			ready := w.state(i).started != time.Time{} && w.probe(ctx, c)
			w.set(i, func(s *containerState) { s.ready = ready && !s.started.IsZero() })
		}
		if time.Since(refreshed) > refreshEvery {
			refreshed = time.Now()
			if err := w.volumes(ctx); err != nil && ctx.Err() == nil {
				log.Printf("pod %s/%s: volumes stay as they are: %v", w.pod.Namespace, w.pod.Name, err)
			}
		}
		if now := w.all(); !slices.Equal(now, said) && w.report(ctx) {
			said = now
		}
	}
}

// probe tells whether a container is ready. One without a probe is once it runs.
func (w *podWorker) probe(ctx context.Context, c corev1.Container) bool {
	p := c.ReadinessProbe
	if p == nil {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	switch {
	case p.HTTPGet != nil:
		url := fmt.Sprintf("http://%s%s", net.JoinHostPort(w.ip.String(), portOf(c, p.HTTPGet.Port)), p.HTTPGet.Path)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return false
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode < 400
	case p.TCPSocket != nil:
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(w.ip.String(), portOf(c, p.TCPSocket.Port)))
		if err != nil {
			return false
		}
		conn.Close()
		return true
	}
	log.Printf("pod %s/%s: the stand-in kubelet knows httpGet and tcpSocket probes only", w.pod.Namespace, w.pod.Name)
	return false
}

// portOf resolves a port that may be a name.
func portOf(c corev1.Container, p intstr.IntOrString) string {
	if p.Type == intstr.Int {
		return p.String()
	}
	for _, q := range c.Ports {
		if q.Name == p.StrVal {
			return fmt.Sprint(q.ContainerPort)
		}
	}
	return p.StrVal
}

func (w *podWorker) report(ctx context.Context) bool {
	err := w.k.report(ctx, w.pod, w.ip, w.all())
	if err != nil && ctx.Err() == nil {
		log.Printf("pod %s/%s: report: %v", w.pod.Namespace, w.pod.Name, err)
	}
	return err == nil
}

func (w *podWorker) all() []containerState {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.states)
}

func (w *podWorker) state(i int) containerState {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.states[i]
}

func (w *podWorker) set(i int, f func(*containerState)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(&w.states[i])
}

func (w *podWorker) each(f func(*containerState)) {
	for i := range w.pod.Spec.Containers {
		w.set(i, f)
	}
}

// logFile is where a container's output goes.
func (w *podWorker) logFile(container string) (*os.File, error) {
	return os.OpenFile(filepath.Join(w.home, container+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
}

// pause waits, and tells whether ctx still goes on.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
