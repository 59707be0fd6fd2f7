package garbletest

import (
	"fmt"
	"math/rand"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/pandometrics/pando/querytree/querytreepb"
)

// frameOf encodes the frame of an answer.
func frameOf(t testing.TB, f *querytreepb.ExecFrame) []byte {
	t.Helper()
	b, err := proto.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Answers are what a broken leaf may answer to an expression, by what is wrong with
// them.
func Answers(t testing.TB) map[string]Answer {
	of := func(frames ...*querytreepb.ExecFrame) Answer {
		var a Answer
		for _, f := range frames {
			a.Messages = append(a.Messages, frameOf(t, f))
		}
		return a
	}
	words := func(words ...string) *querytreepb.Symbols {
		s := &querytreepb.Symbols{}
		for _, w := range words {
			s.Added = append(s.Added, []byte(w))
		}
		return s
	}
	end := &querytreepb.ExecFrame{End: &querytreepb.End{}}
	value := func(ls ...uint32) *querytreepb.GridSeries {
		return &querytreepb.GridSeries{Labels: ls, Values: []float64{100}}
	}
	random := func(seed int64, n int) []byte {
		b := make([]byte, n)
		rand.New(rand.NewSource(seed)).Read(b)
		return b
	}
	good := frameOf(t, &querytreepb.ExecFrame{Symbols: words("a", "b"), Series: []*querytreepb.GridSeries{value()}})
	return map[string]Answer{
		"nothing at all":      {},
		"noise":               {Messages: [][]byte{random(1, 1000)}},
		"noise after a start": {Messages: [][]byte{good, random(2, 1000)}},
		"half a message":      {Messages: [][]byte{good[:len(good)/2]}},
		"no end":              of(&querytreepb.ExecFrame{Symbols: words("a", "b"), Series: []*querytreepb.GridSeries{value()}}),
		"more after the end":  of(end, end),
		"unknown words":       of(&querytreepb.ExecFrame{Series: []*querytreepb.GridSeries{value(7, 8)}}, end),
		"series twice":        of(&querytreepb.ExecFrame{Series: []*querytreepb.GridSeries{value(), value()}}, end),
		"points elsewhere":    of(&querytreepb.ExecFrame{Series: []*querytreepb.GridSeries{{First: 10, Values: []float64{1}}}}, end),
		"a frame too large":   {Messages: [][]byte{random(3, 64<<20)}},
		"an unknown error":    {Messages: [][]byte{good}, Err: status.Error(codes.DataLoss, "lost")},
		"silence":             {Messages: [][]byte{good}, Hang: true},
		"empty frames without end": {Endless: func(int) []byte {
			return []byte{}
		}},
		"series without end": {Endless: func(i int) []byte {
			return frameOf(t, &querytreepb.ExecFrame{
				Symbols: words(fmt.Sprintf("w%09d", i)), Series: []*querytreepb.GridSeries{value(uint32(i), uint32(i))},
			})
		}},
	}
}
