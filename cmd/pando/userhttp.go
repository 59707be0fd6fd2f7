package main

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"path/filepath"
	"strconv"
	"time"

	"github.com/alecthomas/kingpin/v2"
	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"

	"github.com/pandometrics/pando/cmd/pando/client"
)

// serverFlags say which tier a user's command asks, and how it is reached.
type serverFlags struct {
	server                    string
	configFile                string
	caFile, certFile, keyFile string
	user, passwordFile        string
	tokenFile                 string
}

func (f *serverFlags) register(c *kingpin.CmdClause) {
	c.Flag("server", "HTTP address of any tier.").Default(client.DefaultServer).StringVar(&f.server)
	f.registerReach(c)
}

// registerReach registers the flags that say how the server is reached.
func (f *serverFlags) registerReach(c *kingpin.CmdClause) {
	c.Flag("http.config.file", "File that says how to reach the server, as promtool's: TLS, credentials, proxy, headers.").StringVar(&f.configFile)
	c.Flag("http.ca-file", "CA that the server's certificate must be signed by; the system's if empty.").StringVar(&f.caFile)
	c.Flag("http.cert-file", "Certificate to show to the server.").StringVar(&f.certFile)
	c.Flag("http.key-file", "Key of that certificate.").StringVar(&f.keyFile)
	c.Flag("http.user", "User name for basic authentication.").StringVar(&f.user)
	c.Flag("http.password-file", "File with the password of that user.").StringVar(&f.passwordFile)
	c.Flag("http.bearer-token-file", "File with a bearer token.").StringVar(&f.tokenFile)
}

// reach returns the server, and what to ask it with.
func (f *serverFlags) reach() (string, *http.Client, error) {
	hc, err := f.client()
	return f.server, hc, err
}

// client returns what to ask the server with; nil means a plain client.
func (f *serverFlags) client() (*http.Client, error) {
	own := *f
	own.server, own.configFile = "", ""
	if f.configFile == "" && own == (serverFlags{}) {
		return nil, nil
	}
	cfg, err := f.config()
	if err == nil {
		err = cfg.Validate()
	}
	if err != nil {
		return nil, err
	}
	if f.configFile != "" && own != (serverFlags{}) {
		return nil, errors.New("--http.config.file says all: leave out the other --http flags, or the file")
	}
	hc, err := promconfig.NewClientFromConfig(*cfg, "pando", promconfig.WithUserAgent("pando/"+buildVersion()))
	if err != nil {
		return nil, fmt.Errorf("how to reach %s: %w", f.server, err)
	}
	return hc, nil
}

// config returns the configuration that the flags or the file stand for.
func (f *serverFlags) config() (*promconfig.HTTPClientConfig, error) {
	if f.configFile != "" {
		cfg, _, err := promconfig.LoadHTTPConfigFile(f.configFile)
		if err != nil {
			return nil, fmt.Errorf("--http.config.file=%s: %w", f.configFile, err)
		}
		return cfg, nil
	}
	cfg := promconfig.DefaultHTTPClientConfig
	cfg.TLSConfig = promconfig.TLSConfig{CAFile: f.caFile, CertFile: f.certFile, KeyFile: f.keyFile}
	switch {
	case (f.user == "") != (f.passwordFile == ""):
		return nil, errors.New("--http.user and --http.password-file need each other")
	case f.user != "" && f.tokenFile != "":
		return nil, errors.New("--http.user and --http.bearer-token-file exclude each other")
	case f.user != "":
		cfg.BasicAuth = &promconfig.BasicAuth{Username: f.user, PasswordFile: filepath.Clean(f.passwordFile)}
	case f.tokenFile != "":
		cfg.Authorization = &promconfig.Authorization{Type: "Bearer", CredentialsFile: filepath.Clean(f.tokenFile)}
	}
	return &cfg, nil
}

// stepValue is a step as Prometheus' API takes it: a duration, or seconds.
type stepValue time.Duration

// Set implements kingpin.Value.
func (s *stepValue) Set(text string) error {
	if f, err := strconv.ParseFloat(text, 64); err == nil {
		if !(f >= 0.001 && f*float64(time.Second) < math.MaxInt64) { // nor NaN
			return fmt.Errorf("%q is not a step: it must be at least 0.001 seconds", text)
		}
		*s = stepValue(time.Duration(f*1000) * time.Millisecond)
		return nil
	}
	d, err := model.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("%q is neither seconds nor a duration such as 1m", text)
	}
	*s = stepValue(d)
	return nil
}

// String implements kingpin.Value.
func (s *stepValue) String() string {
	if *s == 0 {
		return ""
	}
	return model.Duration(*s).String()
}
