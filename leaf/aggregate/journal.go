package aggregate

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sync"
)

// A journal is a sequence of files, journal-00000001 and so on, of frames:
//
//	length of the payload: 4 bytes, big-endian
//	CRC-32C of the payload: 4 bytes, big-endian
//	payload: a record, see records.go
//
// A snapshot, snapshot-00000007, is a file of the same form whose records make the
// state that the journal before journal-00000007 makes. A journal that ends in the
// middle of a frame was being written when the process was killed; nobody was told
// that its last frame was taken in.
const (
	journalName  = "journal-%08d"
	snapshotName = "snapshot-%08d"
	frameHeader  = 8
	maxFrame     = 64 << 20
)

//nolint:gochecknoglobals // a table of constants
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendFrame appends a frame to b.
func appendFrame(b, payload []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(payload, castagnoli))
	return append(b, payload...)
}

var errFrame = errors.New("broken frame")

// readFrames calls f with each payload, which is valid until f returns.
func readFrames(path string, f func(payload []byte) error) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	var (
		r      = bufio.NewReaderSize(file, 1<<20)
		header [frameHeader]byte
		buf    []byte
	)
	for {
		_, err := io.ReadFull(r, header[:])
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errFrame, err)
		}
		n := binary.BigEndian.Uint32(header[:])
		if n > maxFrame {
			return fmt.Errorf("%w: %d bytes", errFrame, n)
		}
		if uint32(cap(buf)) < n {
			buf = make([]byte, n)
		}
		buf = buf[:n]
		if _, err := io.ReadFull(r, buf); err != nil {
			return fmt.Errorf("%w: %w", errFrame, err)
		}
		if crc32.Checksum(buf, castagnoli) != binary.BigEndian.Uint32(header[4:]) {
			return fmt.Errorf("%w: wrong checksum", errFrame)
		}
		if err := f(buf); err != nil {
			return err
		}
	}
}

// journal is written by add, which is quick, and flush, which waits for the
// kernel. It is safe for concurrent use.
type journal struct {
	dir string

	mu    sync.Mutex
	buf   []byte
	spare []byte // for the next buf
	size  int64  // of all since the last snapshot
	err   error  // once writing has failed, until there is another file
	hole  error  // that error, until there is a snapshot: what is written is of no use yet

	write sync.Mutex // held while writing; taken before mu
	file  *os.File
}

// add adds a record. It is in the file once a later flush returns.
func (j *journal) add(payload []byte) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err != nil {
		return // the file is not to be read past the hole; a snapshot will do
	}
	j.buf = appendFrame(j.buf, payload)
	j.size += int64(len(payload) + frameHeader)
}

// flush writes what was added before.
func (j *journal) flush() error {
	j.write.Lock()
	defer j.write.Unlock()
	return j.flushLocked()
}

func (j *journal) flushLocked() error {
	j.mu.Lock()
	buf, err := j.buf, j.hole
	if j.err != nil {
		buf = nil
	}
	j.buf, j.spare = j.spare[:0], nil
	j.mu.Unlock()
	var failed error
	if len(buf) > 0 {
		if _, failed = j.file.Write(buf); failed != nil {
			failed = fmt.Errorf("write aggregation journal: %w", failed)
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if cap(buf) <= keepBuffer {
		j.spare = buf[:0]
	}
	if failed != nil {
		j.err, j.hole = failed, failed
	}
	return errors.Join(err, failed)
}

// keepBuffer is the largest buffer that is kept for the next time.
const keepBuffer = 4 << 20

// rotate begins the file of a number. What was added before goes to the file before,
// if that can be.
func (j *journal) rotate(n uint64) error {
	j.write.Lock()
	defer j.write.Unlock()
	file, err := os.OpenFile(filepath.Join(j.dir, fmt.Sprintf(journalName, n)), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o666)
	if err != nil {
		return fmt.Errorf("begin aggregation journal: %w", err)
	}
	if j.file != nil {
		_ = j.flushLocked() // who waits for it is told
		_ = j.file.Close()  // what is written is written
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.file, j.err = file, nil
	j.buf = appendFrame(j.buf[:0], encodeBegin(j.hole != nil))
	return nil
}

// begun notes that a snapshot of all before the present file is there.
func (j *journal) begun() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.hole, j.size = nil, 0
}

// state returns how much was written since the last snapshot, and whether it is all.
func (j *journal) state() (int64, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.size, j.hole
}

func (j *journal) close() error {
	j.write.Lock()
	defer j.write.Unlock()
	if j.file == nil {
		return nil
	}
	err := errors.Join(j.flushLocked(), j.file.Close())
	j.file = nil
	return err
}
