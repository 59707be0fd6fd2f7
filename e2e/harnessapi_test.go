package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"

	"github.com/pandometrics/pando/querytree/treehttp"
)

// caller asks processes over HTTP; nothing takes longer than this.
var caller = &http.Client{Timeout: 60 * time.Second}

// answer is what the Prometheus HTTP API answers, as far as the tests look.
type answer struct {
	Code     int
	Partial  bool // the header says so
	Status   string
	Error    string
	Warnings []string
	Data     json.RawMessage
}

// queryData is the data of a query's answer.
type queryData struct {
	ResultType string          `json:"resultType"`
	Result     json.RawMessage `json:"result"`
	Stats      struct {
		Pando *treehttp.Completeness `json:"pando"`
	} `json:"stats"`
}

// call asks an endpoint of the Prometheus HTTP API: with parameters in a form,
// or, if there are none, plainly.
func call(base, path string, params url.Values) (answer, error) {
	res, err := func() (*http.Response, error) {
		if params == nil {
			return caller.Get(base + path)
		}
		return caller.PostForm(base+path, params)
	}()
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 256<<20))
	if err != nil {
		return answer{}, err
	}
	a := answer{Code: res.StatusCode, Partial: res.Header.Get(treehttp.PartialHeader) == "true"}
	if err := json.Unmarshal(body, &a); err != nil {
		return a, fmt.Errorf("%s%s answered %s: %.200q", base, path, res.Status, body)
	}
	return a, nil
}

// ask asks an instant query, with parameters given as name and value.
func ask(base, query string, params ...string) (answer, error) {
	p := url.Values{"query": {query}}
	for i := 0; i < len(params); i += 2 {
		p.Set(params[i], params[i+1])
	}
	return call(base, "/api/v1/query", p)
}

// vector asks an instant query that must be answered whole.
func vector(base, query string, params ...string) (model.Vector, error) {
	a, err := ask(base, query, params...)
	if err != nil {
		return nil, err
	}
	if a.Status != "success" || len(a.Warnings) > 0 || a.Partial {
		return nil, fmt.Errorf("%s: status %d, partial %v, error %q, warnings %q", query, a.Code, a.Partial, a.Error, a.Warnings)
	}
	return a.vector()
}

func (a answer) vector() (model.Vector, error) {
	d, err := a.query()
	if err != nil {
		return nil, err
	}
	var v model.Vector
	return v, json.Unmarshal(d.Result, &v)
}

func (a answer) query() (queryData, error) {
	var d queryData
	if a.Status != "success" {
		return d, fmt.Errorf("status %d: %s", a.Code, a.Error)
	}
	return d, json.Unmarshal(a.Data, &d)
}

// number asks an instant query whose whole answer is one sample.
func number(base, query string, params ...string) (float64, error) {
	v, err := vector(base, query, params...)
	if err != nil {
		return 0, err
	}
	if len(v) != 1 {
		return 0, fmt.Errorf("%s: %d series", query, len(v))
	}
	return float64(v[0].Value), nil
}

// becomes waits until the answer to a query is whole and one sample of that value.
func becomes(tb testing.TB, within time.Duration, base, query string, want float64) {
	tb.Helper()
	eventually(tb, within, func() error {
		got, err := number(base, query)
		if err == nil && got != want {
			err = fmt.Errorf("%s is %v, want %v", query, got, want)
		}
		return err
	})
}

// treeOf returns the live tree that a tier shows.
func treeOf(base string) (treehttp.Tree, error) {
	var t treehttp.Tree
	res, err := caller.Get(base + "/pando/api/v1/tree")
	if err != nil {
		return t, err
	}
	defer res.Body.Close()
	return t, json.NewDecoder(res.Body).Decode(&t)
}

// awaitLeaves waits until that many leaves are connected below a tier.
func awaitLeaves(tb testing.TB, p *process, want int) {
	tb.Helper()
	eventually(tb, 60*time.Second, func() error {
		t, err := treeOf(p.http)
		if err == nil && t.Self.Leaves != want {
			err = fmt.Errorf("%s has %d leaves, want %d", p.name, t.Self.Leaves, want)
		}
		return err
	})
}

// point is one sample to write.
type point struct {
	series labels.Labels
	at     time.Time
	value  float64
}

// pt is a sample of now.
func pt(value float64, lset ...string) point {
	return point{labels.FromStrings(lset...), time.Now(), value}
}

// encode makes a remote write request of samples.
func encode(points ...point) []byte {
	var series []prompb.TimeSeries
	for _, p := range points {
		series = append(series, prompb.TimeSeries{
			Labels:  prompb.FromLabels(p.series, nil),
			Samples: []prompb.Sample{{Value: p.value, Timestamp: p.at.UnixMilli()}},
		})
	}
	return encodeSeries(series...)
}

// encodeSeries makes a remote write request.
func encodeSeries(series ...prompb.TimeSeries) []byte {
	raw, err := (&prompb.WriteRequest{Timeseries: series}).Marshal()
	if err != nil {
		panic(err) // it holds nothing that cannot be encoded
	}
	return snappy.Encode(nil, raw)
}

// post sends a remote write request, and returns the status and the text of the
// answer.
func post(ctx context.Context, base string, body []byte) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/api/v1/write", bytes.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("Content-Encoding", "snappy")
	req.Header.Set("X-Prometheus-Remote-Write-Version", "0.1.0")
	res, err := caller.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return res.StatusCode, string(text), err
}

// write writes samples that must be accepted.
func write(tb testing.TB, leaf *process, points ...point) {
	tb.Helper()
	eventually(tb, 60*time.Second, func() error {
		code, text, err := post(context.Background(), leaf.http, encode(points...))
		switch {
		case err != nil:
			return err
		case code/100 == 5:
			return errors.New(text) // still starting
		case code/100 != 2:
			tb.Fatalf("write to %s: %d %s", leaf.name, code, text)
		}
		return nil
	})
}

// seconds is a time as the API takes it.
func seconds(t time.Time) string {
	return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64)
}

// mentions returns an error unless some text names all words.
func mentions(texts []string, words ...string) error {
	all := strings.Join(texts, "\n")
	for _, w := range words {
		if !strings.Contains(all, w) {
			return fmt.Errorf("%q is not named in %q", w, all)
		}
	}
	return nil
}

// near reports whether values differ by the rounding of another order of summation.
func near(a, b float64) bool {
	return a == b || math.Abs(a-b) <= 1e-9*max(math.Abs(a), math.Abs(b)) || math.IsNaN(a) && math.IsNaN(b)
}
