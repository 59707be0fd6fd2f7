package aggregate

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/tsdb/encoding"
	"github.com/prometheus/prometheus/tsdb/record"
)

// errUseless ends the reading of journals: nobody was told that what follows was
// taken in.
var errUseless = errors.New("the journal before it is not whole")

// recover makes the state that snapshot and journals tell. What cannot be read is
// told in the log, and state is as if it had not been; totals go on from what is
// stored.
func (a *Aggregator) recover() error {
	if err := os.MkdirAll(a.cfg.Dir, 0o777); err != nil {
		return fmt.Errorf("create aggregation directory: %w", err)
	}
	snapshots, journals, err := a.files()
	if err != nil {
		return fmt.Errorf("read aggregation directory: %w", err)
	}
	from := uint64(0)
	for _, n := range slices.Backward(snapshots) {
		if err := a.readSnapshot(n); err == nil {
			from = n
			break
		} else {
			a.deps.Logger.Error("aggregation snapshot not used: totals go on from what is stored, increases since may be missing", "snapshot", n, "err", err)
			a.clear()
		}
	}
	a.number = max(from, newestOf(snapshots), newestOf(journals))
	for _, n := range journals {
		if n < from || (from == 0 && len(snapshots) > 0) {
			continue
		}
		err := a.readJournal(n, n == from)
		if err == nil || errors.Is(err, errFrame) && n == newestOf(journals) {
			continue // the last frame was never finished
		}
		if !errors.Is(err, errUseless) {
			a.deps.Logger.Error("aggregation journal not read to its end: increases since may be missing", "journal", n, "err", err)
		}
		break
	}
	a.settle()
	return nil
}

// settle completes what records do not tell.
func (a *Aggregator) settle() {
	for _, sh := range a.shards {
		sh.findFree()
	}
	clear(a.byOutput)
	for i, g := range a.groups {
		switch {
		case g == nil:
			a.freed = append(a.freed, uint32(i))
		case g.next == noGroup:
			for _, lset := range g.outputs {
				a.byOutput[lset.Hash()] = uint32(i)
			}
		}
		if g != nil {
			g.resumed = false // it is to be compared with what is stored
		}
	}
}

// newestOf returns the last of a list, or 0.
func newestOf(list []uint64) uint64 {
	if len(list) == 0 {
		return 0
	}
	return list[len(list)-1]
}

// files lists the numbers of snapshots and journals, in order.
func (a *Aggregator) files() (snapshots, journals []uint64, err error) {
	entries, err := os.ReadDir(a.cfg.Dir)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		var n uint64
		if _, err := fmt.Sscanf(e.Name(), snapshotName, &n); err == nil && e.Name() == fmt.Sprintf(snapshotName, n) {
			snapshots = append(snapshots, n)
		}
		if _, err := fmt.Sscanf(e.Name(), journalName, &n); err == nil && e.Name() == fmt.Sprintf(journalName, n) {
			journals = append(journals, n)
		}
	}
	slices.Sort(snapshots)
	slices.Sort(journals)
	return snapshots, journals, nil
}

func (a *Aggregator) readSnapshot(n uint64) error {
	whole := false
	err := readFrames(filepath.Join(a.cfg.Dir, fmt.Sprintf(snapshotName, n)), func(payload []byte) error {
		whole = payload[0] == recEnd
		return a.replay(payload)
	})
	if err == nil && !whole {
		err = errors.New("it does not have its end")
	}
	return err
}

