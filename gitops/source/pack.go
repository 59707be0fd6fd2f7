package source

import (
	"bytes"
	"encoding/binary"
	"io"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/storage/memory"
)

// objects are those of one answer, by their hashes.
type objects struct{ store storer.EncodedObjectStorer }

// openPack resolves the objects of a pack, after it has checked that they are
// no more and no larger than the limits allow: a pack of a few kilobytes can
// inflate to terabytes, by compression and by deltas of deltas.
func openPack(pack []byte, l Limits) (*objects, error) {
	store := memory.NewStorage()
	out := &objects{store}
	if len(pack) == 0 {
		return out, nil
	}
	n, err := weigh(pack, l)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return out, nil
	}
	// Objects are stored by what they hash to, whatever the server calls them;
	// the hash detects attempts at collisions.
	p, err := packfile.NewParserWithStorage(packfile.NewScanner(bytes.NewReader(pack)), store)
	if err != nil {
		return nil, fail(ReasonCorrupt, "read pack: %w", err)
	}
	if _, err := p.Parse(); err != nil {
		return nil, fail(ReasonCorrupt, "read pack: %w", err)
	}
	return out, nil
}

// weigh sums up what the objects of a pack say to be when they are whole, and
// refuses packs that are too large. What an object says binds it: more is
// refused when it is inflated.
func weigh(pack []byte, l Limits) (int, error) {
	s := packfile.NewScanner(bytes.NewReader(pack))
	_, count, err := s.Header()
	if err != nil {
		return 0, fail(ReasonCorrupt, "read pack: %w", err)
	}
	if int64(count) > 4*int64(l.Files) {
		return 0, fail(ReasonTooLarge, "%d objects in the pack, more than the %d that go with a limit of %d files", count, 4*l.Files, l.Files)
	}
	var total int64
	for range count {
		size, err := weighObject(s, l)
		if err != nil {
			return 0, err
		}
		if total += size; total > l.Total {
			return 0, fail(ReasonTooLarge, "the objects of the pack hold more than %d bytes", l.Total)
		}
	}
	return int(count), nil
}

func weighObject(s *packfile.Scanner, l Limits) (int64, error) {
	h, err := s.NextObjectHeader()
	if err != nil {
		return 0, fail(ReasonCorrupt, "read pack: %w", err)
	}
	switch {
	case h.Length < 0 || h.Length > l.Total:
		return 0, fail(ReasonTooLarge, "an object of the pack holds more than %d bytes", l.Total)
	case h.Type == plumbing.BlobObject && h.Length > l.File:
		return 0, fail(ReasonTooLarge, "a file of %d bytes, more than the limit of %d", h.Length, l.File)
	}
	if !h.Type.IsDelta() {
		if _, _, err := s.NextObject(io.Discard); err != nil {
			return 0, fail(ReasonCorrupt, "read pack: %w", err)
		}
		return h.Length, nil
	}
	var delta bytes.Buffer
	if _, _, err := s.NextObject(&delta); err != nil {
		return 0, fail(ReasonCorrupt, "read pack: %w", err)
	}
	// A delta begins with the size of what it is applied to, and of the result.
	if _, err := binary.ReadUvarint(&delta); err != nil {
		return 0, fail(ReasonCorrupt, "read delta: %w", err)
	}
	size, err := binary.ReadUvarint(&delta)
	if err != nil {
		return 0, fail(ReasonCorrupt, "read delta: %w", err)
	}
	if size > uint64(l.Total) {
		return 0, fail(ReasonTooLarge, "an object of the pack holds more than %d bytes", l.Total)
	}
	return h.Length + int64(size), nil
}

// get returns the content of an object of a kind.
func (o *objects) get(hash string, kind plumbing.ObjectType) ([]byte, error) {
	obj, err := o.store.EncodedObject(kind, plumbing.NewHash(hash))
	if err != nil {
		return nil, fail(ReasonCorrupt, "%s %s is missing from what the server sent", kind, short(hash))
	}
	r, err := obj.Reader()
	if err != nil {
		return nil, fail(ReasonCorrupt, "%s %s: %w", kind, short(hash), err)
	}
	defer func() { _ = r.Close() }()
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, fail(ReasonCorrupt, "%s %s: %w", kind, short(hash), err)
	}
	return data, nil
}

// has tells whether a commit is among the objects.
func (o *objects) has(hash string) bool {
	return o.store.HasEncodedObject(plumbing.NewHash(hash)) == nil
}
