package leaf

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"
	"unsafe"

	remoteapi "github.com/prometheus/client_golang/exp/api/remote"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/storage"
	"google.golang.org/protobuf/encoding/protowire"
)

// maxAhead is how far in the future a remote-written sample may be, as in
// Prometheus: a wrong clock would else block the head.
const maxAhead = 10 * time.Minute

// writeV1 stores requests of remote write 1.0. Prometheus' own handler drops
// their metadata, and does not let anyone else see the decoded request. So this
// reads the request from its bytes, without building it in memory first:
//
//	WriteRequest { 1: repeated TimeSeries, 3: repeated MetricMetadata }
//	TimeSeries   { 1: repeated Label, 2: repeated Sample, 3: repeated Exemplar, 4: repeated Histogram }
//	Label        { 1: string name, 2: string value }
//	Sample       { 1: double value, 2: int64 timestamp }
//
// It answers as Prometheus does: series with invalid labels are skipped, and
// the first sample that cannot be stored fails the request whole.
type writeV1 struct {
	leaf *Leaf
}

// Store implements the storage interface of remoteapi.NewWriteHandler.
func (s *writeV1) Store(r *http.Request, _ remoteapi.WriteMessageType) (*remoteapi.WriteResponse, error) {
	res := remoteapi.NewWriteResponse()
	body, ok := r.Body.(decodedBody)
	if !ok {
		return res, errors.New("remote write: request body was not decoded")
	}
	tx := v1Tx{leaf: s.leaf, app: s.leaf.in.Appender(r.Context()), maxTime: s.leaf.now().Add(maxAhead).UnixMilli()}
	tx.known, _ = tx.app.(knownAppender)
	err := tx.request(body.data)
	if err != nil {
		err = errors.Join(err, tx.app.Rollback())
	} else if err = tx.app.Commit(); err == nil {
		for _, m := range tx.metadata {
			s.leaf.metadata.add(m.family, m.Metadata)
		}
	}
	if tx.skipped > 0 {
		s.leaf.metrics.invalidSeries.Add(float64(tx.skipped))
	}
	if err == nil {
		return res, nil
	}
	res.SetStatusCode(http.StatusInternalServerError)
	if isInputError(err) || errors.Is(err, errMalformed) {
		res.SetStatusCode(http.StatusBadRequest)
	}
	return res, err
}

var errMalformed = errors.New("malformed remote write request")

func malformed(what string, err error) error {
	return fmt.Errorf("%w: %s: %w", errMalformed, what, err)
}

// field is one field of a protobuf message: the bytes of a length-delimited
// one, or the value of a number.
type field struct {
	num   protowire.Number
	typ   protowire.Type
	bytes []byte
	value uint64
}

// nextField splits the first field off a message.
func nextField(b []byte) (field, []byte, error) {
	num, typ, n := protowire.ConsumeTag(b)
	if n < 0 {
		return field{}, nil, protowire.ParseError(n)
	}
	b = b[n:]
	f := field{num: num, typ: typ}
	switch typ {
	case protowire.BytesType:
		f.bytes, n = protowire.ConsumeBytes(b)
	case protowire.VarintType:
		f.value, n = protowire.ConsumeVarint(b)
	case protowire.Fixed64Type:
		f.value, n = protowire.ConsumeFixed64(b)
	default:
		n = protowire.ConsumeFieldValue(num, typ, b)
	}
	if n < 0 {
		return field{}, nil, protowire.ParseError(n)
	}
	return f, b[n:], nil
}

// v1Tx stores one request.
type v1Tx struct {
	leaf    *Leaf
	app     storage.Appender
	maxTime int64

	// known takes samples of series whose labels need not be decoded. May be nil.
	known    knownAppender
	builder  labels.ScratchBuilder
	labels   [][]byte
	samples  [][]byte
	others   []field // exemplars and histograms
	metadata []familyMetadata
	skipped  int
}

// knownAppender knows series by the bytes of their labels, as sent.
type knownAppender interface {
	// AppendKnown appends a sample, if it was told of these labels.
	AppendKnown(labels []byte, t int64, v float64) bool
	// Learn tells whose labels these are.
	Learn(labels []byte, ref storage.SeriesRef)
}

type familyMetadata struct {
	family string
	metadata.Metadata
}

