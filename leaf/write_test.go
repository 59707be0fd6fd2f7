package leaf

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
)

const otherCluster = `{__name__="up", cluster="eu-1", exported_cluster="other", job="a", zone="eu"}`

func upOther() labels.Labels {
	return labels.FromStrings("__name__", "up", "cluster", "other", "job", "a")
}

// v2Request builds a request of one series.
func v2Request(lset labels.Labels, m writev2.Metadata, help string, samples ...writev2.Sample) *writev2.Request {
	req := &writev2.Request{Symbols: []string{""}}
	ts := writev2.TimeSeries{Samples: samples, Metadata: m}
	symbol := func(s string) uint32 {
		req.Symbols = append(req.Symbols, s)
		return uint32(len(req.Symbols) - 1)
	}
	lset.Range(func(l labels.Label) { ts.LabelsRefs = append(ts.LabelsRefs, symbol(l.Name), symbol(l.Value)) })
	if help != "" {
		ts.Metadata.HelpRef = symbol(help)
	}
	req.Timeseries = []writev2.TimeSeries{ts}
	return req
}

func TestRemoteWriteRenames(t *testing.T) {
	l := openLeaf(t, testConfig(t.TempDir()), Deps{})
	req := &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{
		seriesV1(upOther(), prompb.Sample{Timestamp: 1000, Value: 1}, prompb.Sample{Timestamp: 2000, Value: 2}),
	}}
	if code, text := postV1(t, l.WriteHandler(), req); code != http.StatusNoContent {
		t.Fatalf("v1: %d %s", code, text)
	}
	if diff := cmp.Diff([]string{otherCluster + "=2"}, selected(t, l.served, eq("__name__", "up"))); diff != "" {
		t.Errorf("v1: %s", diff)
	}
	v2 := v2Request(upOther(), writev2.Metadata{}, "", writev2.Sample{Timestamp: 3000, Value: 3})
	if code, text := postV2(t, l.WriteHandler(), v2); code != http.StatusNoContent {
		t.Fatalf("v2: %d %s", code, text)
	}
	if diff := cmp.Diff([]string{otherCluster + "=3"}, selected(t, l.served, eq("__name__", "up"))); diff != "" {
		t.Errorf("v2: %s", diff)
	}
	if got := l.Describe().Samples; got != 3 {
		t.Errorf("samples appended: %d, want 3", got)
	}
}

// Senders retry upon 5xx and give up upon 4xx, so the codes must be Prometheus'.
func TestRemoteWriteStatus(t *testing.T) {
	cfg := testConfig(t.TempDir())
	l := openLeaf(t, cfg, Deps{})
	up := labels.FromStrings("__name__", "up")
	now := time.Now().UnixMilli()
	v1 := func(ts int64, v float64) *prompb.WriteRequest {
		return &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{seriesV1(up, prompb.Sample{Timestamp: ts, Value: v})}}
	}
	for _, c := range []struct {
		what string
		ts   int64
		v    float64
		want int
	}{
		{"first", now, 1, http.StatusNoContent},
		{"same again", now, 1, http.StatusNoContent},
		{"other value at the same time", now, 2, http.StatusBadRequest},
		{"out of order", now - 1000, 1, http.StatusBadRequest},
		{"out of bounds", now - 10*3600*1000, 1, http.StatusBadRequest},
		{"too far ahead", now + 3600*1000, 1, http.StatusBadRequest},
	} {
		if code, text := postV1(t, l.WriteHandler(), v1(c.ts, c.v)); code != c.want {
			t.Errorf("v1, %s: %d %s", c.what, code, text)
		}
		if c.what == "first" {
			continue
		}
		v2 := v2Request(up, writev2.Metadata{}, "", writev2.Sample{Timestamp: c.ts, Value: c.v})
		if code, text := postV2(t, l.WriteHandler(), v2); code != c.want {
			t.Errorf("v2, %s: %d %s", c.what, code, text)
		}
	}
	if diff := cmp.Diff([]string{`{__name__="up", cluster="eu-1", zone="eu"}=1`}, selected(t, l.served, eq("__name__", "up"))); diff != "" {
		t.Error(diff)
	}
}

