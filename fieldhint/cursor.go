package fieldhint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Cursor is a place in a child's set: what a parent holds of it.
type Cursor struct {
	Epoch    uint64
	Sections []Position
}

// Position is how many fingerprints a parent holds of a section.
type Position struct{ Section, Next uint64 }

// maxCursor bounds the sections of a cursor.
const maxCursor = 4096

// Append appends the cursor to dst, for its way to the child.
func (c Cursor) Append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, c.Epoch)
	for _, p := range c.Sections {
		dst = binary.AppendUvarint(dst, p.Section)
		dst = binary.AppendUvarint(dst, p.Next)
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
		at := Position{p.uvarint(), p.uvarint()}
		if p.bad || len(c.Sections) == maxCursor {
			return Cursor{}, fmt.Errorf("field hint cursor is not valid after %d sections", len(c.Sections))
		}
		c.Sections = append(c.Sections, at)
	}
	return c, nil
}

// next returns the position in a section, 0 if the parent does not have it.
func (c Cursor) next(section uint64) uint64 {
	i := slices.IndexFunc(c.Sections, func(p Position) bool { return p.Section == section })
	if i < 0 {
		return 0
	}
	return c.Sections[i].Next
}
