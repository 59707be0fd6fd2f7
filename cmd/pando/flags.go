package main

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"runtime/debug"
	"slices"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/alecthomas/units"
	"github.com/prometheus/common/model"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/resultcache"
)

// commonFlags are those of every tier.
type commonFlags struct {
	httpAddress   string
	webConfigFile string
	externalURL   string
	logLevel      string
	logFormat     string
	otlpEndpoint  string
	partial       bool
	cache         resultcache.Config
	queryLog      string
	explainSlower time.Duration
	limitsFile    string
	limits        querytree.Limits
	lookback      model.Duration
	// memory, maxBytes, maxTotal and maxResponse become limits once all flags
	// are known.
	memory, maxBytes, maxTotal, maxClient, maxResponse units.Base2Bytes
	lowPriority                                        bool
	// turns are those of the process, which are made when it runs.
	turns *querytree.Turns
	// shown holds all flags, for the status page.
	shown map[string]string
	// retune is nil without a limits file. alone: the process has no other tier.
	retune *retuner
	alone  bool
}

func (f *commonFlags) register(c *kingpin.CmdClause) {
	l := querytree.DefaultLimits()
	c.Flag("web.listen-address", "Address of the Prometheus HTTP API. Port 0 binds a free one.").Default("0.0.0.0:9090").StringVar(&f.httpAddress)
	c.Flag("web.config.file", "TLS and basic auth of the HTTP API, in exporter-toolkit's format.").StringVar(&f.webConfigFile)
	c.Flag("web.external-url", "How users reach the HTTP API, for links.").StringVar(&f.externalURL)
	c.Flag("query.timeout", "Longest time for a query.").Default("2m").DurationVar(&f.limits.Timeout)
	c.Flag("query.max-samples", "Most samples of one query.").Default(fmt.Sprint(l.MaxSamples)).IntVar(&f.limits.MaxSamples)
	c.Flag("query.max-series", "Most series of one request.").Default(fmt.Sprint(l.MaxSeries)).IntVar(&f.limits.MaxSeries)
	c.Flag("query.max-concurrency", "Most queries at the same time.").Default(fmt.Sprint(l.MaxConcurrent)).IntVar(&f.limits.MaxConcurrent)
	c.Flag("query.max-length", "Longest query, in bytes.").Default(fmt.Sprint(l.MaxQueryLength)).IntVar(&f.limits.MaxQueryLength)
	c.Flag("query.max-depth", "Deepest nesting of a query.").Default(fmt.Sprint(l.MaxQueryDepth)).IntVar(&f.limits.MaxQueryDepth)
	c.Flag("query.max-fragments", "Most parts of one query that children are asked at the same time; a query that has more is refused.").Default(fmt.Sprint(l.MaxFragments)).IntVar(&f.limits.MaxFragments)
	c.Flag("query.low-priority", "Run heavy queries in threads of low priority, so that light ones of other tiers on the same machine go first too. On Linux only.").Default("true").BoolVar(&f.lowPriority)
	c.Flag("query.max-queue", "Most requests that wait for their turn; 0 for no limit.").Default(fmt.Sprint(l.MaxQueue)).IntVar(&f.limits.MaxQueue)
	c.Flag("query.max-queue-per-client", "Most requests of one client that wait for their turn; 0 for no limit.").Default(fmt.Sprint(l.MaxQueuePerClient)).IntVar(&f.limits.MaxQueuePerClient)
	c.Flag("query.max-bytes", "Most memory that one query may hold in this tier, such as 256MiB; a quarter of --memory.limit by default.").PlaceHolder("BYTES").BytesVar(&f.maxBytes)
	c.Flag("query.max-total-bytes", "Most memory that all queries may hold together; half of --memory.limit by default. The one that holds most is cancelled.").PlaceHolder("BYTES").BytesVar(&f.maxTotal)
	c.Flag("query.max-client-bytes", "Most memory that all queries of one client may hold together; three quarters of --query.max-total-bytes by default. The one of them that holds most is cancelled.").PlaceHolder("BYTES").BytesVar(&f.maxClient)
	c.Flag("query.max-response-bytes", "Largest answer of this tier to one request, in bytes of memory.").Default(bytesText(l.MaxResponse)).BytesVar(&f.maxResponse)
	c.Flag("memory.limit", "Memory that the process may use. Close to it, the query that holds most is cancelled. GOMEMLIMIT or nine tenths of the control group's limit by default.").PlaceHolder("BYTES").BytesVar(&f.memory)
	c.Flag("limits.file", "File with values of --query flags by their names, for those that are not given here. Read again upon SIGHUP.").StringVar(&f.limitsFile)
	c.Flag("query.lookback-delta", "How far back an instant selector looks.").Default("5m").SetValue(&f.lookback)
	c.Flag("query.log-file", "File to append a line of JSON to for each query that has ended; reopened upon SIGHUP.").StringVar(&f.queryLog)
	c.Flag("query.explain-slower-than", "Keep the explanation of queries that take longer, for /pando/api/v1/queries; 0 keeps none.").Default(defaultExplainSlower.String()).DurationVar(&f.explainSlower)
	c.Flag("log.level", "debug, info, warn or error.").Default("info").EnumVar(&f.logLevel, "debug", "info", "warn", "error")
	c.Flag("log.format", "logfmt or json.").Default("logfmt").EnumVar(&f.logFormat, "logfmt", "json")
	c.Flag("tracing.endpoint", "OTLP gRPC endpoint for traces, host:port.").StringVar(&f.otlpEndpoint)
	f.limits.ChildDeadline = l.ChildDeadline // registerMix may change it
}

