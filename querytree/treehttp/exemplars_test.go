package treehttp

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/pandometrics/pando/querytree"
)

// missingExemplars are those of a tree that lacks a child.
type missingExemplars struct{}

func (missingExemplars) ExemplarQuerier(ctx context.Context) (storage.ExemplarQuerier, error) {
	return missingOf{ctx}, nil
}

type missingOf struct{ ctx context.Context }

func (m missingOf) Select(mint, maxt int64, selectors ...[]*labels.Matcher) ([]exemplar.QueryResult, error) {
	if len(selectors) == 2 {
		return nil, errors.New("two are too many")
	}
	var ws annotations.Annotations
	querytree.ReportFrom(m.ctx).Warn(ws.Add(errors.New("leaf eu-2 did not answer")))
	return []exemplar.QueryResult{{
		SeriesLabels: labels.FromStrings("__name__", "up"),
		Exemplars:    []exemplar.Exemplar{{Labels: labels.FromStrings("id", "7"), Value: 1.5, Ts: mint, HasTs: true}},
	}}, nil
}

// Exemplars are told as Prometheus tells them, and beside them what is missing.
func TestExemplars(t *testing.T) {
	cfg := zoneLike(t)
	cfg.Exemplars = missingExemplars{}
	f := build(t, cfg)
	const answer = `{"status":"success","data":[{"seriesLabels":{"__name__":"up"},"exemplars":[{"labels":{"id":"7"},"value":"1.5","timestamp":60}]}],` +
		`"warnings":["leaf eu-2 did not answer"]}`
	for _, c := range []struct {
		params string
		code   int
		body   string
	}{
		{"query=up&start=60&end=120", 200, answer},
		{"query=up&start=1970-01-01T00:01:00Z", 200, answer},
		{"query=1", 200, `{"status":"success","data":[]}`},
		{"query=up&start=2&end=1", 400, `end timestamp must not be before start timestamp`},
		{"query=up&start=x", 400, `invalid parameter \"start\": cannot parse \"x\" to a valid timestamp`},
		{"query=up&end=x", 400, `invalid parameter \"end\"`},
		{"query=up(", 400, `bad_data`},
		{"", 400, `bad_data`},
		{"query=up/down", 422, `two are too many`},
	} {
		for _, method := range []string{"GET", "POST"} {
			target, form := "/api/v1/query_exemplars?"+c.params, ""
			if method == "POST" {
				target, form = "/api/v1/query_exemplars", c.params
			}
			r := f.do(method, target, form)
			if body := r.Body.String(); r.Code != c.code || !strings.Contains(body, c.body) {
				t.Errorf("%s %s: %d %s", method, c.params, r.Code, body)
			}
		}
	}
}
