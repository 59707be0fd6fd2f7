package kube_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pandometrics/pando/gitops/gittest"
	"github.com/pandometrics/pando/gitops/kube"
)

// cpu is what this process has used.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkUnchanged is what a turn of the control loop asks of Kubernetes while
// nothing changes: whether everything is still as it was delivered, and loaded.
// It writes nothing. The lease is renewed beside it, once in five seconds:
// TestUnchangedLoopRenewsItsLeaseOnly.
func BenchmarkUnchanged(b *testing.B) {
	v := startDelivery(b, 51)
	now := twoTiers("a")
	v.deliver(now)
	v.loaded(now)
	requests, writes, used := v.requests.Load(), v.writes.Load(), cpu(b)
	for b.Loop() {
		if got, err := v.d.Loaded(b.Context()); err != nil || got != now.Hash {
			b.Fatalf("loaded %q, error %v", got, err)
		}
	}
	n := float64(b.N)
	b.ReportMetric(float64(v.requests.Load()-requests)/n, "requests/op")
	b.ReportMetric(float64(v.writes.Load()-writes)/n, "writes/op")
	b.ReportMetric((cpu(b)-used).Seconds()*1e3/n, "cpu-ms/op")
	if v.writes.Load() != writes {
		b.Error("something was written though nothing had changed")
	}
}

// BenchmarkDelivery is from a bundle to a pod that has loaded it.
func BenchmarkDelivery(b *testing.B) {
	v := startDelivery(b, 52)
	first := twoTiers("a")
	v.deliver(first)
	v.loaded(first)
	requests, writes, i := v.requests.Load(), v.writes.Load(), 0
	for b.Loop() {
		i++
		next := twoTiers(fmt.Sprint("b", i))
		if err := v.d.Deliver(b.Context(), next); err != nil {
			b.Fatal(err)
		}
		if got, err := v.d.Loaded(b.Context()); err != nil || got != next.Hash {
			b.Fatalf("loaded %q, error %v", got, err)
		}
	}
	b.ReportMetric(float64(v.requests.Load()-requests)/float64(i), "requests/op")
	b.ReportMetric(float64(v.writes.Load()-writes)/float64(i), "writes/op")
}

// commitBound is how long a commit may take to the pods of the first wave.
const commitBound = 5 * time.Second

// BenchmarkCommitToLoaded is from a commit, of which a webhook tells, to a leaf's pod
// that tells of its revision: fetch over HTTP, verify and render the whole planet, ask
// the root whose turn it is, deliver, load. Loop, leaf and root are processes, and the
// loop looks at the repository by itself once in ten minutes only. The wave has a gate,
// which is asked after that: no time of it is in here.
func BenchmarkCommitToLoaded(b *testing.B) {
	v := startDelivery(b, 53)
	root := v.startRoot()
	repo := gittest.New(b)
	gated := strings.Replace(planetOfOne, "waves: [{name: all}]", "waves: [{name: all, bake: 1s, gates: [answers]}]\ngates: [{name: answers, expr: vector(1)}]", 1)
	first := repo.Commit("planet.yaml", gated, "prometheus.yml", "global: {scrape_interval: 1s}\n", "rules/leaf/rules.yml", recording("first"))
	const loop = "127.0.0.1:9095"
	v.loop("--git.url="+repo.URL, "--root.url=http://"+root, "--kube.config="+v.kubeconfig("pando-gitops"), "--state.path="+b.TempDir(), "--web.listen-address="+loop,
		"--interval=10m", "--webhook.secret-file="+secretFile(b))
	leaf := v.address("pando-leaf-0")
	v.status(map[string]string{"applied": first})
	awaitAnswer(b, root, "first", []string{"cluster"}, []string{"eu-1 1"})
	last := loadedOf(b, leaf)
	i := 0
	for b.Loop() {
		i++
		repo.Commit("rules/leaf/rules.yml", recording(fmt.Sprint("r", i)))
		webhook(b, loop)
		last = awaitOther(b, leaf, last)
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(i), "s")
	b.ReportMetric(commitBound.Seconds(), "s-bound")
}

// awaitOther waits until a pod tells of another revision than the last.
func awaitOther(b *testing.B, pod, last string) string {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), within)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if now := loadedOf(b, pod); now != last {
			return now
		}
		select {
		case <-ctx.Done():
			b.Fatalf("%s: no other revision after %v", pod, within)
		case <-tick.C:
		}
	}
}

// loadedOf returns which revision a pod tells of.
func loadedOf(b *testing.B, pod string) string {
	b.Helper()
	resp, err := http.Get("http://" + pod + "/metrics")
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, kube.RevisionMetric+"{") {
			return line
		}
	}
	return ""
}
