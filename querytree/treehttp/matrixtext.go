package treehttp

import (
	"io"
	"math"
	"math/bits"
	"strconv"

	jsoniter "github.com/json-iterator/go"
	"github.com/prometheus/prometheus/promql"
)

const (
	// matrixChunk is how much text of an answer is put together before it is
	// written.
	matrixChunk = 64 << 10
	// keptTimeBits and keptFloatBits are those of the number of timestamps and
	// values whose text is kept, at most.
	keptTimeBits  = 12
	keptFloatBits = 9
)

// matrixText writes series as Prometheus' JSON codec does, byte for byte, a chunk
// at a time. Most series of an answer have the same timestamps, and many the same
// few values: their text is kept. What is not a float, Prometheus' own encoder
// writes.
type matrixText struct {
	w      io.Writer
	buf    []byte
	stock  *jsoniter.Stream
	times  keptTexts
	floats keptTexts
}

// keptText is the text of a timestamp and what is around it,
// `[1435781451.781,"`, or of a value with the end of the point, `1.5"]`.
type keptText struct {
	of   uint64
	n    uint8
	text [31]byte
}

// keptTexts has one place for each text, in which the latest is.
type keptTexts struct {
	texts []keptText
	shift int
}

func newKeptTexts(bits int) keptTexts {
	return keptTexts{make([]keptText, 1<<bits), 64 - bits}
}

// place returns where the text of a number is, if it is kept.
func (k *keptTexts) place(of uint64) *keptText { return &k.texts[of*0x9e3779b97f4a7c15>>k.shift] }

// keep keeps the text of a number in its place, if it is not too long.
func (k *keptText) keep(of uint64, text []byte) {
	if len(text) <= len(k.text) {
		k.of, k.n = of, uint8(copy(k.text[:], text))
	}
}

// writeMatrix writes a matrix to w.
func writeMatrix(w io.Writer, m promql.Matrix) error {
	longest := 0
	for i := range m {
		longest = max(longest, len(m[i].Floats))
	}
	t := &matrixText{
		w: w, buf: make([]byte, 0, matrixChunk+matrixChunk/8),
		stock: jsoniter.NewStream(jsoniter.ConfigCompatibleWithStandardLibrary, nil, 512),
		times: newKeptTexts(min(keptTimeBits, bits.Len(uint(longest))+1)), floats: newKeptTexts(keptFloatBits),
	}
	t.buf = append(t.buf, '[')
	for i := range m {
		if i > 0 {
			t.buf = append(t.buf, ',')
		}
		if err := t.series(&m[i]); err != nil {
			return err
		}
	}
	t.buf = append(t.buf, ']')
	return t.flush()
}

// series appends one series.
func (t *matrixText) series(s *promql.Series) error {
	if len(s.Histograms) > 0 {
		return t.byStock(*s)
	}
	t.buf = append(t.buf, `{"metric":`...)
	if err := t.byStock(s.Metric); err != nil {
		return err
	}
	if len(s.Floats) > 0 {
		t.buf = append(t.buf, `,"values":[`...)
		for i, p := range s.Floats {
			if i > 0 {
				t.buf = append(t.buf, ',')
			}
			t.time(p.T)
			t.float(p.F)
			if len(t.buf) >= matrixChunk {
				if err := t.flush(); err != nil {
					return err
				}
			}
		}
		t.buf = append(t.buf, ']')
	}
	t.buf = append(t.buf, '}')
	return nil
}

// byStock appends what Prometheus' own encoder makes of v.
func (t *matrixText) byStock(v any) error {
	t.stock.SetBuffer(t.stock.Buffer()[:0])
	t.stock.WriteVal(v)
	if t.stock.Error != nil {
		return t.stock.Error
	}
	t.buf = append(t.buf, t.stock.Buffer()...)
	if len(t.buf) >= matrixChunk {
		return t.flush()
	}
	return nil
}

func (t *matrixText) flush() error {
	_, err := t.w.Write(t.buf)
	t.buf = t.buf[:0]
	return err
}

// time appends the timestamp of a point.
func (t *matrixText) time(ms int64) {
	k := t.times.place(uint64(ms))
	if k.n > 0 && k.of == uint64(ms) {
		t.buf = append(t.buf, k.text[:k.n]...)
		return
	}
	start, of := len(t.buf), uint64(ms)
	t.buf = append(t.buf, '[')
	if ms < 0 {
		t.buf = append(t.buf, '-')
		ms = -ms
	}
	t.buf = strconv.AppendInt(t.buf, ms/1000, 10)
	if f := ms % 1000; f != 0 {
		t.buf = append(t.buf, '.', byte('0'+f/100), byte('0'+f/10%10), byte('0'+f%10))
	}
	t.buf = append(t.buf, `,"`...)
	k.keep(of, t.buf[start:])
}

// float appends a value and the end of its point.
func (t *matrixText) float(f float64) {
	of := math.Float64bits(f)
	k := t.floats.place(of)
	if k.n > 0 && k.of == of {
		t.buf = append(t.buf, k.text[:k.n]...)
		return
	}
	start := len(t.buf)
	if i := int64(f); float64(i) == f && -1e15 < f && f < 1e15 && (i != 0 || of == 0) {
		t.buf = strconv.AppendInt(t.buf, i, 10) // as the other would, but faster
	} else {
		format := byte('f')
		if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
			format = 'e'
		}
		t.buf = strconv.AppendFloat(t.buf, f, format, -1, 64)
	}
	t.buf = append(t.buf, `"]`...)
	k.keep(of, t.buf[start:])
}
