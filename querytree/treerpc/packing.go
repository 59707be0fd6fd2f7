package treerpc

import (
	"errors"
	"fmt"
	"math/bits"
	"runtime"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/pandometrics/pando/querytree/querytreepb"
)

const (
	// minPack is the size from which on a frame may be packed, maxPacked the
	// most that it may have uncompressed.
	minPack   = 4 << 10
	maxPacked = 512 << 10
	// packRest is how many frames of an answer are not tried after one that
	// packing did not make smaller by an eighth.
	packRest = 15
	// minSegment is the size below which planes are compressed together: each
	// zstd frame has its own codes, which noise in one plane spoils for others.
	minSegment = 2 << 10

	packWindow = 128 << 10
	// packAtOnce is the most frames that are compressed at the same time: enough
	// for some gigabits a second.
	packAtOnce = 4

	// The most series and histograms in a frame: far more than an encoder puts
	// there, and few enough that a small packed frame cannot claim much memory.
	maxFrameSeries     = 32 << 10
	maxFrameHistograms = 8 << 10

	acceptZstd = 1 << querytreepb.Packed_ZSTD
)

// packer compresses frames, up to packAtOnce at a time: others wait. It holds
// about half a megabyte for each, from the first use on, however many parents
// and requests there are.
type packer struct {
	zstd *zstd.Encoder
	free sync.Pool // of *framePacker
}

func newPacker() (*packer, error) {
	z, err := zstd.NewWriter(nil,
		zstd.WithEncoderConcurrency(min(packAtOnce, runtime.GOMAXPROCS(0))), zstd.WithLowerEncoderMem(true),
		zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(packWindow),
		// The planes between noise and order have few repetitions, but bytes
		// that are far from equally likely.
		zstd.WithAllLitEntropyCompression(true),
		zstd.WithEncoderCRC(false), // TCP and TLS have theirs
	)
	if err != nil {
		return nil, fmt.Errorf("open compressor of frames: %w", err)
	}
	return &packer{zstd: z}, nil
}

// accepting returns the packer for an answer to a request that accepts codecs,
// or nil if it accepts none that is known. It should be released in the end.
func (p *packer) accepting(codecs uint32) *framePacker {
	if p == nil || codecs&acceptZstd == 0 {
		return nil
	}
	if f, ok := p.free.Get().(*framePacker); ok {
		f.rest, f.words.scale, f.words.misses = 0, 0, 0
		return f
	}
	return &framePacker{packer: p}
}

// release lets another answer have the memory.
func (p *framePacker) release() {
	if p != nil {
		p.packer.free.Put(p)
	}
}

// framePacker packs the frames of one answer. A nil one packs nothing.
type framePacker struct {
	packer *packer
	rest   int
	// All below is reused from frame to frame.
	words  wordWriter
	plain  []byte
	planes []byte
	packed querytreepb.Packed
}

// exec returns the frame packed, or as it is if that is not worth it. What it
// returns is valid until the next call.
func (p *framePacker) exec(f *querytreepb.ExecFrame, size int) (*querytreepb.ExecFrame, error) {
	if !p.tries(size) {
		return f, nil
	}
	p.words.words = p.words.words[:0]
	inner := &querytreepb.ExecFrame{Symbols: f.Symbols, Series: f.Series}
	values := make([][]float64, len(f.Series))
	for i, part := range f.Series {
		if values[i] = part.Values; len(part.Values) > 0 {
			part.Scale = p.words.add(part.Values)
			part.Points, part.Values = uint32(len(part.Values)), nil
		}
	}
	var err error
	if p.plain, err = (proto.MarshalOptions{}).MarshalAppend(p.plain[:0], inner); err != nil {
		return nil, fmt.Errorf("pack frame: %w", err)
	}
	if p.planes = planesOf(p.planes, p.words.words); len(p.planes) > 0 {
		p.plain = protowire.AppendTag(p.plain, tagExecPlanes, protowire.BytesType)
		p.plain = protowire.AppendVarint(p.plain, uint64(len(p.planes)))
	}
	if p.pack(len(p.plain) + len(p.planes)) {
		return &querytreepb.ExecFrame{Packed: &p.packed}, nil
	}
	for i, part := range f.Series {
		part.Values, part.Points, part.Scale = values[i], 0, 0
	}
	return f, nil
}

// sel does the same for a frame of raw series. Chunks are compressed already:
// if there are any, only the symbols are packed.
func (p *framePacker) sel(f *querytreepb.SelectFrame, symbols int, chunks bool) (*querytreepb.SelectFrame, error) {
	if !p.tries(symbols) {
		return f, nil
	}
	inner, out := &querytreepb.SelectFrame{Symbols: f.Symbols}, &querytreepb.SelectFrame{Packed: &p.packed}
	if chunks {
		out.Series = f.Series
	} else {
		inner.Series = f.Series
	}
	var err error
	if p.plain, err = (proto.MarshalOptions{}).MarshalAppend(p.plain[:0], inner); err != nil {
		return nil, fmt.Errorf("pack frame: %w", err)
	}
	if p.planes = p.planes[:0]; p.pack(len(p.plain)) {
		return out, nil
	}
	return f, nil
}

