package treehttp

import (
	"net/http"

	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/storage/remote"
)

// remoteRead is Prometheus' handler, told of no external labels. Told of them,
// it takes a matcher that equals one, which is what a Prometheus with these
// labels sends, for one of a label that is not stored, and looks for series
// without it. A tier's series have them.
func remoteRead(cfg Config) http.Handler {
	none := func() config.Config { return config.Config{} }
	// Its one metric is registered already, by the API's own handler.
	return remote.NewReadHandler(cfg.Logger, nil, apiQueryable{cfg.Queryable}, none, readMaxSamples, readMaxConcurrent, readMaxFrameBytes)
}
