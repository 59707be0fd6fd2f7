package leaf

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// revisionFile lies beside the configuration file and names, in one line, the
// revision of all that is in the folder. Who delivers configuration writes it,
// and learns from the metric whether the leaf has loaded what was delivered.
const revisionFile = "revision"

// maxRevision bounds what is read of it, for it becomes the value of a label.
const maxRevision = 128

// readRevision returns the revision that a configuration file is of, "" if
// there is none.
func readRevision(configFile string) (string, error) {
	if configFile == "" {
		return "", nil
	}
	f, err := os.Open(filepath.Join(filepath.Dir(configFile), revisionFile))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read revision of the configuration: %w", err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxRevision+1))
	if err != nil {
		return "", fmt.Errorf("read revision of the configuration: %w", err)
	}
	s := strings.TrimSpace(string(data))
	if len(data) > maxRevision || strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return "", fmt.Errorf("revision of the configuration: %s must hold one word of at most %d bytes", f.Name(), maxRevision)
	}
	return s, nil
}

// DeliveredRevision returns the revision that lies beside a configuration file,
// which the leaf need not have loaded; "" if there is none.
func DeliveredRevision(configFile string) (string, error) { return readRevision(configFile) }

// unmixed reads configuration by load, and refuses what it read if the folder
// was replaced meanwhile: some of it would be of one revision, some of another.
func unmixed(configFile string, load func() error) (revision string, err error) {
	before, err := readRevision(configFile)
	if err != nil {
		return "", err
	}
	if err := load(); err != nil {
		return "", err
	}
	after, err := readRevision(configFile)
	if err != nil {
		return "", err
	}
	if before != after {
		return "", fmt.Errorf("configuration was replaced while it was read, revision %q by %q: reload again", before, after)
	}
	return after, nil
}

// newRevisionMetric tells the revision of the configuration in effect.
func newRevisionMetric(reg prometheus.Registerer) *prometheus.GaugeVec {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "pando_config_in_effect_info",
		Help: "Revision of the configuration in effect, as the file revision beside the configuration file named it when it was loaded.",
	}, []string{"revision"})
	reg.MustRegister(g)
	return g
}

// Revision returns the revision of the configuration in effect, "" if it has none.
func (l *Leaf) Revision() string {
	if r := l.inEffect.Load(); r != nil {
		return *r
	}
	return ""
}

// useRevision makes a revision that of the configuration in effect.
func (l *Leaf) useRevision(revision string) {
	l.inEffect.Store(&revision)
	l.revision.Reset()
	if revision != "" {
		l.revision.WithLabelValues(revision).Set(1)
	}
}
