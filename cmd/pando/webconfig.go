package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/exporter-toolkit/web"
	"go.yaml.in/yaml/v2"
)

// checksPasswords reports whether exporter-toolkit's file makes it check who the
// users are.
func checksPasswords(file string) (bool, error) {
	if file == "" {
		return false, nil
	}
	c, err := readWebConfig(file)
	if err != nil {
		return false, err
	}
	return len(c.Users) > 0, nil
}

// readWebConfig reads exporter-toolkit's file, whole and checked.
func readWebConfig(file string) (*web.Config, error) {
	if err := web.Validate(file); err != nil {
		return nil, fmt.Errorf("--web.config.file: %w", err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("--web.config.file: %w", err)
	}
	return parseWebConfig(file, b)
}

func parseWebConfig(file string, b []byte) (*web.Config, error) {
	c := &web.Config{TLSConfig: web.TLSConfig{MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS13}, HTTPConfig: web.HTTPConfig{HTTP2: true}}
	if err := yaml.UnmarshalStrict(b, c); err != nil {
		return nil, fmt.Errorf("--web.config.file: %w", err)
	}
	c.TLSConfig.SetDirectory(filepath.Dir(file))
	return c, nil
}

// webConfig is the content of --web.config.file, which is read again when it has
// changed. What a change must not do is to let in who was kept out without it: a
// file that is broken, or emptied, or cut off in the middle, is not used, and the
// content before it stays. To do without users or certificates, the process has to
// be restarted. It is safe for concurrent use.
type webConfig struct {
	file   string
	logger *slog.Logger

	mu   sync.Mutex
	seen os.FileInfo // when last was read
	last *web.Config
	// Of what could not be used: it is tried again, for what it names may come later.
	tried  os.FileInfo // nil if it was not there
	failed string      // nothing if the last one could be used
	retry  time.Time
}

// retryWebConfig is the time between attempts to use a content that could not be.
const retryWebConfig = time.Second

// openWebConfig reads the file.
func openWebConfig(file string, logger *slog.Logger) (*webConfig, error) {
	seen, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("--web.config.file: %w", err)
	}
	c, err := readWebConfig(file)
	return &webConfig{file: file, logger: logger, seen: seen, last: c}, err
}

// now returns what counts now. It must not be changed.
func (w *webConfig) now() *web.Config {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen, err := os.Stat(w.file)
	if err != nil {
		seen = nil
	}
	if same(seen, w.seen) {
		w.failed = ""
		return w.last
	}
	if w.failed != "" && same(seen, w.tried) && time.Now().Before(w.retry) {
		return w.last
	}
	next, err := readWebConfig(w.file)
	if err == nil {
		err = noLaxer(w.last, next)
	}
	if err != nil {
		if err.Error() != w.failed || !same(seen, w.tried) {
			w.logger.Error("the web configuration is not used; the one before it stays in effect", "file", w.file, "err", err)
		}
		w.tried, w.failed, w.retry = seen, err.Error(), time.Now().Add(retryWebConfig)
		return w.last
	}
	w.logger.Info("web configuration read again", "file", w.file)
	w.seen, w.last, w.failed = seen, next, ""
	return next
}

func same(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// noLaxer refuses a configuration that no longer asks who somebody is.
func noLaxer(old, next *web.Config) error {
	was, is := old.TLSConfig, next.TLSConfig
	switch {
	case len(old.Users) > 0 && len(next.Users) == 0:
		return errors.New("it names no basic_auth_users any more: whoever comes would be let in, under any name; restart the process if that is meant")
	case was.IsEnabled() && !is.IsEnabled():
		return errors.New("it has no tls_server_config any more; restart the process if that is meant")
	case clientAuth(is) < clientAuth(was):
		return fmt.Errorf("client_auth_type %q asks less of clients than %q did; restart the process if that is meant", is.ClientAuth, was.ClientAuth)
	case hasClientCA(was) && !hasClientCA(is):
		return errors.New("it has no client_ca_file any more: certificates of any authority that the system trusts would do; restart the process if that is meant")
	case was.ClientAllowedSans != nil && is.ClientAllowedSans == nil:
		return errors.New("it has no client_allowed_sans any more; restart the process if that is meant")
	}
	return nil
}

func hasClientCA(c web.TLSConfig) bool { return c.ClientCAs != "" || c.ClientCAsText != "" }

// clientAuth says how much is asked of clients' certificates.
func clientAuth(c web.TLSConfig) int {
	switch c.ClientAuth {
	case "RequireAndVerifyClientCert":
		return 3
	case "RequireAnyClientCert", "RequireClientCert":
		return 2
	case "VerifyClientCertIfGiven":
		return 1
	}
	return 0
}