// readJournal replays a journal. One that follows a snapshot is of use whatever was
// before it.
func (a *Aggregator) readJournal(n uint64, follows bool) error {
	err := readFrames(filepath.Join(a.cfg.Dir, fmt.Sprintf(journalName, n)), func(payload []byte) error {
		err := a.replay(payload)
		if follows && errors.Is(err, errUseless) {
			return nil
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// replay does what a record stands for.
func (a *Aggregator) replay(payload []byte) error {
	if len(payload) == 0 {
		return errRecord
	}
	d := &encoding.Decbuf{B: payload[1:]}
	err := a.replayRecord(payload[0], d)
	return errors.Join(err, d.Err())
}

func (a *Aggregator) replayRecord(what byte, d *encoding.Decbuf) error {
	switch what {
	case recBegin:
		return replayBegin(d)
	case recRule:
		a.setSince(d.UvarintStr(), d.Varint64())
	case recGroup:
		gid, old, g := decodeGroup(d)
		if d.Err() != nil || gid > uint32(len(a.groups)) || old != noGroup && a.group(old) == nil {
			return notUnderstood(what)
		}
		a.define(gid, old, g)
	case recInput:
		s, idx, in, now := decodeInput(d)
		if d.Err() != nil || s >= shards || idx >= refPlaces || a.group(in.group) == nil {
			return notUnderstood(what)
		}
		a.shards[s].put(idx, in, now)
	case recFloats, recHists:
		return a.replaySamples(what, d)
	case recSeal, recDrain, recSealed, recCatchUp:
		return a.replayTaking(what, d)
	case recResume:
		gid, stored := decodeResume(d)
		g := a.group(gid)
		if g == nil || d.Err() != nil {
			return notUnderstood(what)
		}
		g.resume(stored)
	case recForget:
		sh, err := a.shard(d)
		for n := d.Uvarint(); err == nil && n > 0 && d.Err() == nil; n-- {
			if idx := uint32(d.Uvarint()); sh.used(idx) {
				sh.forget(idx)
			}
		}
		return err
	case recUngroup:
		gid := uint32(d.Uvarint())
		if a.group(gid) == nil {
			return notUnderstood(what)
		}
		a.ungroup(gid)
	default:
		return a.replayState(what, d)
	}
	return nil
}

func replayBegin(d *encoding.Decbuf) error {
	v, useless, p := d.Uvarint(), d.Byte() == 1, d.Be64()
	switch {
	case d.Err() != nil:
		return d.Err()
	case v != version:
		return fmt.Errorf("its form is version %d, not %d", v, version)
	case p != probe():
		return errors.New("labels are hashed in another way than then")
	case useless:
		return errUseless
	}
	return nil
}

// group returns a group, or nil.
func (a *Aggregator) group(gid uint32) *group {
	if gid >= uint32(len(a.groups)) {
		return nil
	}
	return a.groups[gid]
}

// shard decodes the number of a shard.
func (a *Aggregator) shard(d *encoding.Decbuf) (*shard, error) {
	s := d.Byte()
	if d.Err() != nil || s >= shards {
		return nil, errRecord
	}
	return a.shards[s], nil
}

// used reports whether there is an input at a place.
func (sh *shard) used(idx uint32) bool {
	return idx < uint32(len(sh.inputs)) && sh.inputs[idx].group != noGroup
}

func (a *Aggregator) replaySamples(what byte, d *encoding.Decbuf) error {
	if what == recFloats {
		s, samples := decodeFloats(d, a.batch[:0])
		a.batch = samples
		if d.Err() != nil || s >= shards || slices.ContainsFunc(samples, func(x sample) bool { return !a.shards[s].used(x.idx) }) {
			return notUnderstood(what)
		}
		a.shards[s].pending = append(a.shards[s].pending, samples...)
		return nil
	}
	s, samples := decodeHists(d, nil)
	if d.Err() != nil || s >= shards || slices.ContainsFunc(samples, func(x histSample) bool { return !a.shards[s].used(x.idx) }) {
		return notUnderstood(what)
	}
	a.shards[s].hpend = append(a.shards[s].hpend, samples...)
	return nil
}

func (a *Aggregator) replayTaking(what byte, d *encoding.Decbuf) error {
	if what == recSealed {
		interval, t := d.Varint64(), d.Varint64()
		a.unstored = slices.DeleteFunc(a.unstored, func(o output) bool { return o.interval == interval })
		for _, o := range a.lookAll(interval, t) {
			o.interval = interval
			a.unstored = append(a.unstored, o)
		}
		return d.Err()
	}
	if what == recCatchUp {
		_, t := d.Varint64(), d.Varint64()
		a.catchUp(t)
		return d.Err()
	}
	sh, err := a.shard(d)
	if err != nil {
		return err
	}
	if what == recDrain {
		a.takeAll(sh)
	} else {
		interval, t := d.Varint64(), d.Varint64()
		a.takeDue(sh, interval, t)
	}
	a.apply(sh)
	return nil
}

// replayState does what a record of a snapshot stands for.
func (a *Aggregator) replayState(what byte, d *encoding.Decbuf) error {
	switch what {
	case recTotals:
		g := a.group(uint32(d.Uvarint()))
		if g == nil {
			return notUnderstood(what)
		}
		g.total, g.hist = getTotals(d)
		g.fresh, g.emitted, g.next = d.Byte() == 1, d.Byte() == 1, uint32(d.Uvarint())
		g.lost = d.Varint64()
		g.resumed = !g.fresh
	case recLasts:
		sh, err := a.shard(d)
		from, n := d.Uvarint(), d.Uvarint()
		if err != nil || d.Err() != nil || from+n > len(sh.lasts) {
			return notUnderstood(what)
		}
		for i := range n {
			sh.lasts[from+i].at = d.Varint64()
			sh.lasts[from+i].v = math.Float64frombits(d.Be64())
		}
	case recHist:
		sh, err := a.shard(d)
		idx := uint32(d.Uvarint())
		if err != nil || !sh.used(idx) {
			return notUnderstood(what)
		}
		h := &histogram.FloatHistogram{}
		record.DecodeFloatHistogram(d, h)
		sh.hists[idx] = h
	case recLastly:
		interval := d.Varint64()
		a.sealed[interval] = d.Varint64()
	case recEnd:
	default:
		return notUnderstood(what)
	}
	return nil
}
