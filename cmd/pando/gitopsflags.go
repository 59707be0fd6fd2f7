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
	gitplanet "github.com/pandometrics/pando/gitops/planet"
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
	// capped are lists that cap what the repository may name.
	capped cappedFlags
	// from is the repository if it is not that of source; checked checks it, together
	// with other loops of the process. Both may be nil.
	from    gitops.Source
	checked *checkedPlanets
}

// cappedFlags are those of a gitplanet.Cap. Lists that are not given do not cap.
type cappedFlags struct{ files, hosts, discovery, secrets []string }

// capNothing is an item that lets a list cap to nothing.
const capNothing = "none"

func (f *cappedFlags) register(c *kingpin.CmdClause, prefix string) {
	for name, to := range map[string]*[]string{"file": &f.files, "host": &f.hosts, "discovery": &f.discovery, "secret": &f.secrets} {
		of := map[string]string{
			"file": "File, or folder that ends with /, that", "host": "Host, or *. and a domain, that",
			"discovery": "Kind of discovery that", "secret": "Secret of the cluster that",
		}[name]
		c.Flag(prefix+"allow."+name, of+" the repository may name, if planet.yaml allows it too; all that planet.yaml allows if the flag is not given, nothing if it is none. Repeatable.").StringsVar(to)
	}
}

// cap returns what the flags stand for.
func (f *cappedFlags) cap() *gitplanet.Cap {
	list := func(given []string) []string {
		return slices.DeleteFunc(given, func(s string) bool { return s == capNothing })
	}
	return &gitplanet.Cap{Files: list(f.files), Hosts: list(f.hosts), Discovery: list(f.discovery), Secrets: list(f.secrets)}
}

func (f *gitopsFlags) register(c *kingpin.CmdClause) {
	c.Flag("cluster", "Name of the cluster in planet.yaml.").Required().StringVar(&f.loop.Cluster)
	f.registerSource(c, "").Required()
	f.kube.register(c)
	f.registerLoop(c, "", "data/gitops").Required()
	c.Flag("deliver.path", "Folder to deliver to: workloads read PATH/current/leaf/prometheus.yml, and so on.").StringVar(&f.dirs.Base)
	c.Flag("web.config.file", "TLS and basic auth of that address, in exporter-toolkit's format. Without users, commands are taken from loopback only.").StringVar(&f.webConfigFile)
	c.Flag("log.level", "debug, info, warn or error.").Default("info").EnumVar(&f.logLevel, "debug", "info", "warn", "error")
	c.Flag("log.format", "logfmt or json.").Default("logfmt").EnumVar(&f.logFormat, "logfmt", "json")
	c.Flag("tracing.endpoint", "OTLP gRPC endpoint for traces, host:port.").StringVar(&f.otlpEndpoint)
}

// registerLoop registers the flags of the loop itself, and returns that of the
// root's address.
func (f *gitopsFlags) registerLoop(c *kingpin.CmdClause, prefix, state string) *kingpin.FlagClause {
	d := gitops.DefaultConfig()
	f.workloads, f.pidFiles = map[string]string{}, map[string]string{}
	flag := func(name, help string) *kingpin.FlagClause { return c.Flag(prefix+name, help) }
	root := flag("root.url", "HTTP address of the root, which is asked who runs which revision, and gates.")
	root.StringVar(&f.root)
	flag("root.http-config-file", "File that says how to reach the root, as promtool's: TLS, credentials, proxy, headers.").StringVar(&f.rootConfig)
	flag("root.timeout", "Longest time for a question to the root.").Default("10s").DurationVar(&f.rootTimeout)
	flag("interval", "Time between two looks at the repository, give or take a fifth.").Default(d.Interval.String()).DurationVar(&f.loop.Interval)
	flag("rollout.interval", "Time between two looks at the fleet while this cluster is part of a rollout.").Default(d.RolloutInterval.String()).DurationVar(&f.loop.RolloutInterval)
	flag("rollout.confirm-timeout", "How long a workload may take to load a revision before that is given up.").Default(d.ConfirmTimeout.String()).DurationVar(&f.loop.ConfirmTimeout)
	flag("rollout.progress-timeout", "How long it may take instead while its instances are being replaced.").Default(d.ProgressTimeout.String()).DurationVar(&f.loop.ProgressTimeout)
	flag("rollout.silence-timeout", "How long a workload may not answer while what it runs has not proved itself, before that is rejected.").Default(d.SilenceTimeout.String()).DurationVar(&f.loop.SilenceTimeout)
	flag("state.path", "Folder for what the loop remembers over restarts.").Default(state).StringVar(&f.loop.StateDir)
	flag("deliver.keep", "Earlier revisions that stay in the folder that is delivered to.").Default("5").IntVar(&f.dirs.Keep)
	flag("workload", "Tier that reads what is delivered, name=URL: told to reload, and asked what it has loaded. Repeatable.").StringMapVar(&f.workloads)
	flag("workload.pid-file", "File with the process id of a workload, name=FILE: SIGHUP is sent instead of POST /-/reload. Repeatable.").StringMapVar(&f.pidFiles)
	flag("webhook.secret-file", "File with the secret that webhooks are signed with, as GitHub, Gitea and GitLab do; without it there are none.").StringVar(&f.secretFile)
	flag("web.listen-address", "Address of status, commands, webhooks and metrics of the loop. Port 0 binds a free one.").Default("0.0.0.0:9095").StringVar(&f.httpAddress)
	f.capped.register(c, prefix)
	return root
}

