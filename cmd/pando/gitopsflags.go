package main

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/alecthomas/units"
	promconfig "github.com/prometheus/common/config"

	"github.com/pandometrics/pando/gitops"
	"github.com/pandometrics/pando/gitops/dirs"
	"github.com/pandometrics/pando/gitops/source"
)

// gitopsFlags are those of pando gitops.
type gitopsFlags struct {
	commonFlags // of which it registers those of a process without queries
	loop        gitops.Config
	source      source.Config
	download    units.Base2Bytes
	total       units.Base2Bytes
	file        units.Base2Bytes
	root        string
	rootConfig  string
	rootTimeout time.Duration
	dirs        dirs.Config
	workloads   map[string]string
	pidFiles    map[string]string
	secretFile  string
	kube        deliverKubeFlags
}

func (f *gitopsFlags) register(c *kingpin.CmdClause) {
	d := gitops.DefaultConfig()
	f.workloads, f.pidFiles = map[string]string{}, map[string]string{}
	c.Flag("cluster", "Name of the cluster in planet.yaml.").Required().StringVar(&f.loop.Cluster)
	f.registerSource(c)
	f.kube.register(c)
	c.Flag("root.url", "HTTP address of the root, which is asked who runs which revision, and gates.").Required().StringVar(&f.root)
	c.Flag("root.http-config-file", "File that says how to reach the root, as promtool's: TLS, credentials, proxy, headers.").StringVar(&f.rootConfig)
	c.Flag("root.timeout", "Longest time for a question to the root.").Default("10s").DurationVar(&f.rootTimeout)
	c.Flag("interval", "Time between two looks at the repository, give or take a fifth.").Default(d.Interval.String()).DurationVar(&f.loop.Interval)
	c.Flag("rollout.interval", "Time between two looks at the fleet while this cluster is part of a rollout.").Default(d.RolloutInterval.String()).DurationVar(&f.loop.RolloutInterval)
	c.Flag("rollout.confirm-timeout", "How long a workload may take to load a revision before that is given up.").Default(d.ConfirmTimeout.String()).DurationVar(&f.loop.ConfirmTimeout)
	c.Flag("rollout.progress-timeout", "How long it may take instead while its instances are being replaced.").Default(d.ProgressTimeout.String()).DurationVar(&f.loop.ProgressTimeout)
	c.Flag("state.path", "Folder for what the loop remembers over restarts.").Default("data/gitops").StringVar(&f.loop.StateDir)
	c.Flag("deliver.path", "Folder to deliver to: workloads read PATH/current/leaf/prometheus.yml, and so on.").StringVar(&f.dirs.Base)
	c.Flag("deliver.keep", "Earlier revisions that stay in that folder.").Default("5").IntVar(&f.dirs.Keep)
	c.Flag("workload", "Pando leaf that reads what is delivered, name=URL: told to reload, and asked what it has loaded. Repeatable.").StringMapVar(&f.workloads)
	c.Flag("workload.pid-file", "File with the process id of a workload, name=FILE: SIGHUP is sent instead of POST /-/reload. Repeatable.").StringMapVar(&f.pidFiles)
	c.Flag("webhook.secret-file", "File with the secret that webhooks are signed with, as GitHub, Gitea and GitLab do; without it there are none.").StringVar(&f.secretFile)
	c.Flag("web.listen-address", "Address of status, commands, webhooks and metrics. Port 0 binds a free one.").Default("0.0.0.0:9095").StringVar(&f.httpAddress)
	c.Flag("web.config.file", "TLS and basic auth of that address, in exporter-toolkit's format. Without users, commands are taken from loopback only.").StringVar(&f.webConfigFile)
	c.Flag("log.level", "debug, info, warn or error.").Default("info").EnumVar(&f.logLevel, "debug", "info", "warn", "error")
	c.Flag("log.format", "logfmt or json.").Default("logfmt").EnumVar(&f.logFormat, "logfmt", "json")
	c.Flag("tracing.endpoint", "OTLP gRPC endpoint for traces, host:port.").StringVar(&f.otlpEndpoint)
}

