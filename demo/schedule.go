package demo

import (
	"math"
	"math/rand/v2"
	"time"
)

// cycle is the time in which each cluster sees one deploy, one restart, one
// error burst and one slow spell.
const cycle = 15 * time.Minute

type eventKind int

const (
	deploy eventKind = iota
	restart
	errorBurst
	slowSpell
)

func (k eventKind) String() string {
	return [...]string{"deploy", "restart", "error burst", "slow spell"}[k]
}

// event happens to one service of a cluster.
type event struct {
	kind    eventKind
	service string
	at      time.Time
	until   time.Time // of an error burst or slow spell
	size    float64   // share of errors, or factor of durations
}

// plan draws the events of the cycle that begins at start. In the first cycle
// all of them come early, so that there is something to see at once.
func plan(rng *rand.Rand, start time.Time, first bool, services []string) []event {
	span := cycle - 5*time.Minute
	if first {
		span = 4 * time.Minute
	}
	var out []event
	for kind := deploy; kind <= slowSpell; kind++ {
		offset := time.Minute + time.Duration(rng.Int64N(int64(span)))
		e := event{kind: kind, service: services[rng.IntN(len(services))], at: start.Add(offset)}
		e.until = e.at.Add(2*time.Minute + time.Duration(rng.Int64N(int64(2*time.Minute))))
		e.size = 0.15 + 0.25*rng.Float64()
		if kind == slowSpell {
			e.size = 3 + 5*rng.Float64()
		}
		out = append(out, e)
	}
	return out
}

// effect is what incidents do to a service at one time.
type effect struct {
	errors float64 // share of operations that fail beside the usual
	slow   float64 // factor of durations
}

func (e effect) stressed() bool { return e.errors > 0 || e.slow > 1 }

func effectOn(events []event, service string, now time.Time) effect {
	out := effect{slow: 1}
	for _, e := range events {
		if e.service != service || now.Before(e.at) || now.After(e.until) {
			continue
		}
		switch e.kind {
		case errorBurst:
			out.errors = e.size
		case slowSpell:
			out.slow = e.size
		}
	}
	return out
}

// load is the demand on a cluster, 1 on average: a wave over the day that
// reaches the zones one after the other, a smaller one over half an hour, and a
// rush in the first three minutes of each hour.
func load(now time.Time, zone, zones, cluster int) float64 {
	seconds := float64(now.Unix())
	day := seconds/86400 + float64(zone)/float64(max(zones, 1))
	half := seconds/1800 + float64(cluster)*0.17
	l := (1 + 0.45*math.Sin(2*math.Pi*day)) * (1 + 0.12*math.Sin(2*math.Pi*half))
	if math.Mod(seconds, 3600) < 180 {
		l *= 1.3
	}
	return l
}