// defaultExplainSlower is how slow a query must be for its explanation to be
// kept.
const defaultExplainSlower = time.Second

// bound completes the limits of memory: what was not given depends on what the
// process may use, which the garbage collector is told too.
func (f *commonFlags) bound() {
	given := int64(f.memory)
	if given == 0 {
		given = processMemory("/")
	}
	f.limits.ProcessBytes = given
	if given > 0 {
		debug.SetMemoryLimit(given)
	}
	memory := cmp.Or(given, fallbackMemory)
	f.limits.MaxBytes = cmp.Or(int64(f.maxBytes), memory/4)
	f.limits.MaxTotalBytes = cmp.Or(int64(f.maxTotal), memory/2)
	f.limits.MaxClientBytes = cmp.Or(int64(f.maxClient), f.limits.MaxTotalBytes/4*3)
	f.limits.MaxResponse = int64(f.maxResponse)
	f.shown["memory.limit"] = units.Base2Bytes(given).String()
	f.shown["query.max-bytes"] = units.Base2Bytes(f.limits.MaxBytes).String()
	f.shown["query.max-total-bytes"] = units.Base2Bytes(f.limits.MaxTotalBytes).String()
	f.shown["query.max-client-bytes"] = units.Base2Bytes(f.limits.MaxClientBytes).String()
}

// shownFlags lists all flags of a command, as they were given or by default.
func shownFlags(c *kingpin.CmdClause) map[string]string {
	shown := map[string]string{}
	for _, f := range c.Model().Flags {
		shown[f.Name] = f.String()
	}
	return shown
}

func (f *commonFlags) logger(w io.Writer) (*slog.Logger, error) {
	level, format := promslog.NewLevel(), promslog.NewFormat()
	if err := level.Set(f.logLevel); err != nil {
		return nil, fmt.Errorf("--log.level: %w", err)
	}
	if err := format.Set(f.logFormat); err != nil {
		return nil, fmt.Errorf("--log.format: %w", err)
	}
	return promslog.New(&promslog.Config{Level: level, Format: format, Writer: w}), nil
}

