package leaf

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/pandometrics/pando/leaf/aggregate"
)

// otlpProtobuf is the content type of requests that are sifted.
const otlpProtobuf = "application/x-protobuf"

// writeOTLP stores OTLP metrics, of which Prometheus' own handler does most. But that
// decodes the attributes of every data point and translates them, which is most of the
// work where nearly all are inputs of an aggregation that are known already. So the
// data points of these are taken out of a request before the handler gets it, into the
// very transaction that it appends the rest to, and commits:
//
//	Request        { 1: repeated ResourceMetrics }
//	ResourceMetrics{ 1: Resource, 2: repeated ScopeMetrics, 3: schema URL }
//	ScopeMetrics   { 1: Scope, 2: repeated Metric, 3: schema URL }
//	Metric         { 1: name, 2: description, 3: unit, 5: Gauge or 7: Sum, … }
//	Gauge, Sum     { 1: repeated NumberDataPoint, 2: temporality, 3: monotonic }
//	NumberDataPoint{ 2: start, 3: time, 4: double or 6: int, 7: repeated attribute, … }
//
// A data point is known by the bytes of its attributes and of all that it is in, and by
// the settings that it is translated with. Which series it becomes is learned when the
// handler appends it: so that it can be told which one that is, its value is replaced
// by a number that stands for it, and put back in the appender. The first and the last
// data point of a resource stay, for target_info, which the handler makes of their
// times. What the handler warns of while it translates, it warns of once for a series.
type writeOTLP struct {
	leaf *Leaf
	txs  sync.Pool // of *otlpTx, which have ended

	mu       sync.Mutex
	settings *config.Config // that seed is of
	seed     uint64
}

// AppenderV2 implements storage.AppendableV2, for the handler: it gives it the
// transaction of its request, if that has begun.
func (s *writeOTLP) AppenderV2(ctx context.Context) storage.AppenderV2 {
	tx, ok := ctx.Value(txKey{}).(*otlpTx)
	if !ok {
		return s.leaf.in.AppenderV2(ctx)
	}
	tx.given = true
	return tx
}

// serve has the handler store a request, without what is known of it.
func (s *writeOTLP) serve(next http.Handler, w http.ResponseWriter, r *http.Request, body []byte) {
	tx := s.begin(r.Context())
	defer s.end(tx)
	if rest, ok := tx.sift(body); ok {
		r = r.WithContext(context.WithValue(r.Context(), txKey{}, tx))
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(rest)), int64(len(rest))
	}
	next.ServeHTTP(w, r)
}

func (s *writeOTLP) begin(ctx context.Context) *otlpTx {
	tx, ok := s.txs.Get().(*otlpTx)
	if !ok {
		tx = &otlpTx{}
	}
	tx.AppenderV2 = s.leaf.in.AppenderV2(ctx)
	tx.keyed, _ = tx.AppenderV2.(keyedAppender)
	// As Prometheus does, whatever clock the leaf goes by.
	tx.maxTime = time.Now().Add(maxAhead).UnixMilli()
	tx.leaf, tx.config = s.leaf, s.leaf.PrometheusConfig()
	tx.seed = s.seedOf(tx.config)
	// Not zero: those are the NaNs that senders have.
	tx.mark = quietNaN | uint64(1+rand.Uint32N(1<<23-1))<<markedBits
	return tx
}

// seedOf returns a hash of the settings that data points are translated with.
func (s *writeOTLP) seedOf(c *config.Config) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.settings != c {
		s.settings, s.seed = c, xxhash.Sum64String(fmt.Sprintf("otlp %+v", c.OTLPConfig))
	}
	return s.seed
}

// end ends a transaction that the handler did not come to, since it refused the rest,
// or was not to come to.
func (s *writeOTLP) end(tx *otlpTx) {
	if !tx.given {
		_ = tx.Rollback()
	}
	keep := otlpTx{marked: tx.marked[:0]}
	for i, b := range tx.levels {
		if cap(b) <= keepBuffer {
			keep.levels[i] = b[:0]
		}
	}
	if cap(keep.marked) > keepSeries {
		keep.marked = nil
	}
	*tx = keep
	s.txs.Put(tx)
}

// The value of a data point that is to be learned: a quiet NaN of 23 random bits, by
// which it is told from what a sender may send, and the number of the data point.
const (
	quietNaN   = 0x7ff8 << 48
	markedBits = 28
	maxMarked  = 1 << markedBits
)