func TestOutOfOrderWindow(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.OutOfOrderWindow = time.Hour
	l := openLeaf(t, cfg, Deps{})
	up := labels.FromStrings("__name__", "up")
	appendStored(t, l.written, 4_000_000, up)
	req := &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{seriesV1(up, prompb.Sample{Timestamp: 3_000_000, Value: 5})}}
	if code, text := postV1(t, l.WriteHandler(), req); code != http.StatusNoContent {
		t.Fatalf("within the window: %d %s", code, text)
	}
	if d := l.Describe(); d.Mint != 3_000_000 || d.Maxt != 4_000_000 || d.Series != 1 {
		t.Errorf("described %+v", d)
	}
	req.Timeseries[0].Samples[0].Timestamp = 1000
	if code, text := postV1(t, l.WriteHandler(), req); code != http.StatusBadRequest || !strings.Contains(text, "too old") {
		t.Errorf("outside the window: %d %s", code, text)
	}
}

func TestBadWriteBodies(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.MaxBodyBytes, cfg.MaxDecodedBytes = 2000, 8000
	l := openLeaf(t, cfg, Deps{})
	incompressible := make([]byte, 3000)
	random := rand.NewPCG(1, 2)
	for i := range incompressible {
		incompressible[i] = byte(random.Uint64())
	}
	v2 := "application/x-protobuf;proto=io.prometheus.write.v2.Request"
	giant := binary.AppendUvarint(nil, 1<<31)
	for _, c := range []struct {
		what, contentType, encoding string
		body                        []byte
		want                        int
	}{
		{"not snappy", "application/x-protobuf", "snappy", []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, http.StatusBadRequest},
		{"empty", "application/x-protobuf", "snappy", nil, http.StatusBadRequest},
		{"corrupt", "application/x-protobuf", "snappy", append(binary.AppendUvarint(nil, 10), 1, 2, 3), http.StatusBadRequest},
		{"giant declared length", "application/x-protobuf", "snappy", giant, http.StatusRequestEntityTooLarge},
		{"more declared than can be", "application/x-protobuf", "snappy", append(binary.AppendUvarint(nil, 7000), 1, 2, 3), http.StatusBadRequest},
		{"too long as sent", "application/x-protobuf", "snappy", snappy.Encode(nil, incompressible), http.StatusRequestEntityTooLarge},
		{"too long decoded", "application/x-protobuf", "snappy", snappy.Encode(nil, make([]byte, 9000)), http.StatusRequestEntityTooLarge},
		{"not a request", "application/x-protobuf", "snappy", snappy.Encode(nil, []byte("hello, world")), http.StatusBadRequest},
		{"v2: giant declared length", v2, "snappy", giant, http.StatusRequestEntityTooLarge},
		{"v2: too long decoded", v2, "snappy", snappy.Encode(nil, make([]byte, 9000)), http.StatusRequestEntityTooLarge},
		{"v2: not a request", v2, "snappy", snappy.Encode(nil, []byte("hello, world")), http.StatusBadRequest},
		{"json", "application/json", "snappy", snappy.Encode(nil, nil), http.StatusUnsupportedMediaType},
		{"gzip", "application/x-protobuf", "gzip", []byte{0}, http.StatusUnsupportedMediaType},
	} {
		if code, text := post(t, l.WriteHandler(), c.contentType, c.encoding, c.body); code != c.want || text == "" {
			t.Errorf("%s: %d %s, want %d", c.what, code, text, c.want)
		}
	}
	var bomb bytes.Buffer
	zw := gzip.NewWriter(&bomb)
	if _, err := zw.Write(make([]byte, 100_000)); err != nil {
		t.Fatal(err)
	}
	zw.Close()
	for _, c := range []struct {
		what, encoding string
		body           []byte
		want           int
	}{
		{"OTLP: gzip bomb", "gzip", bomb.Bytes(), http.StatusRequestEntityTooLarge},
		{"OTLP: too long", "", incompressible, http.StatusRequestEntityTooLarge},
		{"OTLP: not gzip", "gzip", []byte("hello"), http.StatusBadRequest},
		{"OTLP: not a request", "", []byte("hello"), http.StatusBadRequest},
		{"OTLP: other encoding", "zstd", []byte("hello"), http.StatusBadRequest},
	} {
		if code, text := post(t, l.OTLPHandler(), "application/x-protobuf", c.encoding, c.body); code != c.want || text == "" {
			t.Errorf("%s: %d %s, want %d", c.what, code, text, c.want)
		}
	}
}

