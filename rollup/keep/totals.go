package keep

import "github.com/prometheus/client_golang/prometheus"

// totals tells how far the points of all rules are together, when it is asked: a
// series for each rule would be many, and pando rollup ls has them.
type totals struct {
	c *Collector

	kept, due, lag, horizon, oldest, failing, blocked *prometheus.Desc
}

func newTotals(c *Collector) *totals {
	desc := func(name, help string, of ...string) *prometheus.Desc { return prometheus.NewDesc(name, help, of, nil) }
	return &totals{
		c:       c,
		kept:    desc("pando_rollup_kept", "Rollup rules that this tier keeps, each distance of points by itself."),
		due:     desc("pando_rollup_due_points", "Points that are due and not too old, each of all its series, by state: whole, partial, unfit or absent.", "state"),
		lag:     desc("pando_rollup_lag_seconds", "Age of the newest point of the rule that is furthest behind, less the distance of its points."),
		horizon: desc("pando_rollup_horizon_seconds", "How old samples are when they are taken to be final: later points wait, for a child that is away up to --rollup.hold."),
		oldest:  desc("pando_rollup_oldest_absent_timestamp_seconds", "Time of the oldest point that is due and absent; zero if there is none."),
		failing: desc("pando_rollup_failing", "Rollup rules, each distance of points by itself, whose last attempt to make points failed."),
		blocked: desc("pando_rollup_blocked", "Rollup rules, each distance of points by itself, that are not read since what makes points void cannot be stored."),
	}
}

// Describe implements prometheus.Collector.
func (t *totals) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{t.kept, t.due, t.lag, t.horizon, t.oldest, t.failing, t.blocked} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (t *totals) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, of ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, of...)
	}
	now := t.c.cfg.Now().UnixMilli()
	all := t.c.Status(0)
	var due Status
	var lag, oldest int64
	failing, blocked := 0, 0
	for _, s := range all {
		due.Whole, due.Partial, due.Unfit, due.Absent = due.Whole+s.Whole, due.Partial+s.Partial, due.Unfit+s.Unfit, due.Absent+s.Absent
		lag = max(lag, s.lag(now))
		if s.oldest != 0 && (oldest == 0 || s.oldest < oldest) {
			oldest = s.oldest
		}
		if s.Failing != "" {
			failing++
		}
		if s.Blocked {
			blocked++
		}
	}
	seconds := func(ms int64) float64 { return float64(ms) / 1000 }
	gauge(t.kept, float64(len(all)))
	gauge(t.due, float64(due.Whole), markWhole)
	gauge(t.due, float64(due.Partial), markPartial)
	gauge(t.due, float64(due.Unfit), markUnfit)
	gauge(t.due, float64(due.Absent), absentText)
	gauge(t.lag, seconds(lag))
	horizon, _ := t.c.horizon(now)
	if horizon <= 0 { // not known: there is nobody to make points of
		horizon = now - t.c.cfg.Hold.Milliseconds()
	}
	gauge(t.horizon, seconds(now-horizon))
	gauge(t.oldest, seconds(oldest))
	gauge(t.failing, float64(failing))
	gauge(t.blocked, float64(blocked))
}

// absentText is the state of points that are not there, for people.
const absentText = "absent"

// lag is by how much the newest point is older than it need be, in milliseconds.
// Where there is none, it is owed since a time.
func (st Status) lag(now int64) int64 {
	step := st.Keep.Every.Milliseconds()
	switch {
	case st.newest != 0:
		return now - st.newest - step
	case st.Since.IsZero():
		return 0
	default:
		return now - max(st.Since.UnixMilli(), now-st.Keep.For.Milliseconds())
	}
}
