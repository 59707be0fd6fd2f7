package fieldhint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Cursor is a place in a child's set: what a parent holds of it. The zero Cursor is
// nothing.
type Cursor struct {
	Epoch    uint64
	Sections []Position
}

// Position is how many fingerprints a parent holds of a section, which are its
// first, and their sum. The child goes on from there only if its own have the same
// sum: so a position never fits other contents, whatever their names are.
type Position struct{ Section, Next, Sum uint64 }

// sumOf is a sum over fingerprints, which does not depend on their order.
func sumOf(fps []uint64) (sum uint64) {
	for _, fp := range fps {
		sum += mix(fp)
	}
	return sum
}

// maxCursor bounds the sections of a cursor.
const maxCursor = 4096

// Append appends the cursor to dst, for its way to the child.
func (c Cursor) Append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, c.Epoch)
	for _, p := range c.Sections {
		dst = binary.AppendUvarint(dst, p.Section)
		dst = binary.AppendUvarint(dst, p.Next)
		dst = binary.LittleEndian.AppendUint64(dst, p.Sum)
	}
	return dst
}

// ParseCursor reads what Append made. Nothing is the zero Cursor.
func ParseCursor(b []byte) (Cursor, error) {
	if len(b) == 0 {
		return Cursor{}, nil
	}
	if len(b) < 8 {
		return Cursor{}, errors.New("field hint cursor is cut short")
	}
	c := Cursor{Epoch: binary.LittleEndian.Uint64(b)}
	for p := (numbers{b: b[8:]}); len(p.b) > 0; {
		at := Position{p.uvarint(), p.uvarint(), p.fixed()}
		if p.bad || len(c.Sections) == maxCursor {
			return Cursor{}, fmt.Errorf("field hint cursor is not valid after %d sections", len(c.Sections))
		}
		c.Sections = append(c.Sections, at)
	}
	return c, nil
}

// next returns the position in a section from which a stream goes on: 0 if the
// parent does not have it, or has something else under its name.
func (c Cursor) next(epoch uint64, s *section) int {
	if c.Epoch != epoch {
		return 0
	}
	i := slices.IndexFunc(c.Sections, func(p Position) bool { return p.Section == s.id })
	if i < 0 {
		return 0
	}
	p := c.Sections[i]
	if p.Next > uint64(s.log.len()) || s.log.sum(int(p.Next)) != p.Sum {
		return 0
	}
	return int(p.Next)
}
