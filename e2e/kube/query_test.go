package kube_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// query asks a tier, strictly: an answer that lacks a child is an error. It
// returns the sorted "labels value" of the samples.
func query(ctx context.Context, address, expr string, by ...string) ([]string, error) {
	u := "http://" + address + "/api/v1/query?" + url.Values{"query": {expr}, "partial_response": {"false"}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	if err != nil {
		return nil, err
	}
	var answer struct {
		Status, Error string
		Data          struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("%s: %q: %w", resp.Status, body, err)
	}
	if answer.Status != "success" {
		return nil, fmt.Errorf("%s: %s", resp.Status, answer.Error)
	}
	out := []string{}
	for _, s := range answer.Data.Result {
		line := ""
		for _, l := range by {
			line += s.Metric[l] + " "
		}
		out = append(out, line+fmt.Sprint(s.Value[1]))
	}
	slices.Sort(out)
	return out, nil
}

// awaitAnswer waits until a tier's strict answer is this.
func awaitAnswer(t testing.TB, address, expr string, by, want []string) {
	t.Helper()
	await(t, expr, func(ctx context.Context) error {
		got, err := query(ctx, address, expr, by...)
		if err != nil {
			return err
		}
		if d := cmp.Diff(want, got); d != "" {
			return fmt.Errorf("another answer (-want +got):\n%s", d)
		}
		return nil
	})
}
