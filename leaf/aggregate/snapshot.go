package aggregate

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/prometheus/prometheus/tsdb/encoding"
)

// snapshot writes state whole and begins the journal anew. Appenders wait only
// while the samples that wait are copied.
func (a *Aggregator) snapshot() error {
	n := a.number + 1
	a.number = n // a number is used once
	path := filepath.Join(a.cfg.Dir, fmt.Sprintf(snapshotName, n))
	file, err := os.CreateTemp(a.cfg.Dir, fmt.Sprintf(snapshotName, n)+".*.tmp")
	if err != nil {
		return fmt.Errorf("write aggregation snapshot: %w", err)
	}
	defer os.Remove(file.Name())
	w := &frameWriter{w: bufio.NewWriterSize(file, 1<<20)}
	a.mu.Lock()
	pending, hpend, err := a.cut(n)
	if err == nil {
		a.writeState(w, pending, hpend)
	}
	a.mu.Unlock()
	err = errors.Join(err, w.err, w.w.Flush())
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err == nil {
		err = syncDir(a.cfg.Dir)
	}
	if err != nil {
		return fmt.Errorf("write aggregation snapshot: %w", err)
	}
	a.journal.begun()
	return a.removeBefore(n)
}

// cut begins the journal that follows the snapshot, and returns the samples that
// wait at that moment.
func (a *Aggregator) cut(n uint64) (pending [shards][]sample, hpend [shards][]histSample, err error) {
	for _, sh := range a.shards {
		sh.mu.Lock()
		defer sh.mu.Unlock()
	}
	if err := a.journal.rotate(n); err != nil {
		return pending, hpend, err
	}
	for s, sh := range a.shards {
		pending[s] = append([]sample(nil), sh.pending...)
		hpend[s] = append([]histSample(nil), sh.hpend...)
	}
	return pending, hpend, nil
}

// frameWriter writes frames, until an error.
type frameWriter struct {
	w   *bufio.Writer
	buf []byte
	err error
}

func (w *frameWriter) write(payload []byte) {
	if w.err == nil {
		w.buf = appendFrame(w.buf[:0], payload)
		_, w.err = w.w.Write(w.buf)
	}
}

func (a *Aggregator) writeState(w *frameWriter, pending [shards][]sample, hpend [shards][]histSample) {
	w.write(encodeBegin(false))
	for id, since := range a.since {
		w.write(encodeRule(id, since))
	}
	a.writeGroups(w)
	for interval, t := range a.sealed {
		w.write(encodeTimes(recLastly, interval, t))
	}
	for s, sh := range a.shards {
		writeShard(w, s, sh)
		var e encoding.Encbuf
		for from := 0; from < len(pending[s]); from += maxBatch {
			w.write(encodeFloats(&e, s, pending[s][from:min(from+maxBatch, len(pending[s]))]))
		}
		for i := range hpend[s] {
			w.write(encodeHists(s, hpend[s][i:i+1]))
		}
	}
	end := newRecord(recEnd)
	w.write(end.Get())
}

// writeGroups writes all groups. Places that are free are filled, so that numbers
// stay, and freed again.
func (a *Aggregator) writeGroups(w *frameWriter) {
	for i, g := range a.groups {
		if g == nil {
			g = &group{}
		}
		w.write(encodeGroup(uint32(i), noGroup, g))
	}
	for i, g := range a.groups {
		if g == nil {
			w.write(encodeUngroup(uint32(i)))
		} else {
			w.write(encodeTotals(uint32(i), g))
		}
	}
}

func writeShard(w *frameWriter, s int, sh *shard) {
	for i := range sh.inputs {
		if sh.inputs[i].group != noGroup {
			w.write(encodeInput(s, uint32(i), sh.inputs[i], 0))
		}
	}
	n := len(sh.inputs)
	for n > 0 && sh.inputs[n-1].group == noGroup {
		n-- // were not written
	}
	for from := 0; from < n; from += maxBatch {
		w.write(encodeLasts(s, from, sh.lasts[from:min(from+maxBatch, n)]))
	}
	for idx, h := range sh.hists {
		w.write(encodeHist(s, idx, h))
	}
}

// removeBefore removes the files that a snapshot has made superfluous.
func (a *Aggregator) removeBefore(n uint64) error {
	snapshots, journals, err := a.files()
	if err != nil {
		return fmt.Errorf("remove old aggregation files: %w", err)
	}
	var errs []error
	for form, list := range map[string][]uint64{snapshotName: snapshots, journalName: journals} {
		for _, k := range list {
			if k < n {
				errs = append(errs, os.Remove(filepath.Join(a.cfg.Dir, fmt.Sprintf(form, k))))
			}
		}
	}
	// What a process left that was killed while it wrote.
	left, _ := filepath.Glob(filepath.Join(a.cfg.Dir, "snapshot-*.tmp"))
	for _, name := range left {
		errs = append(errs, os.Remove(name))
	}
	return errors.Join(errs...)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
