package gitops

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pandometrics/pando/gitops/wave"
)

// Names of the metrics by which loops tell each other, through the tree, what
// runs where. Each cluster's loop exports its own; the leaf that scrapes it
// adds the cluster.
const (
	// MetricLoaded{revision,wave} is when the cluster's workload confirmed it.
	MetricLoaded = "pando_config_loaded_timestamp_seconds"
	// MetricRejected{revision,why} is when the cluster rejected it.
	MetricRejected = "pando_config_rejected_timestamp_seconds"
	// MetricPaused is 1 while the cluster asks all to pause.
	MetricPaused = "pando_config_paused"
	// MetricRevision{revision,state,wave} tells of revisions that the cluster knows.
	MetricRevision = "pando_config_revision_info"
)

// statePending is the label state of a revision that is being delivered.
const statePending = "pending"

// pausedSeparator is between the names of wave.Fleet.Paused.
const pausedSeparator = ", "

// Job is the label job that control loops must be scraped with. Whatever else a
// leaf scrapes may export metrics of the same names, and is not believed.
const Job = "pando-gitops"

// FleetQuery is what the root is asked for. Of MetricRevision, which alone has a label
// state, it is what is being delivered.
const FleetQuery = `{__name__=~"` + MetricLoaded + `|` + MetricRejected + `|` + MetricPaused + `|` + MetricRevision + `",state=~"|` + statePending + `",job="` + Job + `"}`

// Root asks the root of the tree over its HTTP API, strictly: an answer that
// lacks a part of the tree is an error. It is safe for concurrent use.
type Root struct {
	url    string
	client *http.Client
	limit  time.Duration
}

// NewRoot returns a client for the root at a URL. limit bounds one question;
// client may be nil.
func NewRoot(base string, client *http.Client, limit time.Duration) (*Root, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("URL %q of the root must begin with http:// or https:// and name a host", base)
	}
	if client == nil {
		client = http.DefaultClient
	}
	if limit <= 0 {
		limit = 10 * time.Second
	}
	return &Root{url: strings.TrimSuffix(base, "/") + "/api/v1/query", client: client, limit: limit}, nil
}

// rootAnswer is of Prometheus' HTTP API.
type rootAnswer struct {
	Status   string   `json:"status"`
	Error    string   `json:"error"`
	Warnings []string `json:"warnings"`
	Data     struct {
		Type   string          `json:"resultType"`
		Result json.RawMessage `json:"result"`
	} `json:"data"`
}

type rootSample struct {
	Metric map[string]string `json:"metric"`
	Value  point             `json:"value"`
}

// point is a time and a value in quotes.
type point float64

// UnmarshalJSON implements json.Unmarshaler.
func (p *point) UnmarshalJSON(data []byte) error {
	var pair [2]json.RawMessage
	if err := json.Unmarshal(data, &pair); err != nil {
		return err
	}
	var text string
	if err := json.Unmarshal(pair[1], &text); err != nil {
		return err
	}
	f, err := strconv.ParseFloat(text, 64)
	*p = point(f)
	return err
}

// answerLimit bounds what is read of the root's answer: 100,000 series.
const answerLimit = 64 << 20

// ask returns the samples of an instant query; those of a scalar have no labels.
// A partial answer is an error, unless it is allowed.
func (r *Root) ask(ctx context.Context, query string, partial bool) ([]rootSample, error) {
	ctx, cancel := context.WithTimeout(ctx, r.limit)
	defer cancel()
	form := url.Values{"query": {query}, "partial_response": {strconv.FormatBool(partial)}, "timeout": {r.limit.String()}}
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, fmt.Errorf("ask the root: %w", err)
	}
	q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := r.client.Do(q)
	if err != nil {
		return nil, fmt.Errorf("ask the root: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	var a rootAnswer
	if err := json.NewDecoder(io.LimitReader(resp.Body, answerLimit)).Decode(&a); err != nil {
		return nil, fmt.Errorf("ask the root: HTTP status %d, answer cannot be read: %w", resp.StatusCode, err)
	}
	switch {
	case a.Status != "success" || resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("ask the root: HTTP status %d: %.300s", resp.StatusCode, a.Error)
	case len(a.Warnings) > 0 && !partial:
		return nil, fmt.Errorf("ask the root: the answer is partial: %.300s", strings.Join(a.Warnings, "; "))
	}
	return samples(a)
}

func samples(a rootAnswer) ([]rootSample, error) {
	switch a.Data.Type {
	case "vector":
		var out []rootSample
		if err := json.Unmarshal(a.Data.Result, &out); err != nil {
			return nil, fmt.Errorf("ask the root: read its samples: %w", err)
		}
		return out, nil
	case "scalar":
		var p point
		if err := json.Unmarshal(a.Data.Result, &p); err != nil {
			return nil, fmt.Errorf("ask the root: read its number: %w", err)
		}
		return []rootSample{{Value: p}}, nil
	}
	return nil, fmt.Errorf("ask the root: the answer is a %q, not a vector or a scalar", a.Data.Type)
}

// Fleet implements Fleet.
func (r *Root) Fleet(ctx context.Context) (*wave.Fleet, error) { return r.fleet(ctx, false) }

// Heard implements Hearsay.
func (r *Root) Heard(ctx context.Context) (*wave.Fleet, error) { return r.fleet(ctx, true) }

func (r *Root) fleet(ctx context.Context, partial bool) (*wave.Fleet, error) {
	answer, err := r.ask(ctx, FleetQuery, partial)
	if err != nil {
		return nil, err
	}
	f := &wave.Fleet{Clusters: map[string]string{}, Moving: map[string]string{}, Rejected: map[string]string{}}
	var paused []string
	for _, s := range answer {
		cluster := s.Metric["cluster"]
		if cluster == "" {
			return nil, errors.New("ask the root: a control loop's metrics have no label cluster: the leaf that scrapes it must have one")
		}
		revision := s.Metric["revision"]
		switch s.Metric["__name__"] {
		case MetricLoaded:
			tell(f.Clusters, cluster, revision)
		case MetricRevision:
			if s.Metric["state"] == statePending {
				tell(f.Moving, cluster, revision)
			}
		case MetricRejected:
			why := "by cluster " + cluster + ": " + s.Metric["why"]
			// Of several, always the same is named.
			if have, ok := f.Rejected[revision]; !ok || why < have {
				f.Rejected[revision] = why
			}
		case MetricPaused:
			if s.Value == 1 {
				paused = append(paused, cluster)
			}
		}
	}
	slices.Sort(paused)
	f.Paused = strings.Join(slices.Compact(paused), pausedSeparator)
	return f, nil
}

// tell notes the revision of a cluster: of one that tells of several, "".
func tell(of map[string]string, cluster, revision string) {
	if other, ok := of[cluster]; ok && other != revision {
		revision = ""
	}
	of[cluster] = revision
}

// Gate implements Fleet. A gate holds if the answer is whole, is not empty, and
// each sample of it is a number other than zero. If it is not whole, the error says
// why, and which clusters fail in what there is of it is told.
func (r *Root) Gate(ctx context.Context, g wave.Gate) (GateAnswer, error) {
	samples, err := r.ask(ctx, g.Expr, false)
	if err == nil {
		return decisive(samples), nil
	}
	part, perr := r.ask(ctx, g.Expr, true)
	if perr != nil {
		return GateAnswer{Verdict: wave.Unknown}, err
	}
	return GateAnswer{Verdict: wave.Unknown, Failing: failing(part)}, err
}
