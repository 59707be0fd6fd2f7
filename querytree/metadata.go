package querytree

import (
	"maps"
	"slices"

	"github.com/prometheus/prometheus/model/metadata"
)

// mergeMetadata adds the families of src to dst, each distinct entry once,
// within the limits of req.
func mergeMetadata(dst, src map[string][]metadata.Metadata, req MetadataRequest) {
	families := maps.Keys(src)
	if req.Limit > 0 && len(dst)+len(src) > req.Limit {
		// The first of them come in. Otherwise their order says nothing, and to sort
		// those of hundreds of children takes most of the time.
		families = slices.Values(slices.Sorted(families))
	}
	for family := range families {
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