func (f *commonFlags) url() (*url.URL, error) {
	if f.externalURL == "" {
		return nil, nil
	}
	u, err := url.Parse(f.externalURL)
	if err != nil {
		return nil, fmt.Errorf("--web.external-url: %w", err)
	}
	return u, nil
}

// identityFlags say who a tier is.
type identityFlags struct {
	zone, cluster, shard, replica string
	external                      map[string]string
}

func (f *identityFlags) registerZone(c *kingpin.CmdClause) {
	c.Flag("zone", "Zone of this tier: the value of the label zone on every series.").StringVar(&f.zone)
	f.external = map[string]string{}
	c.Flag("external-label", "Label on every series served, name=value. Repeatable.").StringMapVar(&f.external)
	c.Flag("replica", "Name of this replica, if there are several with the same series.").StringVar(&f.replica)
}

func (f *identityFlags) registerLeaf(c *kingpin.CmdClause) {
	f.registerZone(c)
	c.Flag("cluster", "Cluster of this leaf: the value of the label cluster on every series.").StringVar(&f.cluster)
	c.Flag("shard", "Name of this shard, if the cluster's series are spread over several leaves.").StringVar(&f.shard)
}

// identity puts the flags together.
func (f *identityFlags) identity(tier string) (querytree.Identity, error) {
	id := querytree.Identity{Tier: tier, Shard: f.shard, Replica: f.replica}
	b := labels.NewBuilder(labels.EmptyLabels())
	for _, name := range slices.Sorted(maps.Keys(f.external)) {
		b.Set(name, f.external[name])
	}
	for _, v := range []struct{ name, value string }{{querytree.ZoneLabel, f.zone}, {querytree.ClusterLabel, f.cluster}} {
		if v.value == "" {
			continue
		}
		if old, ok := f.external[v.name]; ok && old != v.value {
			return id, fmt.Errorf("--%s=%s contradicts --external-label %s=%s", v.name, v.value, v.name, old)
		}
		b.Set(v.name, v.value)
	}
	id.Labels = b.Labels()
	return id, id.Validate()
}

// parentFlags say whom a tier registers with, and how.
type parentFlags struct {
	parents                               []string
	statusToParents                       bool
	tls                                   bool
	caFile, certFile, keyFile, serverName string
}

func (f *parentFlags) register(c *kingpin.CmdClause) {
	c.Flag("parent", "Address of a parent, host:port. Repeat it for each replica; a name may stand for several.").StringsVar(&f.parents)
	c.Flag("web.status-to-parents", "Let the users of tiers above read the status of this one: targets, rules, alerts, configuration without its secrets, flags, queries.").Default("true").BoolVar(&f.statusToParents)
	c.Flag("parent.tls", "Use TLS towards parents.").BoolVar(&f.tls)
	c.Flag("parent.tls.ca-file", "CA that parents' certificates must be signed by; the system's if empty.").StringVar(&f.caFile)
	c.Flag("parent.tls.cert-file", "Certificate that this tier shows to parents.").StringVar(&f.certFile)
	c.Flag("parent.tls.key-file", "Key of that certificate.").StringVar(&f.keyFile)
	c.Flag("parent.tls.server-name", "Name that parents' certificates must have; the host of --parent if empty.").StringVar(&f.serverName)
}

// config returns the TLS configuration towards parents; nil means none.
func (f *parentFlags) config() (*tls.Config, error) {
	if !f.tls {
		if f.caFile != "" || f.certFile != "" || f.serverName != "" {
			return nil, fmt.Errorf("--parent.tls.* is set without --parent.tls")
		}
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: f.serverName}
	var err error
	if c.RootCAs, err = readCA("--parent.tls.ca-file", f.caFile); err != nil {
		return nil, err
	}
	if f.certFile != "" || f.keyFile != "" {
		cert, err := tls.LoadX509KeyPair(f.certFile, f.keyFile)
		if err != nil {
			return nil, fmt.Errorf("--parent.tls.cert-file and --parent.tls.key-file: %w", err)
		}
		c.Certificates = []tls.Certificate{cert}
	}
	return c, nil
}

