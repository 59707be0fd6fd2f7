package demo

import (
	"context"
	"log/slog"
	"maps"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/tsdb"
)

// scrapedPlanet is a TSDB that holds a few minutes of a whole planet, as a
// single Prometheus would that scraped all of it.
func scrapedPlanet(t *testing.T, until time.Duration, events ...event) *tsdb.DB {
	t.Helper()
	p := testPlanet(t, Config{TargetSeries: 3000})
	db, err := tsdb.Open(t.TempDir(), nil, nil, tsdb.DefaultOptions(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, c := range p.clusters {
		c.checkout.work = func(context.Context, time.Duration) {}
		if len(events) > 0 {
			c.events, c.planned = events, testStart.Add(time.Hour)
		}
	}
	for now := testStart; !now.After(testStart.Add(until)); now = now.Add(15 * time.Second) {
		p.Step(now)
		for _, c := range p.clusters {
			for range 5 {
				c.checkout.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", checkoutPath, strings.NewReader("card")))
			}
			store(t, db, c, now)
		}
	}
	return db
}

func store(t *testing.T, db *tsdb.DB, c *Cluster, now time.Time) {
	t.Helper()
	app := db.Appender(t.Context())
	add := func(s sample) {
		b := labels.NewBuilder(s.labels)
		b.Set("zone", c.place.Zone).Set("cluster", c.place.Cluster)
		var err error
		if s.native != nil {
			_, err = app.AppendHistogram(0, b.Labels(), now.UnixMilli(), s.native, nil)
		} else {
			_, err = app.Append(0, b.Labels(), now.UnixMilli(), s.value)
		}
		if err != nil {
			t.Fatalf("append %s: %v", s.labels, err)
		}
	}
	for _, s := range scrapeAll(t, c, true) {
		add(s)
	}
	for _, g := range discover(t, c) {
		target := maps.Clone(g.Labels)
		delete(target, "__metrics_path__")
		target["__name__"] = "up"
		add(sample{labels: labels.FromMap(target), value: 1})
	}
	if err := app.Commit(); err != nil {
		t.Fatal(err)
	}
}

func TestExamplesAndRulesHaveAnswers(t *testing.T) {
	db := scrapedPlanet(t, 6*time.Minute)
	p := parser.NewParser(parser.Options{})
	engine := promql.NewEngine(promql.EngineOpts{
		Logger: slog.New(slog.DiscardHandler), MaxSamples: 50e6, Timeout: time.Minute, LookbackDelta: 5 * time.Minute, Parser: p,
	})
	defer engine.Close()
	end := testStart.Add(6 * time.Minute)
	queries := ExampleQueries()
	groups, errs := rulefmt.Parse([]byte(rulesText), false, model.UTF8Validation, p, slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	for _, r := range groups.Groups[0].Rules {
		queries = append(queries, Example{Title: r.Record, Query: r.Expr})
	}
	for _, e := range queries {
		t.Run(e.Title, func(t *testing.T) {
			if _, err := p.ParseExpr(e.Query); err != nil {
				t.Fatal(err)
			}
			q, err := newQuery(t, engine, db, e, end)
			if err != nil {
				t.Fatal(err)
			}
			defer q.Close()
			res := q.Exec(t.Context())
			if res.Err != nil || len(res.Warnings) > 0 {
				t.Fatalf("error %v, warnings %v", res.Err, res.Warnings)
			}
			empty := strings.HasPrefix(e.Query, "absent(")
			if got := res.String() == ""; got != empty {
				t.Errorf("%s\nempty is %v, want %v", e.Query, got, empty)
			}
		})
	}
}

func newQuery(t *testing.T, engine *promql.Engine, db *tsdb.DB, e Example, end time.Time) (promql.Query, error) {
	if e.Range {
		return engine.NewRangeQuery(t.Context(), db, nil, e.Query, end.Add(-2*time.Minute), end, 15*time.Second)
	}
	return engine.NewInstantQuery(t.Context(), db, nil, e.Query, end)
}

// What lives on one leaf or in one zone is found there alone.
func TestExamplesThatPrune(t *testing.T) {
	db := scrapedPlanet(t, time.Minute)
	engine := promql.NewEngine(promql.EngineOpts{
		Logger: slog.New(slog.DiscardHandler), MaxSamples: 1e6, Timeout: time.Minute, LookbackDelta: time.Minute, Parser: parser.NewParser(parser.Options{}),
	})
	defer engine.Close()
	for query, want := range map[string]float64{
		`count(count by (cluster) (gpu_utilization_ratio))`:              1,
		`count(count by (zone) (room_temperature_celsius))`:              1,
		`count(count by (cluster) (http_requests_total))`:                6,
		`count(count by (cluster) (up{job="orders-worker"}))`:            6,
		`count(count by (le) (http_request_duration_seconds_bucket))`:    12,
		`count(histogram_count(http_request_duration_seconds)) > bool 0`: 1,
	} {
		q, err := engine.NewInstantQuery(t.Context(), db, nil, query, testStart.Add(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		v, err := q.Exec(t.Context()).Vector()
		if err != nil || len(v) != 1 || v[0].F != want {
			t.Errorf("%s = %v (%v), want %v", query, v, err, want)
		}
		q.Close()
	}
}

// The alerts see the incidents they are for, and nothing else.
func TestAlertsFire(t *testing.T) {
	end := testStart.Add(3 * time.Minute)
	db := scrapedPlanet(t, 3*time.Minute,
		event{kind: errorBurst, service: "gateway", at: testStart, until: end, size: 0.15},
		event{kind: slowSpell, service: "payments", at: testStart, until: end, size: 5},
		event{kind: errorBurst, service: "orders-worker", at: testStart, until: end, size: 0.15},
		event{kind: restart, service: "cart", at: testStart.Add(time.Minute)},
	)
	p := parser.NewParser(parser.Options{})
	engine := promql.NewEngine(promql.EngineOpts{
		Logger: slog.New(slog.DiscardHandler), MaxSamples: 1e6, Timeout: time.Minute, LookbackDelta: time.Minute, Parser: p,
	})
	defer engine.Close()
	groups, errs := rulefmt.Parse([]byte(rulesText), false, model.UTF8Validation, p, slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	want := map[string]bool{"HighErrorRatio": true, "HighLatency": true, "QueueBacklog": true, "PodRestarted": true}
	for _, r := range groups.Groups[1].Rules {
		if r.Alert == "HostOutOfMemory" {
			continue // depends on the machine
		}
		q, err := engine.NewInstantQuery(t.Context(), db, nil, r.Expr, end)
		if err != nil {
			t.Fatal(err)
		}
		v, err := q.Exec(t.Context()).Vector()
		if err != nil || (len(v) > 0) != want[r.Alert] {
			t.Errorf("%s: %v (%v), want it to fire: %v", r.Alert, v, err, want[r.Alert])
		}
		q.Close()
	}
}

func TestDocumentHoldsTheExamples(t *testing.T) {
	text, err := os.ReadFile("../docs/dev-planet.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range ExampleQueries() {
		if !strings.Contains(string(text), "`"+e.Query+"`") {
			t.Errorf("docs/dev-planet.md lacks %s", e.Query)
		}
	}
}
