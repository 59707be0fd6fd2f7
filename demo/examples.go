package demo

// Example is a query worth asking of the planet.
type Example struct {
	// Title says what the query tells.
	Title string
	// Query is PromQL.
	Query string
	// Range is whether it is best seen as a graph over time.
	Range bool
}

// ExampleQueries returns first queries, each with an answer within a few minutes
// of the planet's start, but for absent(), whose empty answer is the good news.
func ExampleQueries() []Example {
	return []Example{
		{"Requests per second, by zone", `sum by (zone) (rate(http_requests_total[2m]))`, true},
		{"Share of requests that fail, by cluster", `sum by (zone, cluster) (rate(http_requests_total{code=~"5.."}[2m])) / sum by (zone, cluster) (rate(http_requests_total[2m]))`, true},
		{"p99 latency by service, from native histograms", `histogram_quantile(0.99, sum by (job) (rate(http_request_duration_seconds[2m])))`, true},
		{"p99 latency by service, from classic buckets", `histogram_quantile(0.99, sum by (job, le) (rate(http_request_duration_seconds_bucket[2m])))`, true},
		{"The real service: orders per second, by cluster and payment", `sum by (cluster, payment) (rate(checkout_orders_total[2m]))`, true},
		{"Ten pods of the planet that use most CPU", `topk(10, sum by (zone, cluster, pod) (rate(container_cpu_usage_seconds_total[2m])))`, false},
		{"Which versions run where", `count by (job, version, cluster) (app_build_info)`, false},
		{"GPUs, which live on one leaf alone", `avg by (cluster, gpu) (gpu_utilization_ratio)`, true},
		{"Room temperature, which lives in one zone alone", `max by (zone, cluster, room) (room_temperature_celsius)`, true},
		{"Memory in use on this machine", `node_memory_MemTotal_bytes - node_memory_MemAvailable_bytes`, true},
		{"Is checkout gone? Empty means that it is not", `absent(up{job="checkout"} == 1)`, false},
		{"Targets that are up, by job and zone", `sum by (job, zone) (up)`, false},
	}
}
