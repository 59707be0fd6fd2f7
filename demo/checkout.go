package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	checkoutName = "checkout"
	checkoutPath = "/api/checkout"
	// checkoutSeries is about what one checkout exposes.
	checkoutSeries = 70
	checkoutRate   = 3 // requests per second and cluster at mean load
	maxRequests    = 16
	maxWork        = 2 * time.Second
	maxBody        = 1 << 10
)

// checkout is a real HTTP service: requests reach it through a socket, are
// handled by net/http, and are counted by client_golang. Only how long it takes
// and whether it fails is made up, and follows the cluster's incidents.
type checkout struct {
	identity
	cluster *Cluster
	metrics http.Handler
	work    func(context.Context, time.Duration)

	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	inflight prometheus.Gauge
	orders   *prometheus.CounterVec
}

func newCheckout(c *Cluster) (*checkout, error) {
	k := &checkout{cluster: c, work: wait, identity: identity{
		pod: "checkout-" + replicaSet(checkoutName, 0) + "-real0", namespace: "shop", service: checkoutName, version: "2.4.0",
		ip: fmt.Sprintf("10.%d.0.1", c.index%256), node: c.place.Cluster + "-node-1", uid: "00000000-0000", created: c.clusterConfig.start,
	}}
	k.requests = prometheus.NewCounterVec(prometheus.CounterOpts{Name: requestsTotal.name, Help: requestsTotal.help}, []string{"code", "method", "path"})
	k.duration = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: requestDuration.name, Help: requestDuration.help, Buckets: durationBounds[:],
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160, NativeHistogramMinResetDuration: time.Hour,
	}, []string{"method", "path"})
	k.inflight = prometheus.NewGauge(prometheus.GaugeOpts{Name: inflight.name, Help: inflight.help})
	k.orders = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "checkout_orders_total", Help: "Orders placed, by means of payment."}, []string{"payment"})
	reg := prometheus.NewRegistry()
	for _, m := range []prometheus.Collector{
		k.requests, k.duration, k.inflight, k.orders, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := reg.Register(m); err != nil {
			return nil, fmt.Errorf("register metrics of %s: %w", checkoutName, err)
		}
	}
	k.metrics = promhttp.HandlerFor(reg, handlerOpts())
	return k, nil
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// ServeHTTP takes an order and tells what became of it.
func (k *checkout) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begin := time.Now()
	k.inflight.Inc()
	defer k.inflight.Dec()
	code := k.handle(r)
	trace := prometheus.Labels{"trace_id": fmt.Sprintf("%016x", rand.Uint64())}
	// The method is the caller's to choose; as a label value it must be one of few.
	method := http.MethodPost
	if r.Method != http.MethodPost {
		method = "other"
	}
	k.requests.WithLabelValues(strconv.Itoa(code), method, checkoutPath).Inc()
	k.duration.WithLabelValues(method, checkoutPath).(prometheus.ExemplarObserver).
		ObserveWithExemplar(time.Since(begin).Seconds(), trace)
	w.WriteHeader(code)
}

func (k *checkout) handle(r *http.Request) int {
	if r.Method != http.MethodPost {
		return http.StatusMethodNotAllowed
	}
	payment, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return http.StatusBadRequest
	}
	e, _ := k.cluster.effect(checkoutName)
	d := time.Duration(0.03 * math.Exp(0.6*rand.NormFloat64()) * e.slow * float64(time.Second))
	k.work(r.Context(), min(d, maxWork))
	switch x := rand.Float64(); {
	case x < 0.005+e.errors:
		return http.StatusInternalServerError
	case string(payment) != "card" && string(payment) != "invoice":
		return http.StatusUnprocessableEntity
	default:
		k.orders.WithLabelValues(string(payment)).Inc()
		return http.StatusCreated
	}
}

// shop serves the checkouts of all clusters on one loopback port, each under a
// path of its own, and is their only customer.
type shop struct {
	checkouts []*checkout
	listener  net.Listener
	server    *http.Server
	client    *http.Client
}

func listenCheckout(clusters []*Cluster) (*shop, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for %s: %w", checkoutName, err)
	}
	s := &shop{listener: l}
	mux := http.NewServeMux()
	for i, c := range clusters {
		mux.Handle(fmt.Sprintf("/%d%s", i, checkoutPath), c.checkout)
		s.checkouts = append(s.checkouts, c.checkout)
	}
	s.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10}
	s.client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 4 * maxRequests}}
	return s, nil
}

// run serves and buys until ctx ends, and leaves nothing running.
func (s *shop) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	for i := range s.checkouts {
		wg.Go(func() { s.buy(ctx, i) })
	}
	wg.Go(func() {
		<-ctx.Done()
		_ = s.server.Close() // ends Serve; what it could tell, Serve tells
	})
	err := s.server.Serve(s.listener)
	cancel()
	wg.Wait()
	s.client.CloseIdleConnections()
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", checkoutName, err)
	}
	return nil
}

// buy sends orders at random times. While all of its requests are out, it waits.
func (s *shop) buy(ctx context.Context, i int) {
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, maxRequests)
	for ctx.Err() == nil {
		_, demand := s.checkouts[i].cluster.effect(checkoutName)
		wait(ctx, time.Duration(rand.ExpFloat64()/(checkoutRate*demand)*float64(time.Second)))
		select {
		case <-ctx.Done():
			return
		case slots <- struct{}{}:
		}
		wg.Go(func() {
			defer func() { <-slots }()
			s.order(ctx, i)
		})
	}
}

// order sends one order. What goes wrong is seen in the service's own metrics.
func (s *shop) order(ctx context.Context, i int) {
	payment := "card"
	switch x := rand.Float64(); {
	case x < 0.02:
		payment = "seashells"
	case x < 0.3:
		payment = "invoice"
	}
	url := fmt.Sprintf("http://%s/%d%s", s.listener.Addr(), i, checkoutPath)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(payment))
	if err != nil {
		return
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxBody)) // so that the connection is used again
	_ = resp.Body.Close()
}
