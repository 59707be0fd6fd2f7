package demo

// where says in which clusters a service runs.
type where int

const (
	everywhere where = iota
	lastZone
	oneCluster
)

// service describes a simulated workload: what it is asked to do, how it
// answers, and what gauges it has. A service is data; pod brings it to life.
type service struct {
	name, namespace string
	where           where
	weight          int     // share of a cluster's pods
	maxPods         int     // zero means no bound
	rate            float64 // operations per second and pod at mean load
	cpuPerOp        float64 // CPU seconds
	memory          float64 // bytes at mean load

	counter  metric // operations by label values and outcome
	duration metric // histogram of operation durations
	classic  bool   // the histogram has classic buckets beside the native ones
	outcome  string // label name of the outcome on the counter
	outcomes []outcome
	labels   []string // label names of counter and histogram, sorted
	routes   []route

	size   metric // summary of response sizes; no name means none
	gauges []gauge
}

type metric struct{ name, help string }

// outcome is a value of the outcome label. Shares of one service sum up to 1.
type outcome struct {
	value   string
	share   float64
	failure bool // grows in an error burst
}

// route is one kind of operation.
type route struct {
	values []string // of service.labels
	share  float64  // of the service's operations
	median float64  // seconds
	sigma  float64  // of the logarithm of the duration
}

// gauge is a value that follows the load, swings and is noisy.
type gauge struct {
	metric
	label  string // may be empty
	values []string
	base   float64
	load   float64 // added per unit of load
	stress float64 // added while an incident lasts
	swing  float64 // amplitude of a slow wave
	noise  float64 // standard deviation
	whole  bool    // counts things, so never negative or broken
}

var (
	requestsTotal   = metric{"http_requests_total", "HTTP requests handled, by method, path and status code."}
	requestDuration = metric{"http_request_duration_seconds", "Duration of HTTP requests, as classic and native histogram."}
	responseSize    = metric{"http_response_size_bytes", "Size of HTTP response bodies."}
	inflight        = metric{"http_requests_inflight", "HTTP requests being handled."}
	connections     = metric{"pool_connections", "Connections of the service's pools, by state."}
	queueDepth      = metric{"queue_depth", "Messages that wait in the queue."}
)

// durationBounds are the upper bounds of the classic buckets, in seconds.
var durationBounds = [...]float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}

func httpService(name, namespace string, weight int, rate float64, routes ...route) service {
	return service{
		name: name, namespace: namespace, weight: weight, rate: rate,
		cpuPerOp: 0.012, memory: 180e6,
		counter: requestsTotal, duration: requestDuration, classic: true,
		outcome: "code",
		outcomes: []outcome{
			{value: "200", share: 0.965},
			{value: "304", share: 0.01},
			{value: "404", share: 0.02},
			{value: "500", share: 0.004, failure: true},
			{value: "503", share: 0.001, failure: true},
		},
		labels: []string{"method", "path"}, routes: routes,
		size: responseSize,
		gauges: []gauge{
			{metric: inflight, base: 1, load: 6, stress: 40, noise: 1.5, whole: true},
			{metric: connections, label: "state", values: []string{"active", "idle"}, base: 4, load: 10, stress: 25, swing: 2, noise: 1, whole: true},
		},
	}
}

func get(path string, share, median, sigma float64) route {
	return route{values: []string{"GET", path}, share: share, median: median, sigma: sigma}
}

func post(path string, share, median, sigma float64) route {
	return route{values: []string{"POST", path}, share: share, median: median, sigma: sigma}
}

// services lists all simulated workloads.
func services() []service {
	gateway := httpService("gateway", "edge", 5, 8,
		get("/", 0.4, 0.008, 0.7), get("/static", 0.3, 0.002, 0.5), get("/api", 0.25, 0.04, 0.8), post("/login", 0.05, 0.09, 0.5))
	catalog := httpService("catalog", "shop", 4, 5,
		get("/api/products", 0.5, 0.015, 0.6), get("/api/products/:id", 0.35, 0.006, 0.6), get("/api/search", 0.15, 0.06, 0.9))
	cart := httpService("cart", "shop", 3, 3,
		get("/api/cart", 0.6, 0.007, 0.5), post("/api/cart", 0.3, 0.02, 0.6),
		route{values: []string{"DELETE", "/api/cart"}, share: 0.1, median: 0.012, sigma: 0.5})
	payments := httpService("payments", "pay", 2, 1.5,
		post("/api/pay", 0.7, 0.18, 0.7), get("/api/pay/:id", 0.3, 0.009, 0.5))
	return []service{gateway, catalog, cart, payments, worker(), database(), climate(), recommender()}
}

