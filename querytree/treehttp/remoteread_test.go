package treehttp

import (
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	commoncfg "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage/remote"
)

// A Prometheus that reads from a tier sends its own external labels as
// matchers. Equal to the tier's or not, they mean what they say.
func TestRemoteReadByExternalLabels(t *testing.T) {
	srv := httptest.NewServer(build(t, zoneLike(t)).Handler)
	t.Cleanup(srv.Close)
	u, err := url.Parse(srv.URL + "/api/v1/read")
	if err != nil {
		t.Fatal(err)
	}
	client, err := remote.NewReadClient("test", &remote.ClientConfig{
		URL: &commoncfg.URL{URL: u}, Timeout: model.Duration(time.Minute), ChunkedReadLimit: 1 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	for zone, want := range map[string]int{"eu": 2, "us": 1, "": 0} {
		q, err := remote.ToQuery(0, now.UnixMilli(), []*labels.Matcher{
			labels.MustNewMatcher(labels.MatchEqual, "__name__", "up"), labels.MustNewMatcher(labels.MatchEqual, "zone", zone),
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		set, err := client.Read(t.Context(), q, true)
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		for set.Next() {
			got++
			if z := set.At().Labels().Get("zone"); z != zone {
				t.Errorf("zone %q: got a series of %q", zone, z)
			}
		}
		if got != want || set.Err() != nil {
			t.Errorf("zone %q: %d series, want %d; %v", zone, got, want, set.Err())
		}
	}
}