// registerSource registers the flags of the repository, and returns that of its
// URL.
func (f *gitopsFlags) registerSource(c *kingpin.CmdClause, prefix string) *kingpin.FlagClause {
	s, l := &f.source, source.DefaultLimits()
	flag := func(name, help string) *kingpin.FlagClause { return c.Flag(prefix+name, help) }
	url := flag("git.url", "Repository, https://host/path or ssh://git@host/path.")
	url.StringVar(&s.URL)
	flag("git.branch", "Branch to follow; main if neither a tag nor versions are given.").StringVar(&s.Branch)
	flag("git.tag", "Tag to follow.").StringVar(&s.Tag)
	flag("git.semver", "Range of versions to follow, such as '>=1.2 <2': the highest tag in it.").StringVar(&s.Semver)
	flag("git.username-file", "File with the user for https.").StringVar(&s.UsernameFile)
	flag("git.password-file", "File with the password, or access token, of that user.").StringVar(&s.PasswordFile)
	flag("git.bearer-token-file", "File with a bearer token for https.").StringVar(&s.BearerTokenFile)
	flag("git.ca-file", "CA that the server's certificate must be signed by; the system's if empty.").StringVar(&s.CAFile)
	flag("git.cert-file", "Client certificate for https.").StringVar(&s.CertFile)
	flag("git.key-file", "Key of that certificate.").StringVar(&s.KeyFile)
	flag("git.ssh-key-file", "Private key for ssh.").StringVar(&s.IdentityFile)
	flag("git.ssh-passphrase-file", "File with the passphrase of that key.").StringVar(&s.PassphraseFile)
	flag("git.ssh-known-hosts-file", "Keys of the ssh server, as known_hosts.").StringVar(&s.KnownHostsFile)
	flag("git.allow-http", "Allow a URL of plain http; credentials and all can be read and changed on the way.").BoolVar(&s.AllowHTTP)
	flag("git.ssh-signers-file", "Public ssh keys of those who may sign, as authorized_keys. Repeatable.").StringsVar(&s.SSHKeyFiles)
	flag("git.pgp-signers-file", "Armored PGP keys of those who may sign. Repeatable.").StringsVar(&s.PGPKeyFiles)
	flag("git.verify", "What must be signed, if there are keys: commit, tag or both.").PlaceHolder("WHAT").EnumVar(&s.Verify, source.VerifyCommit, source.VerifyTag, source.VerifyBoth)
	flag("git.timeout", "Longest time for a fetch.").Default(l.Timeout.String()).DurationVar(&s.Limits.Timeout)
	flag("git.max-download", "Most that one answer of the server may have.").Default(bytesText(l.Download)).BytesVar(&f.download)
	flag("git.max-total", "Most that all files may have, unpacked.").Default(bytesText(l.Total)).BytesVar(&f.total)
	flag("git.max-file", "Most that one file may have.").Default(bytesText(l.File)).BytesVar(&f.file)
	flag("git.max-files", "Most files.").Default(fmt.Sprint(l.Files)).IntVar(&s.Limits.Files)
	return url
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
	var err error
	if f.from == nil {
		err = s.Validate()
	}
	if f.checked == nil {
		f.checked = &checkedPlanets{cap: f.capped.cap()}
	}
	if f.kube.wanted() {
		return errors.Join(err, f.loop.Validate(), f.kube.complete())
	}
	return errors.Join(err, f.loop.Validate(), f.dirs.Validate())
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