// markedPoint is a data point whose value was replaced.
type markedPoint struct {
	key   aggregate.Key
	value float64
}

// Levels of messages that are written anew.
const (
	levelRequest = iota
	levelResource
	levelScope
	levelMetric
	levelPoints
	levels
)

// otlpTx is the transaction of one request. It is used by one goroutine.
type otlpTx struct {
	storage.AppenderV2
	keyed   keyedAppender // nil if nothing can be known
	maxTime int64
	leaf    *Leaf
	config  *config.Config // which the seed is of
	seed    uint64
	given   bool // the handler has it, and ends it

	mark   uint64
	marked []markedPoint
	levels [levels][]byte // what is left of a message
	// Of the resource at hand: the times of what is left of it.
	first, last uint64
}

var errOTLP = errors.New("not a request as senders write it")

// sift takes the data points that are known, and returns the rest of the request, for
// as long as the transaction lasts. It returns false of one that is not as senders
// write it: it is left to the handler, and the transaction is of no use.
func (tx *otlpTx) sift(b []byte) ([]byte, bool) {
	if tx.keyed == nil {
		return nil, false
	}
	err := eachField(b, func(f field, raw []byte) error {
		if f.num != 1 || f.typ != protowire.BytesType {
			return errOTLP
		}
		return tx.nested(levelResource, f.num, func() (bool, error) { return true, tx.resource(f.bytes) })
	})
	return tx.levels[levelRequest], err == nil
}

// eachField calls do for each field of a message.
func eachField(b []byte, do func(f field, raw []byte) error) error {
	for len(b) > 0 {
		f, rest, err := nextField(b)
		if err != nil {
			return err
		}
		if err := do(f, b[:len(b)-len(rest)]); err != nil {
			return err
		}
		b = rest
	}
	return nil
}

// nested writes what is left of a message of a level as a field of the one above,
// unless write says that nothing is.
func (tx *otlpTx) nested(level int, num protowire.Number, write func() (left bool, err error)) error {
	tx.levels[level] = tx.levels[level][:0]
	left, err := write()
	if err != nil || !left {
		return err
	}
	above := protowire.AppendTag(tx.levels[level-1], num, protowire.BytesType)
	tx.levels[level-1] = protowire.AppendBytes(above, tx.levels[level])
	return nil
}

func (tx *otlpTx) leave(level int, raw []byte) error {
	tx.levels[level] = append(tx.levels[level], raw...)
	return nil
}

// around hashes the fields of a message but those of one number, which it holds.
func around(seed uint64, b []byte, held protowire.Number) (uint64, error) {
	h := seed
	err := eachField(b, func(f field, raw []byte) error {
		if f.num != held {
			h = mixed(h, xxhash.Sum64(raw))
		} else if f.typ != protowire.BytesType {
			return errOTLP
		}
		return nil
	})
	return mixed(h, uint64(held)), err
}

func mixed(h, with uint64) uint64 {
	h = (h ^ with) * 0x9e3779b185ebca87
	return h ^ h>>29
}

func (tx *otlpTx) resource(b []byte) error {
	tx.first, tx.last = math.MaxUint64, 0
	key, err := around(tx.seed, b, 2)
	if err != nil {
		return err
	}
	return eachField(b, func(f field, raw []byte) error {
		if f.num != 2 {
			return tx.leave(levelResource, raw)
		}
		return tx.nested(levelScope, f.num, func() (bool, error) { return true, tx.scope(key, f.bytes) })
	})
}

func (tx *otlpTx) scope(seed uint64, b []byte) error {
	key, err := around(seed, b, 2)
	if err != nil {
		return err
	}
	return eachField(b, func(f field, raw []byte) error {
		if f.num != 2 {
			return tx.leave(levelScope, raw)
		}
		return tx.nested(levelMetric, f.num, func() (bool, error) { return tx.metric(key, f.bytes) })
	})
}

