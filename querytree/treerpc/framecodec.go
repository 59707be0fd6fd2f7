package treerpc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/pandometrics/pando/querytree/querytreepb"
)

// Field numbers of tree.proto that are read or written here.
const (
	tagExecSymbols, tagExecSeries, tagExecEnd, tagExecPacked, tagExecPlanes = 1, 2, 3, 4, 5

	tagGridLabels, tagGridMore, tagGridFirst, tagGridPresent, tagGridValues, tagGridHistograms, tagGridPoints, tagGridScale = 1, 2, 3, 4, 5, 6, 7, 8

	tagSymbolsReset, tagSymbolsAdded = 1, 2

	tagPackedCodec, tagPackedSize, tagPackedData = 1, 2, 3

	tagSelectSeries, tagRawChunks = 2, 3
)

// messageHeader is what gRPC puts before each message.
const messageHeader = 5

// callCodec is gRPC's codec for one call. It counts the bytes that the answer
// takes on the wire, and reads ExecFrames with a few allocations for each rather
// than a few for each series. It is not safe for concurrent use: one goroutine
// reads an answer.
type callCodec struct {
	encoding.CodecV2
	received int64
}

func newCallCodec() *callCodec {
	return &callCodec{CodecV2: encoding.GetCodecV2(grpcproto.Name)}
}

// Unmarshal implements encoding.CodecV2.
func (c *callCodec) Unmarshal(data mem.BufferSlice, v any) error {
	c.received += int64(data.Len()) + messageHeader
	f, ok := v.(*querytreepb.ExecFrame)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	buf := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buf.Free()
	return unmarshalExecFrame(bytes.Clone(buf.ReadOnlyData()), f, &frameMemory{})
}

// wireField is one field of a message: a number, or data.
type wireField struct {
	num    protowire.Number
	typ    protowire.Type
	number uint64
	data   []byte
}

// eachField calls f for every field of a message.
func eachField(b []byte, f func(wireField) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		if num > protowire.MaxValidNumber {
			return fmt.Errorf("field number %d", num)
		}
		b = b[n:]
		v := wireField{num: num, typ: typ}
		switch typ {
		case protowire.VarintType:
			v.number, n = protowire.ConsumeVarint(b)
		case protowire.Fixed64Type:
			v.number, n = protowire.ConsumeFixed64(b)
		case protowire.BytesType:
			v.data, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		if err := f(v); err != nil {
			return err
		}
	}
	return nil
}

// execReader puts the parts of a frame in a few arrays, which are made as large
// as the frame says before it is read.
type execReader struct {
	frame *querytreepb.ExecFrame
	frameMemory
	histograms int
}

// frameMemory holds the arrays of one frame after the other. What is in them is
// that of the last one.
type frameMemory struct {
	parts  []*querytreepb.GridSeries
	series []querytreepb.GridSeries
	labels []uint32
	values []float64
}

// fit makes room for a frame.
func (m *frameMemory) fit(series, labels, values int) {
	clear(m.series[:cap(m.series)]) // of histograms, and of the bytes of the last frame
	m.parts, m.series = slices.Grow(m.parts[:0], series), slices.Grow(m.series[:0], series)[:series]
	m.labels, m.values = slices.Grow(m.labels[:0], labels), slices.Grow(m.values[:0], values)
}

// unmarshalExecFrame is proto.Unmarshal for frames that are not too large for
// an encoder to have made them. The frame refers to b from then on, and to m,
// which may have been that of a frame that is no longer needed.
func unmarshalExecFrame(b []byte, f *querytreepb.ExecFrame, m *frameMemory) error {
	r := &execReader{frame: f, frameMemory: *m}
	if err := r.measure(b); err != nil {
		return err
	}
	*m = r.frameMemory
	return eachField(b, r.field)
}

