package demo

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// Run serves real requests, which are counted, and leaves nothing behind.
func TestRunTakesRealOrders(t *testing.T) {
	p, err := New(Config{Clusters: Places(1, 2), TargetSeries: 2000})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan string, 1000)
	for _, c := range p.clusters {
		c.checkout.work = func(context.Context, time.Duration) {
			select {
			case served <- c.place.Cluster:
			default:
			}
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	seen := map[string]int{}
	for seen["eu-1"] < 2 || seen["eu-2"] < 2 {
		select {
		case name := <-served:
			seen[name]++
		case err := <-done:
			t.Fatalf("Run ended with %v after %v", err, seen)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	for _, c := range p.clusters {
		if n := sumOf(t, c, "http_requests_total"); n < 1 {
			t.Errorf("%s: %v requests counted", c.place.Cluster, n)
		}
	}
}

func sumOf(t *testing.T, c *Cluster, name string) float64 {
	var sum float64
	for _, s := range scrape(t, c, "/pods/"+c.checkout.pod+"/metrics", acceptProtobuf) {
		if s.labels.Get("__name__") == name {
			sum += s.value
		}
	}
	return sum
}

func TestCheckoutAnswers(t *testing.T) {
	p := testPlanet(t, Config{Clusters: Places(1, 1), TargetSeries: 1000})
	k := p.clusters[0].checkout
	k.work = func(context.Context, time.Duration) {}
	p.clusters[0].events = []event{{kind: errorBurst, service: checkoutName, at: testStart, until: testStart.Add(time.Hour), size: -0.005}}
	for _, c := range []struct {
		method, body string
		want         int
	}{
		{"POST", "card", 201},
		{"POST", "invoice", 201},
		{"POST", "seashells", 422},
		{"GET", "", 405},
		{"BREW", "", 405},
	} {
		w := httptest.NewRecorder()
		k.ServeHTTP(w, httptest.NewRequest(c.method, checkoutPath, strings.NewReader(c.body)))
		if w.Code != c.want {
			t.Errorf("%s %q: %d, want %d", c.method, c.body, w.Code, c.want)
		}
	}
	if n := sumOf(t, p.clusters[0], "checkout_orders_total"); n != 2 {
		t.Errorf("%v orders, want 2", n)
	}
	if n := sumOf(t, p.clusters[0], "http_request_duration_seconds"); n != 5 {
		t.Errorf("%v requests in the native histogram, want 5", n)
	}
	p.clusters[0].events[0].size = 1
	w := httptest.NewRecorder()
	k.ServeHTTP(w, httptest.NewRequest("POST", checkoutPath, strings.NewReader("card")))
	if w.Code != 500 {
		t.Errorf("in an error burst: %d, want 500", w.Code)
	}
}