func worker() service {
	return service{
		name: "orders-worker", namespace: "shop", weight: 3, rate: 2, cpuPerOp: 0.05, memory: 320e6,
		counter:  metric{"jobs_processed_total", "Jobs taken from a queue, by result."},
		duration: metric{"job_duration_seconds", "Duration of jobs, as native histogram only."},
		outcome:  "result",
		outcomes: []outcome{{value: "ok", share: 0.97}, {value: "retry", share: 0.02}, {value: "error", share: 0.01, failure: true}},
		labels:   []string{"queue"},
		routes: []route{
			{values: []string{"orders"}, share: 0.6, median: 0.3, sigma: 0.9},
			{values: []string{"emails"}, share: 0.3, median: 0.12, sigma: 0.6},
			{values: []string{"invoices"}, share: 0.1, median: 1.1, sigma: 0.7},
		},
		gauges: []gauge{
			{metric: queueDepth, label: "queue", values: []string{"orders", "emails", "invoices"}, base: 5, load: 40, stress: 400, swing: 10, noise: 5, whole: true},
			{metric: metric{"worker_threads_busy", "Threads that run a job."}, load: 6, stress: 2, noise: 1, whole: true},
		},
	}
}

func database() service {
	return service{
		name: "orders-db", namespace: "data", weight: 1, maxPods: 3, rate: 12, cpuPerOp: 0.006, memory: 2.1e9,
		counter:  metric{"db_queries_total", "Queries run, by operation."},
		duration: metric{"db_query_duration_seconds", "Duration of queries, as classic and native histogram."}, classic: true,
		outcome:  "result",
		outcomes: []outcome{{value: "ok", share: 0.995}, {value: "error", share: 0.005, failure: true}},
		labels:   []string{"operation"},
		routes: []route{
			{values: []string{"select"}, share: 0.75, median: 0.002, sigma: 0.9},
			{values: []string{"insert"}, share: 0.15, median: 0.004, sigma: 0.7},
			{values: []string{"update"}, share: 0.1, median: 0.006, sigma: 0.8},
		},
		gauges: []gauge{
			{metric: metric{"db_connections", "Connections, by state."}, label: "state", values: []string{"active", "idle", "waiting"}, base: 8, load: 30, stress: 50, noise: 3, whole: true},
			{metric: metric{"db_size_bytes", "Size of the database."}, base: 42e9, swing: 2e8, noise: 1e6, whole: true},
			{metric: metric{"db_replication_lag_seconds", "Age of the last transaction applied."}, base: 0.2, load: 0.3, stress: 12, noise: 0.05},
		},
	}
}

// climate runs in one zone alone, so that a query for it shows that zone.
func climate() service {
	return service{
		name: "climate", namespace: "facility", where: lastZone, weight: 1, maxPods: 2, rate: 0.6, cpuPerOp: 0.002, memory: 40e6,
		counter:  metric{"sensor_reads_total", "Sensor readings, by bus."},
		duration: metric{"sensor_read_duration_seconds", "Duration of readings, as native histogram only."},
		outcome:  "result",
		outcomes: []outcome{{value: "ok", share: 0.99}, {value: "timeout", share: 0.01, failure: true}},
		labels:   []string{"bus"},
		routes:   []route{{values: []string{"i2c"}, share: 0.5, median: 0.01, sigma: 0.3}, {values: []string{"modbus"}, share: 0.5, median: 0.05, sigma: 0.4}},
		gauges: []gauge{
			{metric: metric{"room_temperature_celsius", "Air temperature, by room."}, label: "room", values: []string{"cold-aisle", "hot-aisle", "battery", "office"}, base: 21, load: 4, swing: 1.5, noise: 0.1},
			{metric: metric{"room_humidity_ratio", "Relative humidity, by room."}, label: "room", values: []string{"cold-aisle", "hot-aisle", "battery", "office"}, base: 0.4, swing: 0.05, noise: 0.005},
			{metric: metric{"fan_speed_rpm", "Speed of fans."}, label: "fan", values: []string{"1", "2", "3", "4"}, base: 900, load: 700, stress: 900, noise: 15, whole: true},
		},
	}
}

// recommender runs in one cluster alone, so that a query for it shows one leaf.
func recommender() service {
	gpus := []string{"0", "1", "2", "3"}
	return service{
		name: "recommender", namespace: "ml", where: oneCluster, weight: 1, maxPods: 4, rate: 2, cpuPerOp: 0.08, memory: 6e9,
		counter:  metric{"inference_requests_total", "Inferences, by model."},
		duration: metric{"inference_duration_seconds", "Duration of inferences, as native histogram only."},
		outcome:  "result",
		outcomes: []outcome{{value: "ok", share: 0.985}, {value: "error", share: 0.015, failure: true}},
		labels:   []string{"model"},
		routes:   []route{{values: []string{"ranker"}, share: 0.8, median: 0.04, sigma: 0.3}, {values: []string{"embedder"}, share: 0.2, median: 0.15, sigma: 0.4}},
		gauges: []gauge{
			{metric: metric{"gpu_utilization_ratio", "Share of time in which the GPU was busy."}, label: "gpu", values: gpus, base: 0.1, load: 0.22, noise: 0.02},
			{metric: metric{"gpu_memory_used_bytes", "Memory in use on the GPU."}, label: "gpu", values: gpus, base: 18e9, load: 4e9, noise: 2e8, whole: true},
			{metric: metric{"gpu_temperature_celsius", "Temperature of the GPU."}, label: "gpu", values: gpus, base: 38, load: 14, stress: 9, noise: 0.6},
		},
	}
}