// registerSource registers the flags of the repository.
func (f *gitopsFlags) registerSource(c *kingpin.CmdClause) {
	s, l := &f.source, source.DefaultLimits()
	c.Flag("git.url", "Repository, https://host/path or ssh://git@host/path.").Required().StringVar(&s.URL)
	c.Flag("git.branch", "Branch to follow; main if neither a tag nor versions are given.").StringVar(&s.Branch)
	c.Flag("git.tag", "Tag to follow.").StringVar(&s.Tag)
	c.Flag("git.semver", "Range of versions to follow, such as '>=1.2 <2': the highest tag in it.").StringVar(&s.Semver)
	c.Flag("git.username-file", "File with the user for https.").StringVar(&s.UsernameFile)
	c.Flag("git.password-file", "File with the password, or access token, of that user.").StringVar(&s.PasswordFile)
	c.Flag("git.bearer-token-file", "File with a bearer token for https.").StringVar(&s.BearerTokenFile)
	c.Flag("git.ca-file", "CA that the server's certificate must be signed by; the system's if empty.").StringVar(&s.CAFile)
	c.Flag("git.cert-file", "Client certificate for https.").StringVar(&s.CertFile)
	c.Flag("git.key-file", "Key of that certificate.").StringVar(&s.KeyFile)
	c.Flag("git.ssh-key-file", "Private key for ssh.").StringVar(&s.IdentityFile)
	c.Flag("git.ssh-passphrase-file", "File with the passphrase of that key.").StringVar(&s.PassphraseFile)
	c.Flag("git.ssh-known-hosts-file", "Keys of the ssh server, as known_hosts.").StringVar(&s.KnownHostsFile)
	c.Flag("git.allow-http", "Allow a URL of plain http; credentials and all can be read and changed on the way.").BoolVar(&s.AllowHTTP)
	c.Flag("git.ssh-signers-file", "Public ssh keys of those who may sign, as authorized_keys. Repeatable.").StringsVar(&s.SSHKeyFiles)
	c.Flag("git.pgp-signers-file", "Armored PGP keys of those who may sign. Repeatable.").StringsVar(&s.PGPKeyFiles)
	c.Flag("git.verify", "What must be signed, if there are keys: commit, tag or both.").PlaceHolder("WHAT").EnumVar(&s.Verify, source.VerifyCommit, source.VerifyTag, source.VerifyBoth)
	c.Flag("git.timeout", "Longest time for a fetch.").Default(l.Timeout.String()).DurationVar(&s.Limits.Timeout)
	c.Flag("git.max-download", "Most that one answer of the server may have.").Default(bytesText(l.Download)).BytesVar(&f.download)
	c.Flag("git.max-total", "Most that all files may have, unpacked.").Default(bytesText(l.Total)).BytesVar(&f.total)
	c.Flag("git.max-file", "Most that one file may have.").Default(bytesText(l.File)).BytesVar(&f.file)
	c.Flag("git.max-files", "Most files.").Default(fmt.Sprint(l.Files)).IntVar(&s.Limits.Files)
}

// complete makes configurations of flags.
func (f *gitopsFlags) complete() error {
	s := &f.source
	s.Limits.Download, s.Limits.Total, s.Limits.File = int64(f.download), int64(f.total), int64(f.file)
	if s.Branch == "" && s.Tag == "" && s.Semver == "" {
		s.Branch = "main"
	}
	for _, name := range slices.Sorted(maps.Keys(f.workloads)) {
		f.dirs.Workloads = append(f.dirs.Workloads, dirs.Workload{Name: name, URL: f.workloads[name], PIDFile: f.pidFiles[name]})
		delete(f.pidFiles, name)
	}
	for name := range f.pidFiles {
		return fmt.Errorf("--workload.pid-file: there is no --workload %s=URL", name)
	}
	if f.kube.wanted() {
		return errors.Join(s.Validate(), f.loop.Validate(), f.kube.complete())
	}
	return errors.Join(s.Validate(), f.loop.Validate(), f.dirs.Validate())
}

// askRoot returns the client for the root.
func (f *gitopsFlags) askRoot() (*gitops.Root, error) {
	hc := &http.Client{}
	if f.rootConfig != "" {
		cfg, _, err := promconfig.LoadHTTPConfigFile(f.rootConfig)
		if err != nil {
			return nil, fmt.Errorf("--root.http-config-file=%s: %w", f.rootConfig, err)
		}
		if hc, err = promconfig.NewClientFromConfig(*cfg, "root", promconfig.WithUserAgent("pando/"+buildVersion())); err != nil {
			return nil, fmt.Errorf("--root.http-config-file=%s: %w", f.rootConfig, err)
		}
	}
	r, err := gitops.NewRoot(f.root, hc, f.rootTimeout)
	if err != nil {
		return nil, fmt.Errorf("--root.url: %w", err)
	}
	return r, nil
}

// secret returns what reads the secret of webhooks, or nil.
func (f *gitopsFlags) secret() func() ([]byte, error) {
	if f.secretFile == "" {
		return nil
	}
	return func() ([]byte, error) {
		data, err := os.ReadFile(f.secretFile)
		return []byte(strings.TrimRight(string(data), "\r\n")), err
	}
}