func (tx *v1Tx) request(b []byte) error {
	for len(b) > 0 {
		f, rest, err := nextField(b)
		if err != nil {
			return malformed("request", err)
		}
		switch {
		case f.num == 1 && f.typ == protowire.BytesType:
			err = tx.series(f.bytes)
		case f.num == 3 && f.typ == protowire.BytesType:
			err = tx.describe(f.bytes)
		case f.num == 1 || f.num == 3:
			err = malformed("request", fmt.Errorf("field %d has wire type %d", f.num, f.typ))
		}
		if err != nil {
			return err
		}
		b = rest
	}
	return nil
}

func (tx *v1Tx) describe(b []byte) error {
	var m prompb.MetricMetadata
	if err := m.Unmarshal(b); err != nil {
		return malformed("metadata", err)
	}
	tx.metadata = append(tx.metadata, familyMetadata{
		family:   m.MetricFamilyName,
		Metadata: metadata.Metadata{Type: model.MetricType(strings.ToLower(m.Type.String())), Unit: m.Unit, Help: m.Help},
	})
	return nil
}

// series stores one TimeSeries. Its fields may come in any order.
func (tx *v1Tx) series(b []byte) error {
	tx.labels, tx.samples, tx.others = tx.labels[:0], tx.samples[:0], tx.others[:0]
	sent := sentLabels{all: b}
	for len(b) > 0 {
		f, rest, err := nextField(b)
		if err != nil {
			return malformed("series", err)
		}
		if f.num == 1 {
			sent.add(len(sent.all)-len(b), len(sent.all)-len(rest))
		}
		b = rest
		if f.num >= 1 && f.num <= 4 && f.typ != protowire.BytesType {
			return malformed("series", fmt.Errorf("field %d has wire type %d", f.num, f.typ))
		}
		switch f.num {
		case 1:
			tx.labels = append(tx.labels, f.bytes)
		case 2:
			tx.samples = append(tx.samples, f.bytes)
		case 3, 4:
			tx.others = append(tx.others, f)
		}
	}
	if tx.appendKnown(sent.bytes()) {
		return nil
	}
	tx.builder.Reset()
	for _, l := range tx.labels {
		if err := tx.label(l); err != nil {
			return err
		}
	}
	tx.builder.Sort()
	lset := tx.builder.Labels()
	if !lset.Has(labels.MetricName) || !lset.IsValid(model.UTF8Validation) {
		return tx.skip("invalid metric name or labels", lset)
	}
	if name, dup := lset.HasDuplicateLabelNames(); dup {
		return tx.skip("duplicate label "+name, lset)
	}
	return tx.append(lset, sent.bytes())
}

// sentLabels is where in a series its labels are.
type sentLabels struct {
	all       []byte
	from, to  int
	scattered bool // there is something between
}

func (s *sentLabels) add(from, to int) {
	if s.to == 0 {
		s.from = from
	} else if s.to != from {
		s.scattered = true
	}
	s.to = to
}

// bytes returns the labels as sent, or nil if they are not in one piece.
func (s *sentLabels) bytes() []byte {
	if s.scattered {
		return nil
	}
	return s.all[s.from:s.to]
}

// appendKnown appends the samples of a series whose labels are known, if they are and
// it has nothing else.
func (tx *v1Tx) appendKnown(sent []byte) bool {
	if tx.known == nil || len(sent) == 0 || len(tx.others) > 0 || len(tx.samples) != 1 {
		return false
	}
	t, v, err := sampleV1(tx.samples[0])
	if err != nil || tx.notAhead(t) != nil {
		return false // is told with the labels
	}
	return tx.known.AppendKnown(sent, t, v)
}

// skip leaves a series out. It must still be well-formed.
func (tx *v1Tx) skip(why string, lset labels.Labels) error {
	tx.skipped++
	tx.leaf.logger.Warn("remote-written series dropped", "why", why, "series", lset.String())
	for _, b := range tx.samples {
		if _, _, err := sampleV1(b); err != nil {
			return err
		}
	}
	for _, f := range tx.others {
		var err error
		if f.num == 4 {
			err = new(prompb.Histogram).Unmarshal(f.bytes)
		} else {
			err = new(prompb.Exemplar).Unmarshal(f.bytes)
		}
		if err != nil {
			return malformed("series", err)
		}
	}
	return nil
}

func (tx *v1Tx) label(b []byte) error {
	var name, value string
	for len(b) > 0 {
		f, rest, err := nextField(b)
		if err != nil {
			return malformed("label", err)
		}
		b = rest
		if (f.num == 1 || f.num == 2) && f.typ != protowire.BytesType {
			return malformed("label", fmt.Errorf("field %d has wire type %d", f.num, f.typ))
		}
		switch f.num {
		case 1:
			name = borrowed(f.bytes)
		case 2:
			value = borrowed(f.bytes)
		}
	}
	tx.builder.Add(name, value)
	return nil
}

