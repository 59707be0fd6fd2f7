// Package demo is the real input of `pando dev`: something worth asking about,
// from the first scrape on, without any cluster at hand.
//
// It has three sources. Host reads this machine's own metrics and names them as
// node_exporter does. Every Cluster has a real little HTTP service, checkout,
// which handles requests that arrive over loopback. Around it stand simulated
// services with Kubernetes-like labels: they take load that follows the hour of
// the day, have error bursts and slow spells, are restarted, and are deployed
// anew with new pod names, so that series come and go as they do in production.
//
// A leaf scrapes a cluster as it would scrape any other, through HTTP service
// discovery:
//
//	planet, err := demo.New(demo.Config{Clusters: demo.Places(2, 3), Seed: 1})
//	if err != nil {
//		return err
//	}
//	go planet.Run(ctx)
//	cluster := planet.Cluster("eu", "eu-1")
//	go http.Serve(listener, cluster.Handler())
//	text, err := cluster.ScrapeConfig(listener.Addr().String(), demo.ScrapeOptions{})
//
// What holds: two planets of one Config, stepped over the same times, expose the
// same simulated samples. A counter of a simulated pod only falls when its
// process_start_time_seconds rises. Every handler exposes a label set at most
// once. The number of series stays near Config.TargetSeries over deploys.
//
// What it does not do: it is no load generator and no benchmark. Checkout and
// Host are real, and therefore not deterministic. Apart from the requests to
// its own loopback port it sends nothing anywhere.
package demo
