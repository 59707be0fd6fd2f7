package leaf

import (
	"bytes"
	"context"
	"hash/crc32"
	"io"
	"math"
	"math/bits"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/prometheus/prometheus/storage"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/pandometrics/pando/leaf/aggregate"
)

// writeV2 stores requests of remote write 2.0, of which Prometheus' own handler does
// most. But that decodes the labels of every series, which is most of the work where
// nearly all are inputs of an aggregation that are known already. So these are taken
// out of a request before the handler gets it, into the very transaction that the
// handler appends the rest to, and commits:
//
//	Request    { 4: repeated string symbols, 5: repeated TimeSeries }
//	TimeSeries { 1: packed uint32 labels_refs, 2: repeated Sample, 3: repeated Histogram, 4: repeated Exemplar, 5: Metadata }
//	Sample     { 1: double value, 2: int64 timestamp, 3: int64 start_timestamp }
//	Metadata   { 1: enum type, 3: uint32 help_ref, 4: uint32 unit_ref }
//
// A series is known by its labels and its metadata, whatever symbols stand for them in
// a request. One that has anything but one sample is left to the handler, and so is
// all of a request that is not as a sender would write it.
type writeV2 struct {
	leaf *Leaf
	txs  sync.Pool // of *v2Tx, which have ended
}

// samplesWritten is the header that tells a sender how many samples were stored.
const samplesWritten = "X-Prometheus-Remote-Write-Samples-Written"

// keepSeries is the largest list of series that is kept for another request.
const keepSeries = 1 << 16

// txKey is that of the *v2Tx in the context of a request.
type txKey struct{}

// Appender implements storage.Appendable, for the handler: it gives it the transaction
// of its request, if that has begun.
func (s *writeV2) Appender(ctx context.Context) storage.Appender {
	tx, ok := ctx.Value(txKey{}).(*v2Tx)
	if !ok {
		return s.leaf.in.Appender(ctx)
	}
	tx.given = true
	return tx
}

// before returns a handler that passes on bodies within bounds, without the series
// that are known.
func (s *writeV2) before(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.leaf.guard.decoded(w, r, func(sent, body []byte) { s.serve(next, w, r, sent, body) })
	})
}

// serve has the handler store a request, without the series that are known.
func (s *writeV2) serve(next http.Handler, w http.ResponseWriter, r *http.Request, sent, body []byte) {
	rest := s.leaf.guard.buffer()
	defer s.leaf.guard.keep(rest)
	tx := s.begin(r.Context())
	defer s.end(tx)
	if tx.sift(body, rest) {
		sent = snappy.Encode(nil, rest.Bytes())
	}
	r = r.WithContext(context.WithValue(r.Context(), txKey{}, tx))
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(sent)), int64(len(sent))
	next.ServeHTTP(&siftedResponse{ResponseWriter: w, tx: tx}, r)
}

func (s *writeV2) begin(ctx context.Context) *v2Tx {
	tx, ok := s.txs.Get().(*v2Tx)
	if !ok {
		tx = &v2Tx{}
	}
	tx.Appender = s.leaf.in.Appender(ctx)
	tx.keyed, _ = tx.Appender.(keyedAppender)
	// As Prometheus does, whatever clock the leaf goes by.
	tx.maxTime = time.Now().Add(maxAhead).UnixMilli()
	return tx
}

// end ends a transaction that the handler did not come to, since it refused the rest.
func (s *writeV2) end(tx *v2Tx) {
	if !tx.given {
		_ = tx.Rollback()
	}
	if cap(tx.texts) > keepBuffer || cap(tx.series) > keepSeries {
		return
	}
	clear(tx.series) // parts of a buffer that others get
	*tx = v2Tx{symbols: tx.symbols[:0], series: tx.series[:0], texts: tx.texts[:0]}
	s.txs.Put(tx)
}

// keyedAppender knows series by keys.
type keyedAppender interface {
	AppendKey(k aggregate.Key, st, t int64, v float64) bool
	Learns(ref storage.SeriesRef) bool
	LearnKey(k aggregate.Key, ref storage.SeriesRef)
}

// v2Tx is the transaction of one request. It is used by one goroutine.
type v2Tx struct {
	storage.Appender
	keyed   keyedAppender // nil if nothing can be known
	maxTime int64
	// given: the handler has it, and ends it.
	given, committed bool
	// taken are the samples of series that were known.
	taken int

	symbols []symbol
	series  [][]byte // fields of the request, with their tags
	texts   []byte   // those of symbols
}

// symbol is what is known of a string.
type symbol struct {
	hash   uint64
	verify uint32
}

var symbolTable = crc32.MakeTable(crc32.Castagnoli)

func symbolOf(text []byte) symbol {
	return symbol{xxhash.Sum64(text), crc32.Checksum(text, symbolTable)}
}

// seriesKey is made of symbols, in their order.
type seriesKey struct {
	hash   uint64
	verify uint32
}

func (k *seriesKey) add(s symbol) {
	k.hash = (bits.RotateLeft64(k.hash, 27) ^ s.hash) * 0x9e3779b185ebca87
	k.verify = (bits.RotateLeft32(k.verify, 11) ^ s.verify) * 0x9e3779b1
}

// described is the key of labels with their metadata.
func (k seriesKey) described(kind writev2.Metadata_MetricType, help, unit symbol) aggregate.Key {
	k.add(help)
	k.add(unit)
	k.add(symbol{hash: uint64(uint32(kind)) + 1, verify: uint32(kind) + 1})
	k.hash ^= k.hash >> 29
	return aggregate.Key{Hash: k.hash, Verify: uint16(k.verify >> 16)}
}