func TestInvalidSeriesAreSkipped(t *testing.T) {
	l := openLeaf(t, testConfig(t.TempDir()), Deps{})
	sample := prompb.Sample{Timestamp: 1000, Value: 1}
	req := &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{
		seriesV1(labels.FromStrings("job", "nameless"), sample),
		{Labels: []prompb.Label{{Name: "__name__", Value: "m"}, {Name: "a", Value: "1"}, {Name: "a", Value: "2"}}, Samples: []prompb.Sample{sample}},
		// Labels out of order are sorted.
		{Labels: []prompb.Label{{Name: "b", Value: "1"}, {Name: "__name__", Value: "good"}}, Samples: []prompb.Sample{sample}},
	}}
	if code, text := postV1(t, l.WriteHandler(), req); code != http.StatusNoContent {
		t.Fatalf("%d %s", code, text)
	}
	if diff := cmp.Diff([]string{`{__name__="good", b="1", cluster="eu-1", zone="eu"}=1`}, selected(t, l.served, eq("zone", "eu"))); diff != "" {
		t.Error(diff)
	}
}

func TestMetadataSurvivesRestart(t *testing.T) {
	dir := t.TempDir()
	l := openLeaf(t, testConfig(dir), Deps{})
	v1 := &prompb.WriteRequest{
		Metadata: []prompb.MetricMetadata{{Type: prompb.MetricMetadata_COUNTER, MetricFamilyName: "requests_total", Help: "Requests.", Unit: ""}},
	}
	if code, text := postV1(t, l.WriteHandler(), v1); code != http.StatusNoContent {
		t.Fatalf("v1: %d %s", code, text)
	}
	v2 := v2Request(labels.FromStrings("__name__", "latency_seconds_bucket", "le", "1"),
		writev2.Metadata{Type: writev2.Metadata_METRIC_TYPE_HISTOGRAM}, "Latency.", writev2.Sample{Timestamp: 1000, Value: 1})
	if code, text := postV2(t, l.WriteHandler(), v2); code != http.StatusNoContent {
		t.Fatalf("v2: %d %s", code, text)
	}
	want := map[string][]metadata.Metadata{
		"requests_total":  {{Type: model.MetricTypeCounter, Help: "Requests."}},
		"latency_seconds": {{Type: model.MetricTypeHistogram, Help: "Latency."}},
	}
	if diff := cmp.Diff(want, l.Metadata("")); diff != "" {
		t.Fatal(diff)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = openLeaf(t, testConfig(dir), Deps{})
	if diff := cmp.Diff(want, l.Metadata("")); diff != "" {
		t.Errorf("after restart: %s", diff)
	}
	if diff := cmp.Diff(map[string][]metadata.Metadata{"requests_total": want["requests_total"]}, l.Metadata("requests_total")); diff != "" {
		t.Error(diff)
	}
	if got := l.Metadata("other"); len(got) != 0 {
		t.Error(got)
	}
}

func TestMetadataIsBounded(t *testing.T) {
	s, err := openMetadata(t.TempDir(), 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range []string{"a", "b", "c", "a"} {
		s.add(family, metadata.Metadata{Type: model.MetricTypeGauge, Help: family + strings.Repeat("x", 10_000)})
	}
	for i := range 100 {
		s.add("b", metadata.Metadata{Help: strings.Repeat("y", i)})
	}
	got := s.get("")
	if len(got) != 2 || len(got["a"]) != 1 || len(got["b"]) != maxMetadataEntries {
		t.Errorf("%d families, %d and %d entries", len(got), len(got["a"]), len(got["b"]))
	}
	if n := len(got["a"][0].Help); n > maxMetadataText {
		t.Errorf("text of %d bytes", n)
	}
	if n := len(got["b"][maxMetadataEntries-1].Help); n != 99 {
		t.Errorf("the newest entry was forgotten: %d", n)
	}
	// A file that cannot be read costs its content, not the start.
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, metadataFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err = openMetadata(dir, 2); err == nil || s == nil {
		t.Errorf("store %v, error %v", s, err)
	}
}

func TestOTLP(t *testing.T) {
	l := openLeaf(t, testConfig(t.TempDir()), Deps{})
	md := pmetric.NewMetrics()
	rm := md.ResourceMetrics().AppendEmpty()
	rm.Resource().Attributes().PutStr("service.name", "shop")
	m := rm.ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
	m.SetName("orders")
	m.SetDescription("Orders.")
	s := m.SetEmptySum()
	s.SetIsMonotonic(true)
	s.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	dp := s.DataPoints().AppendEmpty()
	dp.SetTimestamp(pcommon.NewTimestampFromTime(time.Now()))
	dp.SetIntValue(7)
	dp.Attributes().PutStr("zone", "mars")
	body, err := pmetricotlp.NewExportRequestFromMetrics(md).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	var zipped bytes.Buffer
	zw := gzip.NewWriter(&zipped)
	if _, err := zw.Write(body); err != nil {
		t.Fatal(err)
	}
	zw.Close()
	if code, text := post(t, l.OTLPHandler(), "application/x-protobuf", "gzip", zipped.Bytes()); code != http.StatusOK {
		t.Fatalf("%d %s", code, text)
	}
	want := []string{`{__name__="orders_total", cluster="eu-1", exported_zone="mars", job="shop", zone="eu"}=7`}
	if diff := cmp.Diff(want, selected(t, l.served, eq("__name__", "orders_total"))); diff != "" {
		t.Error(diff)
	}
	if got := l.Metadata("orders_total"); len(got["orders_total"]) != 1 || got["orders_total"][0].Help != "Orders." {
		t.Errorf("metadata: %v", l.Metadata(""))
	}
}

func TestHistogramsAndExemplars(t *testing.T) {
	l := openLeaf(t, testConfig(t.TempDir()), Deps{})
	h := tsdbutil.GenerateTestHistogram(3)
	fh := tsdbutil.GenerateTestFloatHistogram(4)
	ints := seriesV1(labels.FromStrings("__name__", "h"))
	ints.Histograms = []prompb.Histogram{prompb.FromIntHistogram(1000, h)}
	ints.Exemplars = []prompb.Exemplar{{Labels: []prompb.Label{{Name: "trace", Value: "t1"}}, Value: 5, Timestamp: 1000}}
	floats := seriesV1(labels.FromStrings("__name__", "h", "kind", "float"))
	floats.Histograms = []prompb.Histogram{prompb.FromFloatHistogram(1000, fh)}
	if code, text := postV1(t, l.WriteHandler(), &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{ints, floats}}); code != http.StatusNoContent {
		t.Fatalf("%d %s", code, text)
	}
	q, err := l.served.Querier(0, 2000)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	set := q.Select(t.Context(), true, nil, eq("__name__", "h"), eq("zone", "eu"))
	got := map[string]*histogram.FloatHistogram{}
	for set.Next() {
		it := set.At().Iterator(nil)
		for typ := it.Next(); typ != chunkenc.ValNone; typ = it.Next() {
			_, sample := it.AtFloatHistogram(nil)
			got[set.At().Labels().Get("kind")] = sample
		}
	}
	if !got[""].Equals(h.ToFloat(nil)) || !got["float"].Equals(fh) {
		t.Errorf("histograms: %v", got)
	}
	eq1, err := l.served.ExemplarQuerier(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ex, err := eq1.Select(0, 2000, []*labels.Matcher{eq("zone", "us")}, []*labels.Matcher{eq("zone", "eu"), eq("__name__", "h")})
	if err != nil {
		t.Fatal(err)
	}
	if len(ex) != 1 || ex[0].SeriesLabels.String() != `{__name__="h", cluster="eu-1", zone="eu"}` || ex[0].Exemplars[0].Labels.Get("trace") != "t1" {
		t.Errorf("exemplars: %v", ex)
	}
	// A histogram that contradicts itself cannot be stored however often.
	bad := prompb.FromIntHistogram(2000, h)
	bad.Count = &prompb.Histogram_CountInt{CountInt: 1}
	ints.Histograms, ints.Exemplars = []prompb.Histogram{bad}, nil
	if code, text := postV1(t, l.WriteHandler(), &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{ints}}); code != http.StatusBadRequest {
		t.Errorf("bad histogram: %d %s", code, text)
	}
}

// What was acknowledged is there after the process was killed: the directory as
// it is at that moment has it.
func TestAcknowledgedSamplesSurviveKill(t *testing.T) {
	dir, copied := t.TempDir(), t.TempDir()
	l := openLeaf(t, testConfig(dir), Deps{})
	var want []string
	for i := range 100 {
		lset := labels.FromStrings("__name__", "m", "i", string(rune('a'+i%26))+string(rune('a'+i/26)))
		req := &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{seriesV1(lset, prompb.Sample{Timestamp: 1000, Value: float64(i)})}}
		if code, text := postV1(t, l.WriteHandler(), req); code != http.StatusNoContent {
			t.Fatalf("%d %s", code, text)
		}
	}
	want = selected(t, l.served, eq("__name__", "m"))
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	again := openLeaf(t, testConfig(copied), Deps{})
	if diff := cmp.Diff(want, selected(t, again.served, eq("__name__", "m"))); diff != "" || len(want) != 100 {
		t.Errorf("%d series: %s", len(want), diff)
	}
}

