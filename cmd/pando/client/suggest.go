package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/pandometrics/pando/querytree/treehttp"
	"github.com/pandometrics/pando/rollup"
)

// YAML is the form of a file of rollup rules.
const YAML Format = "yaml"

// SuggestFormats are those of Suggest, for flags.
func SuggestFormats() []string { return []string{string(YAML), string(Table), string(JSON)} }

// SuggestOptions say which queries to look at, and what to propose.
type SuggestOptions struct {
	// Files are query logs; "-" is Input. Those and the queries of Server are looked
	// at together.
	Files []string
	Input io.Reader
	// Server is the address of a tier whose recent queries are looked at, and that
	// is asked how many series each rule has; empty asks nobody.
	Server string
	// HTTP is the client used, for TLS and credentials; nil means a plain one.
	HTTP *http.Client
	// Timeout of each question; zero means the server's.
	Timeout time.Duration
	// Have is a file of rules that there are already; empty means none.
	Have string
	// Tiers are to keep the points; empty means the root.
	Tiers []string
	// MinTimes is how often something must have been asked for; zero means twice.
	MinTimes int64
	// Top bounds the rules that are proposed; zero means 20.
	Top int
	// Format is YAML, Table or JSON; empty means YAML.
	Format Format
	// Every is how often progress is told; zero means every two seconds.
	Every time.Duration
}

const defaultTop = 20

// Suggest proposes rollup rules for the queries of a log, in the order of what
// they would save, and says what none would help. Progress goes to stderr. It
// returns the exit code: Partial if the server told of fewer series than there are.
func Suggest(ctx context.Context, o SuggestOptions, stdout, stderr io.Writer) int {
	code, err := o.suggest(ctx, stdout, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "error:", printable(err.Error()))
		return Failed
	}
	return code
}

func (o SuggestOptions) suggest(ctx context.Context, stdout, stderr io.Writer) (int, error) {
	cfg := rollup.AdvisorConfig{Tiers: o.Tiers, MinTimes: o.MinTimes}
	var err error
	if cfg.Have, err = o.have(); err != nil {
		return Failed, err
	}
	a, err := rollup.NewAdvisor(cfg)
	if err != nil {
		return Failed, err
	}
	r := &logReader{advisor: a, stderr: stderr, every: o.Every}
	for _, name := range o.Files {
		if err := r.file(ctx, name, o.Input); err != nil {
			return Failed, err
		}
	}
	if r.lines > 0 && r.queries == 0 {
		return Failed, fmt.Errorf("none of %s is a query of Pando's query log, --query.log-file", count(int(r.lines), "line", "lines"))
	}
	if o.Server != "" {
		if err := r.recent(ctx, o); err != nil {
			return Failed, err
		}
	}
	r.tell()
	advice := a.Advise()
	top := o.Top
	if top <= 0 {
		top = defaultTop
	}
	s := suggestion{Queries: r.queries, Unreadable: r.unreadable, More: max(0, len(advice.Rules)-top)}
	code := OK
	for _, p := range advice.Rules[:min(top, len(advice.Rules))] {
		row := suggestedOf(p)
		if o.Server != "" {
			if code = max(code, row.estimate(ctx, o, stderr)); code == Failed {
				return Failed, errors.New("no estimate of series: leave out --url to do without")
			}
		}
		s.Rules = append(s.Rules, row)
	}
	s.unhelped(advice)
	return code, s.render(stdout, o.Format)
}

// have reads the rules that there are already.
func (o SuggestOptions) have() (*rollup.Rules, error) {
	if o.Have == "" {
		return nil, nil
	}
	data, err := readBounded(o.Have, rollup.MaxBytes)
	if err != nil {
		return nil, err
	}
	rules, err := rollup.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Have, err)
	}
	return rules, nil
}

// logReader reads query logs, a line at a time.
type logReader struct {
	advisor *rollup.Advisor
	stderr  io.Writer
	every   time.Duration

	lines, queries, unreadable int64
	told                       time.Time
}

// maxLogLine bounds a line; Pando's have some KiB.
const maxLogLine = 1 << 20

// file reads one log.
func (r *logReader) file(ctx context.Context, name string, input io.Reader) error {
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		input = f
	}
	b := bufio.NewReaderSize(input, maxLogLine)
	r.told = time.Now()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		line, err := b.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			r.lines, r.unreadable = r.lines+1, r.unreadable+1
			line = nil
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = b.ReadSlice('\n')
			}
		}
		if len(line) > 0 {
			r.line(line)
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read %s: %w", name, err)
		}
	}
}

// line looks at one line. What is not a query is counted.
func (r *logReader) line(line []byte) {
	r.lines++
	var row treehttp.QueryRow
	if err := json.Unmarshal(line, &row); err != nil || row.Query == "" {
		r.unreadable++
		return
	}
	r.row(row)
	every := r.every
	if every <= 0 {
		every = 2 * time.Second
	}
	if r.lines%1000 == 0 && time.Since(r.told) >= every {
		r.told = time.Now()
		r.tell()
	}
}

func (r *logReader) tell() {
	fmt.Fprintf(r.stderr, "read %s; %s of another kind\n", count(int(r.queries), "query", "queries"), count(int(r.unreadable), "line", "lines"))
}

// row adds a query, unless somebody asked why rather than what.
func (r *logReader) row(row treehttp.QueryRow) {
	r.queries++
	if row.Kind != "query" && row.Kind != "query_range" {
		return
	}
	r.advisor.Add(rollup.Asked{
		Query: row.Query, Start: row.Start, End: row.End, Step: time.Duration(row.Step), Begun: row.Begun,
		Duration: time.Duration(row.Duration), Series: row.Series, Samples: row.Samples, Bytes: row.Bytes,
	})
}

// recent looks at the recent queries of a tier.
func (r *logReader) recent(ctx context.Context, o SuggestOptions) error {
	conn, err := connect(o.Server, o.HTTP)
	if err != nil {
		return err
	}
	var list struct {
		Data treehttp.QueryList `json:"data"`
	}
	if err := conn.get(ctx, "/pando/api/v1/queries", &list); err != nil {
		return err
	}
	for _, row := range list.Data.Recent {
		r.row(row)
	}
	return nil
}
