package treerpc

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pandometrics/pando/querytree/querytreepb"
)

const (
	// maxUnacknowledged and maxUnacknowledgedFrames bound what a child has sent of
	// its field hints and its parent has not said to have applied. What is beyond
	// stays in the child's set, where it takes no room of its own.
	maxUnacknowledged       = 1 << 20
	maxUnacknowledgedFrames = 512
	// holdTimeout is after what time a child that was told to wait for its turn
	// begins nevertheless: the parent may have forgotten.
	holdTimeout = 15 * time.Second
)

// HintStatus is how far a parent has come with the child's field hints.
type HintStatus struct {
	// Acknowledges is set if the parent says what it has applied. Without, what is
	// below is not known.
	Acknowledges bool
	// Unacknowledged is the number of bytes that were sent and not acknowledged;
	// Age how long ago the first of them were sent, zero if there are none.
	Unacknowledged int
	Age            time.Duration
	// Unused is why the parent did not use the hints when it acknowledged last, in
	// a word; empty if it did.
	Unused string
}

// hintFlow keeps account of what a parent has applied of one run of the stream.
// Its methods are safe for concurrent use.
type hintFlow struct {
	acks bool // the parent acknowledges

	mu      sync.Mutex
	run     uint64
	sent    []sentFrame // that were not acknowledged, at most maxUnacknowledgedFrames
	bytes   int         // of them
	applied uint64      // frames of the run
	held    bool
	unused  string
	changed chan struct{} // closed when something of the above changes
}

type sentFrame struct {
	size int
	at   time.Time
}

func newHintFlow(acks bool) *hintFlow {
	return &hintFlow{acks: acks, changed: make(chan struct{}), unused: "never-synced"}
}

// begin starts the account of a run.
func (f *hintFlow) begin(run uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.run, f.sent, f.bytes, f.applied, f.held = run, nil, 0, 0, false
}

// admit waits until a frame may be sent, and takes it into the account: after the
// first frame of a run, its acknowledgement; later, until there is room.
func (f *hintFlow) admit(ctx context.Context, size int) error {
	if !f.acks {
		return nil
	}
	for {
		f.mu.Lock()
		if f.open(size) {
			f.sent = append(f.sent, sentFrame{size, time.Now()})
			f.bytes += size
			f.mu.Unlock()
			return nil
		}
		changed := f.changed
		f.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// open reports whether a frame may be sent. f.mu must be held.
func (f *hintFlow) open(size int) bool {
	switch {
	case len(f.sent) == 0:
		return !f.held
	case f.applied == 0 || f.held:
		return false
	default:
		return len(f.sent) < maxUnacknowledgedFrames && f.bytes+size <= maxUnacknowledged
	}
}

// acknowledge takes in what the parent says, and reports whether the child is to
// wait for its turn.
func (f *hintFlow) acknowledge(m *querytreepb.Applied) (hold bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if m.GetRun() != f.run || m.GetFrames() > f.applied+uint64(len(f.sent)) {
		return false // of an older run, or of what was never sent
	}
	for ; f.applied < m.GetFrames(); f.applied++ {
		f.bytes -= f.sent[0].size
		f.sent = f.sent[1:]
	}
	if f.held, f.unused = m.GetHold(), m.GetReason(); f.held {
		f.sent, f.bytes = nil, 0 // nobody is going to apply it
	}
	close(f.changed)
	f.changed = make(chan struct{})
	return f.held
}

// status returns how far the parent has come.
func (f *hintFlow) status() HintStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := HintStatus{Acknowledges: f.acks, Unacknowledged: f.bytes}
	if f.acks {
		s.Unused = f.unused
	}
	if len(f.sent) > 0 {
		s.Age = time.Since(f.sent[0].at)
	}
	return s
}

// hintCollector tells of every parent how far it has come.
type hintCollector struct {
	link       *Link
	bytes, age *prometheus.Desc
}

func newHintCollector(l *Link) hintCollector {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("pando_tree_link_hints_unacknowledged_"+name, help, []string{"address"}, prometheus.Labels{"peer": "parent"})
	}
	return hintCollector{
		link:  l,
		bytes: desc("bytes", "Field hints that were sent to a parent, which it has not said to have applied."),
		age:   desc("seconds", "How long ago the first of them were sent; 0 if there are none."),
	}
}

// Describe implements prometheus.Collector.
func (c hintCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.bytes
	ch <- c.age
}

// Collect implements prometheus.Collector.
func (c hintCollector) Collect(ch chan<- prometheus.Metric) {
	for _, s := range c.link.Status() {
		if s.State == StateConnected && s.Hints.Acknowledges {
			ch <- prometheus.MustNewConstMetric(c.bytes, prometheus.GaugeValue, float64(s.Hints.Unacknowledged), s.Address)
			ch <- prometheus.MustNewConstMetric(c.age, prometheus.GaugeValue, s.Hints.Age.Seconds(), s.Address)
		}
	}
}
