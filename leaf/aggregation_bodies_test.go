package leaf

import (
	"net/http"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
)

// protocol is a way to send the samples that aggregation is measured with.
type protocol struct {
	handler func(*Leaf) http.Handler
	header  map[string]string
	bodies  func(b *testing.B, sets []labels.Labels, ts int64, round int) [][]byte
	// answered is the status of a request that was taken.
	answered int
}

// protocols are those that a leaf understands, by what the benchmark calls them.
func protocols() map[string]protocol {
	snappied := func(contentType string) map[string]string {
		return map[string]string{"Content-Type": contentType, "Content-Encoding": "snappy"}
	}
	return map[string]protocol{
		"write":  {(*Leaf).WriteHandler, snappied("application/x-protobuf"), aggregationBodies, http.StatusNoContent},
		"write2": {(*Leaf).WriteHandler, snappied("application/x-protobuf;proto=io.prometheus.write.v2.Request"), aggregationBodiesV2, http.StatusNoContent},
		"otlp":   {(*Leaf).OTLPHandler, map[string]string{"Content-Type": "application/x-protobuf"}, aggregationBodiesOTLP, http.StatusOK},
	}
}

// seriesPerBody is how many series a request has.
const seriesPerBody = 2000

// aggregationBodies are requests of remote write 1.0, as a Prometheus sends them.
func aggregationBodies(b *testing.B, sets []labels.Labels, ts int64, round int) (out [][]byte) {
	b.Helper()
	for from := 0; from < len(sets); from += seriesPerBody {
		req := &prompb.WriteRequest{}
		for i := from; i < from+seriesPerBody; i++ {
			req.Timeseries = append(req.Timeseries, seriesV1(sets[i], prompb.Sample{Timestamp: ts, Value: aggregationValue(i, round)}))
		}
		body, err := req.Marshal()
		if err != nil {
			b.Fatal(err)
		}
		out = append(out, snappy.Encode(nil, body))
	}
	return out
}

func aggregationValue(i, round int) float64 { return float64(round*10 + i%7) }

// aggregationBodiesV2 are the same of remote write 2.0, with metadata and without
// start timestamps.
func aggregationBodiesV2(b *testing.B, sets []labels.Labels, ts int64, round int) (out [][]byte) {
	b.Helper()
	for from := 0; from < len(sets); from += seriesPerBody {
		symbols, req := writev2.NewSymbolTable(), &writev2.Request{}
		for i := from; i < from+seriesPerBody; i++ {
			s := writev2.TimeSeries{LabelsRefs: symbols.SymbolizeLabels(sets[i], nil), Samples: []writev2.Sample{{Timestamp: ts, Value: aggregationValue(i, round)}}}
			s.Metadata.Type = writev2.Metadata_METRIC_TYPE_COUNTER
			req.Timeseries = append(req.Timeseries, s)
		}
		req.Symbols = symbols.Symbols()
		body, err := req.Marshal()
		if err != nil {
			b.Fatal(err)
		}
		out = append(out, snappy.Encode(nil, body))
	}
	return out
}

// aggregationBodiesOTLP are the same of OTLP: a request for each pod, with a metric
// for each name, as an SDK or a collector sends them.
func aggregationBodiesOTLP(b *testing.B, sets []labels.Labels, ts int64, round int) (out [][]byte) {
	b.Helper()
	begun := pcommon.NewTimestampFromTime(time.UnixMilli(ts).Add(-time.Duration(round) * benchInterval))
	for pod := range benchRatio {
		md := pmetric.NewMetrics()
		rm := md.ResourceMetrics().AppendEmpty()
		rm.Resource().Attributes().PutStr("service.name", sets[pod].Get("job"))
		rm.Resource().Attributes().PutStr("service.instance.id", sets[pod].Get("instance"))
		scope, metrics := rm.ScopeMetrics().AppendEmpty(), map[string]pmetric.Sum{}
		for i := pod; i < len(sets); i += benchRatio {
			name := sets[i].Get(labels.MetricName)
			sum, ok := metrics[name]
			if !ok {
				m := scope.Metrics().AppendEmpty()
				m.SetName(name[:len(name)-len("_total")])
				sum = m.SetEmptySum()
				sum.SetIsMonotonic(true)
				sum.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
				metrics[name] = sum
			}
			dp := sum.DataPoints().AppendEmpty()
			dp.SetStartTimestamp(begun)
			dp.SetTimestamp(pcommon.NewTimestampFromTime(time.UnixMilli(ts)))
			dp.SetDoubleValue(aggregationValue(i, round))
			sets[i].Range(func(l labels.Label) {
				if l.Name != labels.MetricName && l.Name != "job" && l.Name != "instance" {
					dp.Attributes().PutStr(l.Name, l.Value)
				}
			})
		}
		body, err := pmetricotlp.NewExportRequestFromMetrics(md).MarshalProto()
		if err != nil {
			b.Fatal(err)
		}
		out = append(out, body)
	}
	return out
}