func readCA(flag, file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: no certificate in %s", flag, file)
	}
	return pool, nil
}

// childrenFlags say how a tier takes in children.
type childrenFlags struct {
	address                     string
	certFile, keyFile, clientCA string
	dataDir                     string
	forgetAfter                 time.Duration
	hints                       bool
	hintSize                    int // 0 is the default
}

func (f *childrenFlags) register(c *kingpin.CmdClause, dataDir string) {
	c.Flag("grpc.listen-address", "Address that children connect to. Port 0 binds a free one.").Default("0.0.0.0:9091").StringVar(&f.address)
	c.Flag("grpc.tls.cert-file", "Certificate shown to children; without it the address is plain TCP.").StringVar(&f.certFile)
	c.Flag("grpc.tls.key-file", "Key of that certificate.").StringVar(&f.keyFile)
	c.Flag("grpc.tls.client-ca-file", "CA that children's certificates must be signed by; without it none is asked for.").StringVar(&f.clientCA)
	c.Flag("storage.path", "Directory for what must survive a restart: the children known.").Default(dataDir).StringVar(&f.dataDir)
	c.Flag("child.forget-after", "Time after which a missing child is no longer missed, nor owes points of rollups; 0 never forgets.").Default("168h").DurationVar(&f.forgetAfter)
	c.Flag("query.hints", "Prune children by field hints.").Default("true").BoolVar(&f.hints)
	c.Flag("hints.max-fingerprints", "Facts that the field hints of one child may tell, and those of a zone itself; a child with more is always asked. A zone takes 16 bytes for each.").Default("67108864").IntVar(&f.hintSize)
}

// config returns the TLS configuration towards children; nil means none.
func (f *childrenFlags) config() (*tls.Config, error) {
	if f.certFile == "" && f.keyFile == "" {
		if f.clientCA != "" {
			return nil, fmt.Errorf("--grpc.tls.client-ca-file needs --grpc.tls.cert-file and --grpc.tls.key-file")
		}
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(f.certFile, f.keyFile)
	if err != nil {
		return nil, fmt.Errorf("--grpc.tls.cert-file and --grpc.tls.key-file: %w", err)
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}}
	if f.clientCA != "" {
		if c.ClientCAs, err = readCA("--grpc.tls.client-ca-file", f.clientCA); err != nil {
			return nil, err
		}
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return c, nil
}

// mixFlags are those of tiers that mix children.
func (f *commonFlags) registerMix(c *kingpin.CmdClause) {
	c.Flag("query.child-deadline", "Soft deadline: how long a query waits for any one child.").Default(f.limits.ChildDeadline.String()).DurationVar(&f.limits.ChildDeadline)
	c.Flag("query.partial-response", "Answer without children that fail, with a warning, unless a request says otherwise.").Default("true").BoolVar(&f.partial)
	d := resultcache.DefaultConfig()
	c.Flag("query.cache-bytes", "Memory for the answers to range queries; 0 keeps none.").Default(fmt.Sprint(d.Bytes)).Int64Var(&f.cache.Bytes)
	c.Flag("query.cache-window", "Age that steps must have to be kept, even if leaves say that they are settled. Not needed for exactness: samples that come later are noticed, and cost what was kept after them.").Default(d.Window.String()).DurationVar(&f.cache.Window)
	c.Flag("query.split-interval", "Length of the pieces in which long ranges are evaluated; 0 evaluates them whole.").Default(d.Split.String()).DurationVar(&f.cache.Split)
	c.Flag("query.max-split-parallelism", "Most pieces of one query that are evaluated at the same time.").Default(fmt.Sprint(d.Parallelism)).IntVar(&f.cache.Parallelism)
}

// displayName is how a tier calls itself in the log.
func displayName(id querytree.Identity) string {
	if id.Name() == id.Tier {
		return id.Tier
	}
	return id.Tier + " " + id.Name()
}