// sift takes the samples of known series, and writes the rest of the request. It
// returns false if there are none: the request is passed on as it was sent.
func (tx *v2Tx) sift(b []byte, rest *bytes.Buffer) bool {
	if tx.keyed == nil || !tx.split(b) || len(tx.symbols) == 0 {
		return false
	}
	left := tx.series[:0]
	for _, field := range tx.series {
		if f, _, err := nextField(field); err != nil || !tx.take(f.bytes) {
			left = append(left, field)
		} else {
			tx.taken++
		}
	}
	if tx.taken == 0 {
		return false
	}
	if len(left) > 0 {
		rest.Write(tx.texts)
	}
	for _, field := range left {
		rest.Write(field)
	}
	return true
}

// split finds the symbols and the series of a request. It returns false of one that has
// anything else, which is left to the handler.
func (tx *v2Tx) split(b []byte) bool {
	for len(b) > 0 {
		f, rest, err := nextField(b)
		if err != nil || f.typ != protowire.BytesType {
			return false
		}
		field := b[:len(b)-len(rest)]
		switch f.num {
		case 4:
			tx.symbols, tx.texts = append(tx.symbols, symbolOf(f.bytes)), append(tx.texts, field...)
		case 5:
			tx.series = append(tx.series, field)
		default:
			return false
		}
		b = rest
	}
	return true
}

// take appends the sample of one TimeSeries, if that is known and has nothing else.
func (tx *v2Tx) take(b []byte) bool {
	var refs, sample, meta []byte
	for len(b) > 0 {
		f, rest, err := nextField(b)
		if err != nil || f.typ != protowire.BytesType {
			return false
		}
		b = rest
		var into *[]byte
		switch f.num {
		case 1:
			into = &refs
		case 2:
			into = &sample
		case 5:
			into = &meta
		default:
			return false
		}
		if *into != nil {
			return false
		}
		*into = f.bytes
	}
	key, ok := tx.key(refs, meta)
	if !ok {
		return false
	}
	st, t, v, ok := sampleV2(sample)
	return ok && t <= tx.maxTime && tx.keyed.AppendKey(key, st, t, v)
}

// key returns the key of labels and metadata.
func (tx *v2Tx) key(refs, meta []byte) (aggregate.Key, bool) {
	var k seriesKey
	if len(refs) == 0 {
		return aggregate.Key{}, false
	}
	for len(refs) > 0 {
		ref, n := protowire.ConsumeVarint(refs)
		if n < 0 || ref >= uint64(len(tx.symbols)) {
			return aggregate.Key{}, false
		}
		k.add(tx.symbols[ref])
		refs = refs[n:]
	}
	var of [5]uint64 // fields of the metadata
	for len(meta) > 0 {
		f, rest, err := nextField(meta)
		if err != nil || f.typ != protowire.VarintType || int(f.num) >= len(of) {
			return aggregate.Key{}, false
		}
		of[f.num], meta = f.value, rest
	}
	kind, help, unit := of[1], of[3], of[4]
	if of[2] != 0 || kind > math.MaxInt32 || help >= uint64(len(tx.symbols)) || unit >= uint64(len(tx.symbols)) {
		return aggregate.Key{}, false
	}
	return k.described(writev2.Metadata_MetricType(kind), tx.symbols[help], tx.symbols[unit]), true
}

// sampleV2 decodes a sample; false if it is not as it should be. A start timestamp
// counts as it does for the handler.
func sampleV2(b []byte) (st, t int64, v float64, ok bool) {
	if b == nil {
		return 0, 0, 0, false
	}
	for len(b) > 0 {
		f, rest, err := nextField(b)
		if err != nil {
			return 0, 0, 0, false
		}
		b = rest
		switch {
		case f.num == 1 && f.typ == protowire.Fixed64Type:
			v = math.Float64frombits(f.value)
		case f.num == 2 && f.typ == protowire.VarintType:
			t = int64(f.value)
		case f.num == 3 && f.typ == protowire.VarintType:
			st = int64(f.value)
		default:
			return 0, 0, 0, false
		}
	}
	if t == 0 {
		st = 0
	}
	return st, t, v, true
}

// UpdateMetadata implements storage.Appender. The handler calls it for each series,
// after its samples: then it is known what to learn.
func (tx *v2Tx) UpdateMetadata(ref storage.SeriesRef, l labels.Labels, m metadata.Metadata) (storage.SeriesRef, error) {
	if tx.keyed != nil && tx.keyed.Learns(ref) {
		var k seriesKey
		l.Range(func(l labels.Label) {
			k.add(symbolOf([]byte(l.Name)))
			k.add(symbolOf([]byte(l.Value)))
		})
		tx.keyed.LearnKey(k.described(writev2.FromMetadataType(m.Type), symbolOf([]byte(m.Help)), symbolOf([]byte(m.Unit))), ref)
	}
	return tx.Appender.UpdateMetadata(ref, l, m)
}

// Commit implements storage.Appender.
func (tx *v2Tx) Commit() error {
	err := tx.Appender.Commit()
	tx.committed = err == nil
	return err
}

// siftedResponse tells the sender of all samples, also those that the handler did not
// see.
type siftedResponse struct {
	http.ResponseWriter
	tx    *v2Tx
	begun bool
}

// WriteHeader implements http.ResponseWriter.
func (w *siftedResponse) WriteHeader(code int) {
	if !w.begun && w.tx.committed {
		if n, err := strconv.Atoi(w.Header().Get(samplesWritten)); err == nil {
			w.Header().Set(samplesWritten, strconv.Itoa(n+w.tx.taken))
		}
	}
	w.begun = true
	w.ResponseWriter.WriteHeader(code)
}

// Write implements http.ResponseWriter.
func (w *siftedResponse) Write(b []byte) (int, error) {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController find what is behind.
func (w *siftedResponse) Unwrap() http.ResponseWriter { return w.ResponseWriter }