// measure makes room for all series, labels and values.
func (r *execReader) measure(b []byte) error {
	series, labels, values := 0, 0, 0
	err := eachField(b, func(v wireField) error {
		if v.num != tagExecSeries || v.typ != protowire.BytesType {
			return nil
		}
		series++
		return eachField(v.data, func(v wireField) error {
			switch v.num {
			case tagGridLabels:
				labels += max(len(v.data), 1)
			case tagGridValues:
				values += max(len(v.data)/8, 1)
			case tagGridHistograms:
				r.histograms++
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	if series > maxFrameSeries || r.histograms > maxFrameHistograms {
		return fmt.Errorf("frame of %d series and %d histograms", series, r.histograms)
	}
	r.fit(series, labels, values)
	r.frame.Series = r.parts
	return nil
}

func (r *execReader) field(v wireField) error {
	if v.typ != protowire.BytesType {
		return nil
	}
	switch v.num {
	case tagExecSymbols:
		if r.frame.Symbols == nil {
			r.frame.Symbols = &querytreepb.Symbols{}
		}
		return readSymbols(v.data, r.frame.Symbols)
	case tagExecSeries:
		s := &r.series[len(r.frame.Series)]
		r.frame.Series = append(r.frame.Series, s)
		labels, values := len(r.labels), len(r.values)
		if err := eachField(v.data, func(v wireField) error { return r.seriesField(s, v) }); err != nil {
			return err
		}
		// Full slices: what one series appends must not end up in another.
		s.Labels = r.labels[labels:len(r.labels):len(r.labels)]
		s.Values = r.values[values:len(r.values):len(r.values)]
	case tagExecEnd:
		if r.frame.End == nil {
			r.frame.End = &querytreepb.End{}
		}
		return mergeMessage(v.data, r.frame.End)
	case tagExecPacked:
		if r.frame.Packed == nil {
			r.frame.Packed = &querytreepb.Packed{}
		}
		return readPacked(v.data, r.frame.Packed)
	case tagExecPlanes:
		r.frame.Planes = v.data
	}
	return nil
}

func (r *execReader) seriesField(s *querytreepb.GridSeries, v wireField) error {
	switch {
	case v.num == tagGridLabels && v.typ == protowire.BytesType:
		for b := v.data; len(b) > 0; {
			ref, n := protowire.ConsumeVarint(b)
			if n < 0 {
				return protowire.ParseError(n)
			}
			r.labels, b = append(r.labels, uint32(ref)), b[n:]
		}
	case v.num == tagGridLabels && v.typ == protowire.VarintType:
		r.labels = append(r.labels, uint32(v.number))
	case v.num == tagGridValues && v.typ == protowire.BytesType:
		if len(v.data)%8 != 0 {
			return errors.New("values of broken length")
		}
		for b := v.data; len(b) > 0; b = b[8:] {
			r.values = append(r.values, math.Float64frombits(binary.LittleEndian.Uint64(b)))
		}
	case v.num == tagGridValues && v.typ == protowire.Fixed64Type:
		r.values = append(r.values, math.Float64frombits(v.number))
	case v.num == tagGridPresent && v.typ == protowire.BytesType:
		s.Present = v.data
	case v.num == tagGridHistograms && v.typ == protowire.BytesType:
		h := &querytreepb.GridHistogram{}
		s.Histograms = append(s.Histograms, h)
		return mergeMessage(v.data, h)
	case v.typ != protowire.VarintType:
	case v.num == tagGridMore:
		s.More = v.number != 0
	case v.num == tagGridFirst:
		s.First = uint32(v.number)
	case v.num == tagGridPoints:
		s.Points = uint32(v.number)
	case v.num == tagGridScale:
		s.Scale = uint32(v.number)
	}
	return nil
}

func readSymbols(b []byte, s *querytreepb.Symbols) error {
	added := 0
	count := func(v wireField) error {
		if v.num == tagSymbolsAdded {
			added++
		}
		return nil
	}
	if err := eachField(b, count); err != nil {
		return err
	}
	if s.Added == nil {
		s.Added = make([][]byte, 0, added)
	}
	return eachField(b, func(v wireField) error {
		switch {
		case v.num == tagSymbolsReset && v.typ == protowire.VarintType:
			s.Reset_ = v.number != 0
		case v.num == tagSymbolsAdded && v.typ == protowire.BytesType:
			s.Added = append(s.Added, v.data)
		}
		return nil
	})
}

func readPacked(b []byte, p *querytreepb.Packed) error {
	return eachField(b, func(v wireField) error {
		switch {
		case v.num == tagPackedCodec && v.typ == protowire.VarintType:
			p.Codec = querytreepb.Packed_Codec(int32(v.number))
		case v.num == tagPackedSize && v.typ == protowire.VarintType:
			p.Size = uint32(v.number)
		case v.num == tagPackedData && v.typ == protowire.BytesType:
			p.Data = v.data
		}
		return nil
	})
}

func mergeMessage(b []byte, m proto.Message) error {
	return proto.UnmarshalOptions{Merge: true, DiscardUnknown: true}.Unmarshal(b, m)
}