// An unwritable storage is the sender's reason to try again.
func TestStorageErrorIsRetryable(t *testing.T) {
	l := openLeaf(t, testConfig(t.TempDir()), Deps{})
	l.written.v1 = failing{l.store.DB}
	req := &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{seriesV1(upOther(), prompb.Sample{Timestamp: 1000, Value: 1})}}
	if code, text := postV1(t, l.WriteHandler(), req); code != http.StatusInternalServerError {
		t.Errorf("%d %s", code, text)
	}
	if got := l.Describe().Samples; got != 0 {
		t.Errorf("%d samples counted", got)
	}
}

// FuzzWriteV1 compares the reading of requests with Prometheus' own.
func FuzzWriteV1(f *testing.F) {
	seed := &prompb.WriteRequest{
		Timeseries: []prompb.TimeSeries{seriesV1(upOther(), prompb.Sample{Timestamp: 1000, Value: 1}, prompb.Sample{Timestamp: -1, Value: math.NaN()})},
		Metadata:   []prompb.MetricMetadata{{MetricFamilyName: "up", Help: "h"}},
	}
	body, err := seed.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Add([]byte{0x0a, 0x04, 0x12, 0x02, 0x10, 0x05})
	f.Fuzz(func(t *testing.T, body []byte) {
		var want prompb.WriteRequest
		wantErr := want.Unmarshal(body)
		rec := &recorder{}
		tx := v1Tx{leaf: &Leaf{logger: discard(), metrics: newMetrics(nil)}, app: rec, maxTime: math.MaxInt64}
		err := tx.request(body)
		// Prometheus does not look at what ends a group, nor for field numbers
		// and integers that cannot be. Nobody sends any of these.
		if err != nil && wantErr == nil && regexp.MustCompile("group|field number|overflow").MatchString(err.Error()) {
			return
		}
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("error %v, Prometheus': %v", err, wantErr)
		}
		if err != nil {
			return
		}
		if diff := cmp.Diff(expected(want), rec.lines); diff != "" {
			t.Error(diff)
		}
		if len(tx.metadata) != len(want.Metadata) {
			t.Errorf("%d metadata entries, want %d", len(tx.metadata), len(want.Metadata))
		}
	})
}

var _ storage.Appender = (*recorder)(nil)