func (p *framePacker) tries(size int) bool {
	if p == nil || size < minPack {
		return false
	}
	if p.rest > 0 {
		p.rest--
		return false
	}
	return true
}

// pack compresses plain and planes, and reports whether it was worth it.
func (p *framePacker) pack(size int) bool {
	if size > maxPacked {
		return false
	}
	p.packed.Codec, p.packed.Size = querytreepb.Packed_ZSTD, uint32(size)
	z, data := p.packer.zstd, slices.Grow(p.packed.Data[:0], size)
	data = z.EncodeAll(p.plain, data)
	segment := len(p.planes) / 8
	for segment > 0 && segment < minSegment && segment < len(p.planes) {
		segment *= 2
	}
	for rest := p.planes; len(rest) > 0; rest = rest[segment:] {
		data = z.EncodeAll(rest[:segment], data)
	}
	if p.packed.Data = data; len(data) > size-size/8 {
		p.rest = packRest
		return false
	}
	return true
}

// unpacker decompresses frames, as many at a time as there are processors.
type unpacker struct {
	zstd *zstd.Decoder
	free sync.Pool // of *unpackMemory
}

// unpackMemory is what the frames of an answer are unpacked into, one after the
// other.
type unpackMemory struct {
	plain []byte
	words []uint64
	frame frameMemory
}

func (u *unpacker) memory() *unpackMemory {
	if m, ok := u.free.Get().(*unpackMemory); ok {
		return m
	}
	return &unpackMemory{}
}

func newUnpacker() (*unpacker, error) {
	z, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(runtime.GOMAXPROCS(0)), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(maxPacked), zstd.WithDecoderMaxWindow(maxPacked), zstd.WithDecodeAllCapLimit(true),
	)
	if err != nil {
		return nil, fmt.Errorf("open decompressor of frames: %w", err)
	}
	return &unpacker{zstd: z}, nil
}

// accepts returns the codecs that frames may be packed in.
func (u *unpacker) accepts() uint32 {
	if u == nil {
		return 0
	}
	return acceptZstd
}

// unpack returns what was packed, in the memory of buf, which is made larger if
// it must be. Nothing is allocated before the size claimed is checked.
func (u *unpacker) unpack(w *querytreepb.Packed, buf *[]byte) ([]byte, error) {
	if u == nil || w.GetCodec() != querytreepb.Packed_ZSTD {
		return nil, fmt.Errorf("frame packed by codec %d, which was not asked for", w.GetCodec())
	}
	size := int(w.GetSize())
	if size > maxPacked {
		return nil, fmt.Errorf("packed frame of %d bytes, more than the %d allowed", size, maxPacked)
	}
	if cap(*buf) < size {
		// The next frame is a little larger, and the next one again.
		*buf = make([]byte, min(maxPacked, 1<<bits.Len(uint(size-1))))
	}
	out, err := u.zstd.DecodeAll(w.GetData(), (*buf)[:0:size])
	if err != nil {
		return nil, fmt.Errorf("unpack frame: %w", err)
	}
	if len(out) != size {
		return nil, fmt.Errorf("packed frame of %d bytes claims %d", len(out), size)
	}
	return out, nil
}

// selectFrame unpacks into a frame of raw series.
func (u *unpacker) selectFrame(f *querytreepb.SelectFrame) error {
	plain, err := u.unpack(f.GetPacked(), new([]byte))
	if err != nil {
		return err
	}
	series := 0
	err = eachField(plain, func(v wireField) error {
		if v.num != tagSelectSeries {
			return nil
		}
		series++
		return eachField(v.data, func(v wireField) error {
			if v.num == tagRawChunks {
				return errors.New("chunks in a packed frame")
			}
			return nil
		})
	})
	switch {
	case err != nil:
		return err
	case f.GetSymbols() != nil:
		return errors.New("symbols beside a packed frame")
	case series > maxFrameSeries || series > 0 && len(f.GetSeries()) > 0:
		return fmt.Errorf("%d series packed in a frame, beside %d", series, len(f.GetSeries()))
	}
	inner := &querytreepb.SelectFrame{}
	if err := proto.Unmarshal(plain, inner); err != nil {
		return fmt.Errorf("packed frame: %w", err)
	}
	if inner.GetEnd() != nil || inner.GetPacked() != nil {
		return errors.New("packed frame within another, or its end")
	}
	f.Symbols = inner.Symbols
	if series > 0 {
		f.Series = inner.Series
	}
	return nil
}