// borrowed is b as a string, without a copy: for the label builder, which makes
// its own copy of what it is given before the request body is let go of.
func borrowed(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// append appends what a series has. Sent are its labels as sent, or nil.
func (tx *v1Tx) append(lset labels.Labels, sent []byte) error {
	var ref storage.SeriesRef
	for _, b := range tx.samples {
		t, v, err := sampleV1(b)
		if err != nil {
			return err
		}
		if err := tx.notAhead(t); err != nil {
			return tx.refused(err, lset, t)
		}
		if ref, err = tx.app.Append(ref, lset, t, v); err != nil {
			return tx.refused(err, lset, t)
		}
	}
	if tx.known != nil && ref != 0 && len(sent) > 0 {
		tx.known.Learn(sent, ref)
	}
	// Exemplars of native histograms come with the series of the histogram,
	// which must exist: histograms first.
	for _, f := range tx.others {
		if f.num == 4 {
			if err := tx.histogram(lset, f.bytes); err != nil {
				return err
			}
		}
	}
	for _, f := range tx.others {
		if f.num == 3 {
			if err := tx.exemplar(lset, f.bytes); err != nil {
				return err
			}
		}
	}
	return nil
}

func sampleV1(b []byte) (t int64, v float64, err error) {
	for len(b) > 0 {
		f, rest, err := nextField(b)
		if err != nil {
			return 0, 0, malformed("sample", err)
		}
		b = rest
		switch {
		case f.num == 1 && f.typ == protowire.Fixed64Type:
			v = math.Float64frombits(f.value)
		case f.num == 2 && f.typ == protowire.VarintType:
			t = int64(f.value)
		case f.num == 1 || f.num == 2:
			return 0, 0, malformed("sample", fmt.Errorf("field %d has wire type %d", f.num, f.typ))
		}
	}
	return t, v, nil
}

func (tx *v1Tx) notAhead(t int64) error {
	if t > tx.maxTime {
		return fmt.Errorf("%w: timestamp is too far in the future", storage.ErrOutOfBounds)
	}
	return nil
}

func (tx *v1Tx) refused(err error, lset labels.Labels, t int64) error {
	return fmt.Errorf("append to series %s at %d: %w", lset, t, err)
}

func (tx *v1Tx) histogram(lset labels.Labels, b []byte) error {
	var hp prompb.Histogram
	if err := hp.Unmarshal(b); err != nil {
		return malformed("histogram", err)
	}
	err := tx.notAhead(hp.Timestamp)
	if err == nil {
		err = tx.appendHistogram(lset, hp)
	}
	if err != nil {
		return tx.refused(err, lset, hp.Timestamp)
	}
	return nil
}

func (tx *v1Tx) appendHistogram(lset labels.Labels, hp prompb.Histogram) error {
	if hp.IsFloatHistogram() {
		fh := hp.ToFloatHistogram()
		if tooFine(fh.Schema) {
			if err := fh.ReduceResolution(histogram.ExponentialSchemaMax); err != nil {
				return err
			}
		}
		_, err := tx.app.AppendHistogram(0, lset, hp.Timestamp, nil, fh)
		return err
	}
	h := hp.ToIntHistogram()
	if tooFine(h.Schema) {
		if err := h.ReduceResolution(histogram.ExponentialSchemaMax); err != nil {
			return err
		}
	}
	_, err := tx.app.AppendHistogram(0, lset, hp.Timestamp, h, nil)
	return err
}

func tooFine(schema int32) bool {
	return histogram.IsExponentialSchemaReserved(schema) && schema > histogram.ExponentialSchemaMax
}

// exemplar stores an exemplar if it can: as in Prometheus, one that cannot be
// stored does not fail the request.
func (tx *v1Tx) exemplar(lset labels.Labels, b []byte) error {
	var ep prompb.Exemplar
	if err := ep.Unmarshal(b); err != nil {
		return malformed("exemplar", err)
	}
	e := ep.ToExemplar(&tx.builder, nil)
	err := tx.notAhead(e.Ts)
	if err == nil {
		_, err = tx.app.AppendExemplar(0, lset, e)
	}
	if err != nil {
		tx.leaf.logger.Debug("exemplar not stored", "series", lset.String(), "err", err)
	}
	return nil
}
