package leaf

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/pandometrics/pando/fieldhint"
)

// Targets of what aggregation saves at 100 inputs to one output.
const (
	targetSavedCPU    = 0.60
	targetSavedMemory = 0.80
)

const (
	benchInputs   = 200_000
	benchRatio    = 100
	benchInterval = 15 * time.Second
)

// aggregationLabels are those of a counter that each of 100 pods has.
func aggregationLabels(i int) labels.Labels {
	pod, series := i%benchRatio, i/benchRatio
	return labels.FromStrings("__name__", fmt.Sprintf("app_%d_total", series%100), "code", strconv.Itoa(200+series/100%5), "container", "shop-api",
		"instance", fmt.Sprintf("10.1.%d.%d:8080", pod/10, pod), "job", "shop", "method", []string{"GET", "POST"}[series/500%2],
		"namespace", "shop-prod", "path", fmt.Sprintf("/api/v1/%d", series/1000), "pod", fmt.Sprintf("shop-api-5d9f7c%d-x%d", pod/10, pod))
}

// store is a leaf under comparison, with a clock of its own.
type store struct {
	leaf  *Leaf
	clock time.Time
	refs  []storage.SeriesRef
}

func newStore(b *testing.B, aggregates bool) *store {
	b.Helper()
	set, err := fieldhint.NewSet(fieldhint.SetConfig{External: testIdentity})
	if err != nil {
		b.Fatal(err)
	}
	s := &store{clock: time.UnixMilli(1_700_000_000_000 / 60_000 * 60_000)}
	cfg := testConfig(b.TempDir())
	if aggregates {
		cfg.AggregateFile = filepath.Join(b.TempDir(), "rules.yml")
		rules := "delay: 5s\nrules: [{name: app, match: ['{__name__=~\"app_.*\"}'], without: [instance, pod], interval: 15s}]\n"
		if err := os.WriteFile(cfg.AggregateFile, []byte(rules), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	s.leaf = openLeaf(b, cfg, Deps{Hints: set, Now: func() time.Time { return s.clock }})
	s.flush(b)
	return s
}

func (s *store) flush(b *testing.B) {
	b.Helper()
	if s.leaf.aggregator != nil {
		if err := s.leaf.aggregator.Flush(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

// scrape appends a sample of each series as scraping does: by reference, the 2,000
// series of a pod in a transaction, one pod after the other over the interval.
func (s *store) scrape(b *testing.B, sets []labels.Labels, round int) {
	b.Helper()
	if s.refs == nil {
		s.refs = make([]storage.SeriesRef, len(sets))
	}
	in := s.leaf.scraped()
	for pod := range benchRatio {
		s.clock = s.clock.Add(benchInterval / benchRatio)
		app := in.AppenderV2(context.Background())
		for i := pod; i < len(sets); i += benchRatio {
			ref, err := app.Append(s.refs[i], sets[i], 0, s.clock.UnixMilli(), float64(round*10+i%7), nil, nil, storage.AOptions{})
			if err != nil {
				b.Fatal(err)
			}
			s.refs[i] = ref
		}
		if err := app.Commit(); err != nil {
			b.Fatal(err)
		}
		if pod%7 == 0 { // about every second, as Run does
			s.flush(b)
		}
	}
}

// subjectVariable, in the environment, makes the benchmark's process one of those
// that it compares.
const subjectVariable = "PANDO_INGEST_SUBJECT"

// BenchmarkIngestAggregation compares a leaf that stores 200,000 series with one that
// sums them up to 2,000, in one run and in turns, each in a process of its own. As
// scraping does it, from the parsed sample on, and with remote write 1.0 and 2.0 and
// OTLP, whose requests both must decode.
func BenchmarkIngestAggregation(b *testing.B) {
	if what := os.Getenv(subjectVariable); what != "" {
		serveSubject(b, what)
		return
	}
	for _, how := range []string{"scrape", "write", "write2", "otlp"} {
		b.Run(how, func(b *testing.B) {
			for range b.N {
				compareProcesses(b, how)
			}
		})
	}
}

// took is what a round took, or all.
type took struct {
	CPU    time.Duration
	Memory int
	Series uint64
}

// serveSubject ingests a round for each line that it reads, and tells what it took.
func serveSubject(b *testing.B, what string) {
	b.Helper()
	sets := make([]labels.Labels, benchInputs)
	for i := range sets {
		sets[i] = aggregationLabels(i)
	}
	how, aggregates := strings.CutSuffix(what, "-sums")
	p, sent := protocols()[how]
	s := newStore(b, aggregates)
	before := heap()
	out := json.NewEncoder(os.NewFile(3, "answers"))
	round := 0
	for in := bufio.NewScanner(os.Stdin); in.Scan(); round++ {
		var bodies [][]byte
		if sent {
			bodies = p.bodies(b, sets, s.clock.UnixMilli(), round)
			runtime.GC()
		}
		start := cpuTime(b)
		if sent {
			s.write(b, p, bodies)
		} else {
			s.scrape(b, sets, round)
		}
		t := took{CPU: cpuTime(b) - start, Series: s.leaf.store.Head().NumSeries()}
		if bodies = nil; in.Text() == "measure" {
			t.Memory = heap() - before
		}
		if err := out.Encode(t); err != nil {
			b.Fatal(err)
		}
	}
	runtime.KeepAlive(sets)
}

// subjectProcess is a process under comparison.
type subjectProcess struct {
	in    io.WriteCloser
	out   *json.Decoder
	first time.Duration // CPU of the round that makes the series
	total took
}

func startSubject(b *testing.B, what string) *subjectProcess {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$", "-test.bench=^BenchmarkIngestAggregation$", "-test.benchtime=1x")
	cmd.Env = append(os.Environ(), subjectVariable+"="+what)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	cmd.ExtraFiles = []*os.File{w}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	w.Close()
	b.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			b.Error(err)
		}
		r.Close()
	})
	return &subjectProcess{in: in, out: json.NewDecoder(r)}
}

// round lets the process ingest a sample of each series.
func (p *subjectProcess) round(b *testing.B, n int, order string) {
	b.Helper()
	var t took
	if _, err := fmt.Fprintln(p.in, order); err != nil {
		b.Fatal(err)
	}
	if err := p.out.Decode(&t); err != nil {
		b.Fatal(err)
	}
	p.total.Memory, p.total.Series = t.Memory, t.Series
	if n == 0 {
		p.first = t.CPU
		return
	}
	p.total.CPU += t.CPU
}

// compareProcesses ingests six minutes and compares what it took.
func compareProcesses(b *testing.B, how string) {
	b.Helper()
	const rounds = 24
	all, sums := startSubject(b, how), startSubject(b, how+"-sums")
	for n := range rounds {
		order := "ingest"
		if n == rounds-1 {
			order = "measure"
		}
		for k := range 2 {
			[]*subjectProcess{all, sums}[(k+n)%2].round(b, n, order)
		}
	}
	if all.total.Series != benchInputs || sums.total.Series != benchInputs/benchRatio {
		b.Fatalf("%d and %d series are stored", all.total.Series, sums.total.Series)
	}
	cpu, memory := 1-float64(sums.total.CPU)/float64(all.total.CPU), 1-float64(sums.total.Memory)/float64(all.total.Memory)
	b.ReportMetric(cpu, "cpu-saved")
	b.ReportMetric(memory, "memory-saved")
	const samples = benchInputs * (rounds - 1)
	fmt.Fprintf(os.Stdout, "%s: a sample takes %d ns stored, %d ns summed up; a new series %d and %d ns; memory for an input %d and %d B\n", how,
		all.total.CPU.Nanoseconds()/samples, sums.total.CPU.Nanoseconds()/samples, all.first.Nanoseconds()/benchInputs, sums.first.Nanoseconds()/benchInputs,
		all.total.Memory/benchInputs, sums.total.Memory/benchInputs)
	fmt.Fprintf(os.Stdout, "CPU saved: %.3f (≥ %v: %s)\n", cpu, targetSavedCPU, judged(cpu >= targetSavedCPU))
	fmt.Fprintf(os.Stdout, "memory saved: %.3f (≥ %v: %s)\n", memory, targetSavedMemory, judged(memory >= targetSavedMemory))
}

// write sends requests.
func (s *store) write(b *testing.B, p protocol, bodies [][]byte) {
	b.Helper()
	h := p.handler(s.leaf)
	for _, body := range bodies {
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		for name, value := range p.header {
			r.Header.Set(name, value)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != p.answered {
			b.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	s.clock = s.clock.Add(benchInterval)
	s.flush(b)
}
