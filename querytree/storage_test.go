package querytree

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser/posrange"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

var errDisk = errors.New("input/output error")

// brokenStorage is a leaf whose disk is broken.
func brokenStorage(tb testing.TB, d Description) Child {
	tb.Helper()
	cfg := MixerConfig{Limits: DefaultLimits(), Lookback: 5 * time.Minute, SubqueryStep: time.Minute}
	l, err := NewLocal(LocalConfig{
		Engine: promql.NewEngine(EngineOpts(cfg, NewParser())), Samples: brokenDisk{}, Chunks: brokenDisk{}, Limits: cfg.Limits,
		Describe: func() Description { return d },
	})
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

type brokenDisk struct{}

func (brokenDisk) Querier(int64, int64) (storage.Querier, error)           { return brokenQuerier{}, nil }
func (brokenDisk) ChunkQuerier(int64, int64) (storage.ChunkQuerier, error) { return nil, errDisk }

type brokenQuerier struct{ storage.Querier }

func (brokenQuerier) Select(context.Context, bool, *storage.SelectHints, ...*labels.Matcher) storage.SeriesSet {
	return storage.ErrSeriesSet(errDisk)
}

func (brokenQuerier) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, errDisk
}

func (brokenQuerier) Close() error { return nil }

// mixedSum is what a stock engine says of the sum of series.
func mixedSum(series []promql.Series, req ExecRequest) ResultSet {
	var warn annotations.Annotations
	floats, histograms := 0.0, 0
	for _, s := range series {
		for _, p := range s.Floats {
			floats += p.F
		}
		histograms += len(s.Histograms)
	}
	if histograms > 0 {
		warn.Add(annotations.NewMixedFloatsHistogramsAggWarning(posrange.PositionRange{}))
		return NewMatrixSet(nil, warn, Report{})
	}
	return NewMatrixSet(promql.Matrix{{Floats: []promql.FPoint{{T: req.Start, F: floats}}}}, nil, Report{})
}
