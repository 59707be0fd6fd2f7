package querytree

import (
	"maps"
	"slices"

	"github.com/prometheus/prometheus/model/metadata"
)

// mergeMetadata adds the families of src to dst, each distinct entry once,
// within the limits of req.
func mergeMetadata(dst, src map[string][]metadata.Metadata, req MetadataRequest) {
	for _, family := range slices.Sorted(maps.Keys(src)) {
		have, known := dst[family]
		if !known && req.Limit > 0 && len(dst) >= req.Limit {
			continue
		}
		for _, m := range src[family] {
			if req.LimitPerMetric > 0 && len(have) >= req.LimitPerMetric {
				break
			}
			if !slices.Contains(have, m) {
				have = append(have, m)
			}
		}
		dst[family] = have
	}
}
