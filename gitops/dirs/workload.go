package dirs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/pandometrics/pando/gitops"
)

// Workload is a process that reads the configuration.
type Workload struct {
	// Name is for errors.
	Name string
	// URL is where its HTTP API is, such as http://127.0.0.1:9090. It is asked
	// for /metrics, and told to reload by POST /-/reload if there is no PIDFile.
	URL string
	// PIDFile names a file with the id of the process, which is sent SIGHUP.
	PIDFile string
	// Metric is the gauge whose label revision says what is loaded; "" means
	// that of pando leaf.
	Metric string
	// Client is used for HTTP; nil is http.DefaultClient with a time limit.
	Client *http.Client
	// Resident is the workload if it is in this process; nothing else is used then.
	Resident Resident
}

// Resident is a workload in the process of its control loop. It is safe for
// concurrent use.
type Resident interface {
	// Reload has it read the configuration again. An error means that it does not
	// want it, unless the error says that it is Temporary.
	Reload() error
	// Revision is the hash that it has loaded, "" for none; the error says that it
	// does not run yet.
	Revision() (string, error)
}

// temporary tells whether an error is about the moment.
func temporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

// reloadHere has a resident load a bundle, unless it has.
func (w Workload) reloadHere(hash string) error {
	if now, err := w.Resident.Revision(); err == nil && now == hash {
		return nil // it has read that when it was opened
	}
	err := w.Resident.Reload()
	if err == nil || temporary(err) {
		return err
	}
	return &gitops.RefusedError{Workload: w.Name, Message: err.Error()}
}

// revisionMetric is what pando leaf tells its revision by.
const revisionMetric = "pando_config_in_effect_info"

// reloadTimeout bounds a request to a workload; loading 100,000 rules takes seconds.
const reloadTimeout = 2 * time.Minute

// answerLimit bounds what is read of a workload's answer.
const answerLimit = 64 << 20

func (w Workload) validate() error {
	if w.Resident != nil {
		return nil
	}
	if !strings.HasPrefix(w.URL, "http://") && !strings.HasPrefix(w.URL, "https://") {
		return fmt.Errorf("workload %q: URL %q must begin with http:// or https://", w.Name, w.URL)
	}
	return nil
}

// do sends a request and returns the answer's status and body.
func (w Workload) do(ctx context.Context, method, path string, limit int64, read func(*http.Response, io.Reader) error) error {
	ctx, cancel := context.WithTimeout(ctx, reloadTimeout)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(w.URL, "/")+path, nil)
	if err != nil {
		return fmt.Errorf("workload %q: %w", w.Name, err)
	}
	client := w.Client
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(q)
	if err != nil {
		return fmt.Errorf("workload %q: %w", w.Name, err)
	}
	defer func() { _ = resp.Body.Close() }()
	return read(resp, io.LimitReader(resp.Body, limit))
}

// reload tells the workload to read its configuration again.
func (w Workload) reload(ctx context.Context, hash string) error {
	if w.Resident != nil {
		return w.reloadHere(hash)
	}
	if w.PIDFile != "" {
		return w.hangUp()
	}
	return w.do(ctx, http.MethodPost, "/-/reload", 4096, func(resp *http.Response, body io.Reader) error {
		if resp.StatusCode/100 == 2 {
			return nil
		}
		text, _ := io.ReadAll(body)
		said := strings.TrimSpace(strings.ToValidUTF8(string(text), "?"))
		// 500 is how Prometheus and Pando say that the configuration is wrong;
		// anything else is about the request, or about the moment.
		if resp.StatusCode == http.StatusInternalServerError {
			return &gitops.RefusedError{Workload: w.Name, Message: said}
		}
		return fmt.Errorf("workload %q does not reload: HTTP status %d: %.300s", w.Name, resp.StatusCode, said)
	})
}

func (w Workload) hangUp() error {
	data, err := os.ReadFile(w.PIDFile)
	if err != nil {
		return fmt.Errorf("workload %q: read the id of its process: %w", w.Name, err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || pid <= 1 {
		return fmt.Errorf("workload %q: file %q does not hold the id of a process", w.Name, w.PIDFile)
	}
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		return fmt.Errorf("workload %q: send SIGHUP to process %d: %w", w.Name, pid, err)
	}
	return nil
}

// loaded asks the workload for the revision in effect.
func (w Workload) loaded(ctx context.Context) (string, error) {
	if w.Resident != nil {
		return w.Resident.Revision()
	}
	name := w.Metric
	if name == "" {
		name = revisionMetric
	}
	var revision string
	err := w.do(ctx, http.MethodGet, "/metrics", answerLimit, func(resp *http.Response, body io.Reader) error {
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("workload %q does not tell its metrics: HTTP status %d", w.Name, resp.StatusCode)
		}
		p := expfmt.NewTextParser(model.UTF8Validation)
		families, err := p.TextToMetricFamilies(body)
		if err != nil {
			return fmt.Errorf("workload %q: read its metrics: %w", w.Name, err)
		}
		revision, err = revisionOf(families[name])
		return err
	})
	return revision, err
}

func revisionOf(f *dto.MetricFamily) (string, error) {
	var found []string
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() == "revision" && m.GetGauge().GetValue() == 1 {
				found = append(found, l.GetValue())
			}
		}
	}
	switch len(found) {
	case 0:
		return "", nil
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("metric %s tells of %d revisions at once", f.GetName(), len(found))
}

// Loaded implements gitops.Confirmer: the revision that all workloads run.
func (d *Dirs) Loaded(ctx context.Context) (string, error) {
	if len(d.cfg.Workloads) == 0 {
		return d.current()
	}
	var all []string
	var silent error
	for _, w := range d.cfg.Workloads {
		r, err := w.loaded(ctx)
		switch {
		case err != nil:
			silent = errors.Join(silent, err)
		case !slices.Contains(all, r):
			if all = append(all, r); len(all) > 1 {
				silent = errors.Join(silent, fmt.Errorf("workload %q runs revision %.12q, others %.12q", w.Name, r, all[0]))
			}
		}
	}
	switch {
	case len(all) == 0:
		return "", silent
	case silent != nil:
		return "", &gitops.MixedError{Err: silent, Hashes: all}
	}
	return all[0], nil
}

// Blank implements gitops.Blank: nothing was ever delivered to the folder.
func (d *Dirs) Blank(context.Context) (bool, error) {
	hash, err := d.current()
	return hash == "" && err == nil, err
}

// current is what is delivered, where nobody can be asked what is loaded.
func (d *Dirs) current() (string, error) {
	to, err := os.Readlink(d.cfg.Base + string(os.PathSeparator) + currentLink)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read what is delivered: %w", err)
	}
	return hashOf(filepath.Base(to)), nil
}