// metric writes what is left of a metric, and reports whether anything is: one without
// data points the handler would warn of.
func (tx *otlpTx) metric(seed uint64, b []byte) (left bool, err error) {
	key, kinds := seed, 0
	var data field
	err = eachField(b, func(f field, raw []byte) error {
		switch f.num {
		case 5, 7:
			data, kinds = f, kinds+1
		case 9, 10, 11:
			kinds = 2 // histograms and summaries are more than one series
		default:
			key = mixed(key, xxhash.Sum64(raw))
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	if kinds != 1 || data.typ != protowire.BytesType {
		return true, tx.leave(levelMetric, b)
	}
	if key, err = around(mixed(key, uint64(data.num)), data.bytes, 1); err != nil {
		return false, err
	}
	err = eachField(b, func(f field, raw []byte) error {
		if f.num != data.num {
			return tx.leave(levelMetric, raw)
		}
		return tx.nested(levelPoints, f.num, func() (bool, error) {
			left, err = tx.points(key, f.bytes)
			return true, err
		})
	})
	return left, err
}

// points writes the data points that are left, and reports whether there are any, or
// never were.
func (tx *otlpTx) points(key uint64, b []byte) (left bool, err error) {
	taken := 0
	err = eachField(b, func(f field, raw []byte) error {
		if f.num != 1 {
			return tx.leave(levelPoints, raw)
		}
		if tx.point(key, f.bytes, raw) {
			taken++
		} else {
			left = true
		}
		return nil
	})
	return left || taken == 0, err
}

// number is a data point that has nothing but a number.
type number struct {
	start, time uint64
	value       float64
	key         aggregate.Key
	at          int // where in the message the field of the value begins
}

// point takes a data point, or leaves it; it reports whether it took it.
func (tx *otlpTx) point(key uint64, b, raw []byte) bool {
	n, ok := numberOf(key, b)
	if !ok || int64(n.time)/1e6 > tx.maxTime {
		_ = tx.leave(levelPoints, raw)
		return false
	}
	if n.time >= tx.first && n.time <= tx.last && tx.keyed.AppendKey(n.key, int64(n.start)/1e6, int64(n.time)/1e6, n.value) {
		return true
	}
	tx.first, tx.last = min(tx.first, n.time), max(tx.last, n.time)
	out := &tx.levels[levelPoints]
	if len(tx.marked) == maxMarked {
		*out = append(*out, raw...)
		return false
	}
	// The same but for the value, whose field is as long as before.
	from := len(*out) + len(raw) - len(b) + n.at
	*out = append(*out, raw...)
	field := protowire.AppendTag((*out)[from:from], 4, protowire.Fixed64Type)
	binary.LittleEndian.PutUint64((*out)[from+len(field):], tx.mark|uint64(len(tx.marked)))
	tx.marked = append(tx.marked, markedPoint{n.key, n.value})
	return false
}

// numberOf decodes a data point, and returns false if there is more to it than its
// times, its attributes and a value.
func numberOf(seed uint64, b []byte) (n number, ok bool) {
	hash, verify, values := seed, uint32(seed), 0
	for at := 0; at < len(b); {
		f, rest, err := nextField(b[at:])
		if err != nil {
			return n, false
		}
		raw := b[at : len(b)-len(rest)]
		switch {
		case f.num == 7 && f.typ == protowire.BytesType:
			s := symbolOf(raw)
			hash, verify = mixed(hash, s.hash), (verify^s.verify)*0x9e3779b1
		case f.typ != protowire.Fixed64Type || len(raw) != 9:
			return n, false
		case f.num == 2:
			n.start = f.value
		case f.num == 3:
			n.time = f.value
		case f.num == 4:
			n.value, n.at, values = math.Float64frombits(f.value), at, values+1
		case f.num == 6:
			n.value, n.at, values = float64(int64(f.value)), at, values+1
		default:
			return n, false
		}
		at += len(raw)
	}
	n.key = aggregate.Key{Hash: hash, Verify: uint16(verify >> 16)}
	return n, values == 1 && n.time > 0 && n.time <= math.MaxInt64 && n.start <= math.MaxInt64
}

// Append implements storage.AppenderV2. It puts the value of a data point back, and
// learns which series that is.
func (tx *otlpTx) Append(ref storage.SeriesRef, l labels.Labels, st, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, opts storage.AOptions) (storage.SeriesRef, error) {
	bits := math.Float64bits(v)
	i := bits &^ tx.mark
	if h != nil || fh != nil || bits&^(maxMarked-1) != tx.mark || i >= uint64(len(tx.marked)) {
		return tx.AppenderV2.Append(ref, l, st, t, v, h, fh, opts)
	}
	point := tx.marked[i]
	ref, err := tx.AppenderV2.Append(ref, l, st, t, point.value, nil, nil, opts)
	// A key is of the settings that the handler goes by, which may be others by now.
	if err == nil && tx.leaf.PrometheusConfig() == tx.config {
		tx.keyed.LearnKey(point.key, ref)
	}
	return ref, err
}
