package leaf

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/scrape"
)

const (
	// metadataFile is kept beside the TSDB's own files, which ignores it.
	metadataFile = "pando-metadata.json"
	// Bounds of one family: a sender can make up any text.
	maxMetadataEntries = 8
	maxMetadataText    = 4 << 10
)

// metadataStore keeps the metadata that was written to the leaf: what is scraped
// is known by the scrape targets for as long as they are, but a sender tells
// its metadata once in a while, and not again because the leaf restarted. It is
// safe for concurrent use.
type metadataStore struct {
	path  string
	limit int

	mu       sync.RWMutex
	families map[string][]metadata.Metadata
	dirty    bool
}

// openMetadata reads the store's file. A file that cannot be used is an error
// to be logged: the store starts empty and overwrites it.
func openMetadata(dir string, limit int) (*metadataStore, error) {
	s := &metadataStore{path: filepath.Join(dir, metadataFile), limit: limit, families: map[string][]metadata.Metadata{}}
	data, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("read metadata file %q: %w", s.path, err)
	}
	var families map[string][]metadataEntry
	if err := json.Unmarshal(data, &families); err != nil {
		return s, fmt.Errorf("decode metadata file %q: %w", s.path, err)
	}
	for family, entries := range families {
		for _, e := range entries {
			s.add(family, metadata.Metadata{Type: e.Type, Unit: e.Unit, Help: e.Help})
		}
	}
	s.dirty = false
	return s, nil
}

// metadataEntry is the form of an entry in the file: by family a list of these.
type metadataEntry struct {
	Type model.MetricType `json:"type"`
	Unit string           `json:"unit,omitempty"`
	Help string           `json:"help,omitempty"`
}

// add notes an entry, unless it is known. Of a family with too many entries the
// oldest is forgotten; of too many families the last to come.
func (s *metadataStore) add(family string, m metadata.Metadata) {
	if family == "" || len(family) > maxMetadataText {
		return
	}
	s.mu.RLock()
	known := slices.Contains(s.families[family], m)
	s.mu.RUnlock()
	if known {
		return
	}
	// The strings may be part of a request body, which is then let go of.
	family = strings.Clone(family)
	m = metadata.Metadata{Type: model.MetricType(strings.Clone(string(m.Type))), Unit: clip(m.Unit), Help: clip(m.Help)}
	s.mu.Lock()
	defer s.mu.Unlock()
	have, ok := s.families[family]
	if !ok && len(s.families) >= s.limit || slices.Contains(have, m) {
		return
	}
	if len(have) >= maxMetadataEntries {
		have = have[1:]
	}
	s.families[family] = append(slices.Clone(have), m)
	s.dirty = true
}

func clip(text string) string {
	if len(text) > maxMetadataText {
		text = strings.ToValidUTF8(text[:maxMetadataText], "")
	}
	return strings.Clone(text)
}

// get returns the entries of one family, or of all if metric is empty.
func (s *metadataStore) get(metric string) map[string][]metadata.Metadata {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if metric == "" {
		return maps.Clone(s.families)
	}
	if entries, ok := s.families[metric]; ok {
		return map[string][]metadata.Metadata{metric: entries}
	}
	return map[string][]metadata.Metadata{}
}

// save writes the file if anything changed since the last time. The old file
// stays whole until the new one is.
func (s *metadataStore) save() error {
	s.mu.Lock()
	if !s.dirty {
		s.mu.Unlock()
		return nil
	}
	s.dirty = false
	families := maps.Clone(s.families)
	s.mu.Unlock()

	err := writeMetadata(s.path, families)
	if err != nil {
		s.mu.Lock()
		s.dirty = true
		s.mu.Unlock()
		return fmt.Errorf("write metadata file %q: %w", s.path, err)
	}
	return nil
}

func writeMetadata(path string, families map[string][]metadata.Metadata) error {
	out := make(map[string][]metadataEntry, len(families))
	for family, entries := range families {
		for _, m := range entries {
			out[family] = append(out[family], metadataEntry{Type: m.Type, Unit: m.Unit, Help: m.Help})
		}
	}
	data, err := json.Marshal(out)
	if err != nil {
		return err
	}
	return replaceFile(path, data)
}

// replaceFile writes a file such that either the old or the new one is there,
// whatever happens.
func replaceFile(path string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err == nil {
		err = tmp.Sync()
	}
	if err := errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// merged adds the metadata of active scrape targets to what is stored.
func (s *metadataStore) merged(metric string, targets map[string][]*scrape.Target) map[string][]metadata.Metadata {
	out := s.get(metric)
	add := func(m scrape.MetricMetadata) {
		entry := metadata.Metadata{Type: m.Type, Unit: m.Unit, Help: m.Help}
		if have := out[m.MetricFamily]; !slices.Contains(have, entry) {
			out[m.MetricFamily] = append(slices.Clip(have), entry)
		}
	}
	for _, pool := range targets {
		for _, t := range pool {
			if metric != "" {
				if m, ok := t.GetMetadata(metric); ok {
					add(m)
				}
				continue
			}
			for _, m := range t.ListMetadata() {
				add(m)
			}
		}
	}
	return out
}

// familyName returns the metric family of a series, whose name has the suffix
// of its part of the family where that is of type histogram or summary.
func familyName(metric string, t model.MetricType) string {
	var suffixes []string
	switch t {
	case model.MetricTypeHistogram, model.MetricTypeGaugeHistogram:
		suffixes = []string{"_bucket", "_gcount", "_gsum", "_count", "_sum"}
	case model.MetricTypeSummary:
		suffixes = []string{"_count", "_sum"}
	}
	for _, s := range suffixes {
		if family, ok := strings.CutSuffix(metric, s); ok && family != "" {
			return family
		}
	}
	return metric
}
