package roster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/pandometrics/pando/querytree"
)

// record is a known child in the file.
type record struct {
	Tier     string            `json:"tier"`
	Labels   map[string]string `json:"labels"`
	Shard    string            `json:"shard,omitempty"`
	Replica  string            `json:"replica,omitempty"`
	ShardKey []string          `json:"shardKey,omitempty"`
	// Missing is since when the child is missing; zero if it was connected when
	// the file was written.
	Missing time.Time `json:"missing,omitzero"`
}

// load reads the file. All children in it are missing until they connect.
func (r *Roster) load() error {
	if r.cfg.Path == "" {
		return nil
	}
	b, err := os.ReadFile(r.cfg.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("roster: read known children: %w", err)
	}
	var records []record
	if err := json.Unmarshal(b, &records); err != nil {
		return fmt.Errorf("roster: known children in %s: %w; mend or remove the file", r.cfg.Path, err)
	}
	for _, rec := range records {
		d := querytree.Description{
			Identity: querytree.Identity{Tier: rec.Tier, Labels: labels.FromMap(rec.Labels), Shard: rec.Shard, Replica: rec.Replica},
			ShardKey: rec.ShardKey, Mint: math.MaxInt64, Maxt: math.MinInt64,
		}
		since := rec.Missing
		if since.IsZero() {
			since = r.cfg.Now()
		}
		r.children[d.Name()] = &child{desc: d, since: since, err: "not connected since this parent started"}
	}
	return nil
}

// save writes the file, if anything changed.
func (r *Roster) save() error {
	r.mu.Lock()
	if r.cfg.Path == "" || !r.dirty {
		r.mu.Unlock()
		return nil
	}
	r.dirty = false
	records := make([]record, 0, len(r.children))
	for _, c := range r.children {
		rec := record{Tier: c.desc.Tier, Labels: c.desc.Labels.Map(), Shard: c.desc.Shard, Replica: c.desc.Replica, ShardKey: c.desc.ShardKey}
		if c.conn == nil {
			rec.Missing = c.since
		}
		records = append(records, rec)
	}
	r.mu.Unlock() // queries must not wait for the disk
	if err := r.write(records); err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.dirty = true
		return err
	}
	return nil
}

func (r *Roster) write(records []record) error {
	b, err := json.MarshalIndent(records, "", "  ")
	if err != nil {
		return fmt.Errorf("roster: encode known children: %w", err)
	}
	if err := writeAtomically(r.cfg.Path, b); err != nil {
		return fmt.Errorf("roster: save known children: %w", err)
	}
	return nil
}

// writeAtomically replaces a file as a whole or not at all, also if the process
// or the machine stops in the middle.
func writeAtomically(path string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
