package e2e_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"

	"github.com/pandometrics/pando/querytree/treehttp"
)

// mustBe fails the test unless a write is answered with that status and a text
// that has all words.
func mustBe(t *testing.T, leaf *process, what string, body []byte, code int, words ...string) {
	t.Helper()
	got, text, err := post(context.Background(), leaf.http, body)
	switch {
	case err != nil:
		t.Errorf("%s: %v", what, err)
	case got != code:
		t.Errorf("%s: status %d, want %d: %.300s", what, got, code, text)
	default:
		if err := mentions([]string{text}, words...); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// What no sender should send is refused with what is wrong, and costs no memory.
func TestProcessHostileWrites(t *testing.T) {
	processes(t)
	leaf := startLeaf(t, freeAddress(t), "eu", "eu-1")
	now := time.Now()
	a := labels.FromStrings("__name__", "a")
	write(t, leaf, point{a, now, 1})
	before := residentBytes(t, leaf)

	bomb := append(binary.AppendUvarint(nil, 3<<30), 0x00, 'x')
	mustBe(t, leaf, "no snappy", []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 400, "snappy")
	mustBe(t, leaf, "header of gigabytes", bomb, 413, fmt.Sprint(3<<30), "limit")
	mustBe(t, leaf, "header above the body", append(binary.AppendUvarint(nil, 30<<20), 0x00, 'x'), 400, "corrupt")
	mustBe(t, leaf, "broken snappy", append(binary.AppendUvarint(nil, 40), bytes.Repeat([]byte{0xfe}, 20)...), 400, "snappy")
	mustBe(t, leaf, "large body", make([]byte, 33<<20), 413, "limit", "fewer samples")
	mustBe(t, leaf, "no protobuf", snappy.Encode(nil, bytes.Repeat([]byte("garbage!"), 100)), 400, "proto")
	mustBe(t, leaf, "out of order", encode(point{a, now.Add(-time.Minute), 1}), 400, "out of order")
	mustBe(t, leaf, "other value", encode(point{a, now, 2}), 400, "duplicate sample")
	mustBe(t, leaf, "too old", encode(point{labels.FromStrings("__name__", "old"), now.Add(-30 * 24 * time.Hour), 2}), 400, "out of bounds")
	mustBe(t, leaf, "the same again", encode(point{a, now, 1}), 204)

	rnd := rand.New(rand.NewSource(1))
	valid, err := (&prompb.WriteRequest{Timeseries: []prompb.TimeSeries{{
		Labels: prompb.FromLabels(labels.FromStrings("__name__", "fuzzed", "l", "v"), nil), Samples: []prompb.Sample{{Value: 1, Timestamp: now.UnixMilli()}},
	}}}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for range 500 {
		body := bytes.Clone(valid)
		for range 1 + rnd.Intn(4) {
			body[rnd.Intn(len(body))] = byte(rnd.Intn(256))
		}
		code, text, err := post(context.Background(), leaf.http, snappy.Encode(nil, body))
		if err != nil || code >= 500 {
			t.Fatalf("mutated request %x: status %d %s, %v", body, code, text, err)
		}
	}
	for range 20 {
		mustBe(t, leaf, "header of gigabytes", bomb, 413)
		mustBe(t, leaf, "large body", make([]byte, 33<<20), 413)
	}
	if grown := residentBytes(t, leaf) - before; grown > 300<<20 {
		t.Errorf("the leaf grew by %d MiB", grown>>20)
	}
	becomes(t, 60*time.Second, leaf.http, `a`, 1)
}

// Queries that are too long, too deep or too large are refused at every tier,
// soon, with the flag that says so.
func TestProcessHostileQueries(t *testing.T) {
	processes(t)
	limits := []string{"--query.max-samples=5000", "--query.max-series=100"}
	root := startRoot(t, limits...)
	zone := startZone(t, root.grpc, append(limits, "--zone=eu")...)
	leaf := startLeaf(t, zone.grpc, "eu", "eu-1", limits...)
	now := time.Now().Truncate(time.Second)
	var many []point
	for i := range 200 {
		many = append(many, point{labels.FromStrings("__name__", "wide", "i", fmt.Sprint(i)), now, 1})
	}
	write(t, leaf, many...)
	for i := range 120 {
		write(t, leaf, point{labels.FromStrings("__name__", "long"), now.Add(time.Duration(i-120) * time.Second), 1})
	}
	awaitLeaves(t, root, 1)
	for _, p := range []*process{root, zone, leaf} {
		becomes(t, 60*time.Second, p.http, `count_over_time(long[10m])`, 120)
		for _, c := range []struct {
			name, query string
			code        int
			words       []string
		}{
			{"long", `up{a="` + strings.Repeat("x", 17<<10) + `"}`, 400, []string{"--query.max-length"}},
			{"deep", strings.Repeat("(", 8000) + "1" + strings.Repeat(")", 8000), 400, []string{"--query.max-depth"}},
			{"very deep", strings.Repeat("(", 10_000) + "1" + strings.Repeat(")", 10_000), 400, []string{"--query.max-"}},
			{"deep in minus signs", strings.Repeat("-", 10_000) + "1", 400, []string{"--query.max-depth"}},
			{"too many samples", `sum_over_time(long[2m:10ms])`, 422, []string{"--query.max-samples"}},
			{"too many series", `wide`, 422, []string{"--query.max-series"}},
		} {
			a, err := ask(p.http, c.query, "time", seconds(now))
			switch {
			case err != nil:
				t.Errorf("%s, %s: %v", p.name, c.name, err)
			case a.Code != c.code:
				t.Errorf("%s, %s: status %d, want %d: %.300s%.300s", p.name, c.name, a.Code, c.code, a.Error, a.Data)
			default:
				if err := mentions([]string{a.Error}, c.words...); err != nil {
					t.Errorf("%s, %s: %.600v", p.name, c.name, err)
				}
			}
		}
		becomes(t, 60*time.Second, p.http, `count_over_time(long[10m])`, 120)
	}
}

// Garbage on a connection costs that connection and nothing else.
func TestProcessHostilePeers(t *testing.T) {
	processes(t)
	zone := startZone(t, freeAddress(t), "--zone=eu")
	lis, err := net.Listen("tcp", anyPort)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lis.Close() })
	leaf := startLeaf(t, zone.grpc, "eu", "eu-1", "--parent="+lis.Addr().String())
	write(t, leaf, pt(1, "__name__", "steady"))
	becomes(t, 60*time.Second, zone.http, `sum(steady)`, 1)

	rnd := rand.New(rand.NewSource(1))
	garbage := func() []byte {
		b := make([]byte, 64<<10)
		rnd.Read(b)
		switch rnd.Intn(4) {
		case 0: // the beginning of a session as it should be
			copy(b, []byte{0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0})
		case 1: // a frame that is said to be large
			copy(b, []byte{0, 0, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff})
		case 2:
			copy(b, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
		}
		return b
	}
	before := residentBytes(t, zone)
	for range 50 {
		conn, err := net.Dial("tcp", zone.grpc)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = conn.Write(garbage()) // the zone may have hung up already
		_ = conn.(*net.TCPConn).CloseWrite()
		if _, err := io.Copy(io.Discard, conn); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Error("the zone keeps a connection of garbage open")
		}
		_ = conn.Close()
	}
	// A parent that answers the leaf with garbage, again and again.
	for range 3 {
		_ = lis.(*net.TCPListener).SetDeadline(time.Now().Add(30 * time.Second))
		conn, err := lis.Accept()
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = conn.Write(garbage())
		if _, err := io.Copy(io.Discard, conn); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Error("the leaf keeps a connection of garbage open")
		}
		_ = conn.Close()
	}
	becomes(t, 60*time.Second, zone.http, `sum(steady)`, 1)
	if err := stateOf(zone, "zone=eu,cluster=eu-1", treehttp.StateConnected); err != nil {
		t.Error(err)
	}
	if n := strings.Count(zone.log.String(), "child disconnected"); n > 0 {
		t.Errorf("the leaf was disconnected %d times", n)
	}
	if grown := residentBytes(t, zone) - before; grown > 200<<20 {
		t.Errorf("the zone grew by %d MiB", grown>>20)
	}
}
