// Command testkube runs one real Kubernetes control plane in one process, on
// loopback only: embedded etcd, kube-apiserver, some of kube-controller-manager's
// controllers and a stand-in for scheduler, kubelet and cluster DNS. README.md
// says how it differs from a cluster.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"
	"go.etcd.io/etcd/server/v3/embed"

	"k8s.io/apimachinery/pkg/types"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	apiapp "k8s.io/kubernetes/cmd/kube-apiserver/app"
	apiopts "k8s.io/kubernetes/cmd/kube-apiserver/app/options"
)

// options are what the command line says.
type options struct {
	dir      string
	port     int
	podCIDR  string
	kubelet  string
	dnsPeers []string
	images   map[string]string
	verbose  bool
}

func parseOptions(args []string) (*options, error) {
	o := &options{images: map[string]string{}}
	f := flag.NewFlagSet("testkube", flag.ContinueOnError)
	f.StringVar(&o.dir, "dir", "", "state directory (required)")
	f.IntVar(&o.port, "port", 0, "secure port of the API server (0: a free one)")
	f.StringVar(&o.podCIDR, "pod-cidr", "10.77.0.0/24", "addresses of this cluster; the first is the node's and the name server's")
	f.StringVar(&o.kubelet, "kubelet", "ready", "off | ready (pods become Running+Ready) | exec (their containers run as local processes)")
	f.Func("dns-peer", "name server of another cluster, host:port, asked for names unknown here (repeatable)", func(s string) error {
		o.dnsPeers = append(o.dnsPeers, s)
		return nil
	})
	f.Func("image", "IMAGE=PATH: the static program that an image, named without its tag, is made of (repeatable)", func(s string) error {
		name, path, ok := strings.Cut(s, "=")
		if !ok {
			return fmt.Errorf("%q is not IMAGE=PATH", s)
		}
		o.images[name] = path
		return nil
	})
	f.BoolVar(&o.verbose, "verbose", false, "logs of Kubernetes to stderr")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if o.dir == "" {
		return nil, fmt.Errorf("--dir is required")
	}
	return o, nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func startEtcd(dir string) (string, *embed.Etcd, error) {
	cfg := embed.NewConfig()
	cfg.Dir = dir
	cfg.LogLevel = "error"
	cfg.UnsafeNoFsync = true
	cfg.SnapshotCount = 5000
	client, err := freePort()
	if err != nil {
		return "", nil, err
	}
	peer, err := freePort()
	if err != nil {
		return "", nil, err
	}
	cu := url.URL{Scheme: "http", Host: fmt.Sprintf("127.0.0.1:%d", client)}
	pu := url.URL{Scheme: "http", Host: fmt.Sprintf("127.0.0.1:%d", peer)}
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{cu}, []url.URL{cu}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{pu}, []url.URL{pu}
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	// one member: an election after 10 ms instead of a second
	cfg.TickMs, cfg.ElectionMs = 10, 100
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		return "", nil, err
	}
	select {
	case <-e.Server.ReadyNotify():
	case <-time.After(30 * time.Second):
		e.Close()
		return "", nil, fmt.Errorf("etcd not ready")
	}
	return cu.String(), e, nil
}

func runAPIServer(ctx context.Context, args []string) error {
	s := apiopts.NewServerRunOptions()
	fs := pflag.NewFlagSet("kube-apiserver", pflag.ContinueOnError)
	for _, f := range s.Flags().FlagSets {
		fs.AddFlagSet(f)
	}
	if err := fs.Parse(args); err != nil {
		return err
	}
	if err := s.GenericServerRunOptions.ComponentGlobalsRegistry.Set(); err != nil {
		return err
	}
	rest.SetDefaultWarningHandler(rest.NoWarnings{})
	c, err := s.Complete(ctx)
	if err != nil {
		return err
	}
	if errs := c.Validate(); len(errs) != 0 {
		return utilerrors.NewAggregate(errs)
	}
	return apiapp.Run(ctx, c)
}

func main() {
	log.SetFlags(0)
	if err := run(os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

func run(args []string) error {
	if len(args) == 1 && args[0] == enterCommand {
		return enter(os.Stdin)
	}
	if len(args) == 2 && args[0] == renderCommand {
		return render(args[1], os.Stdout)
	}
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return o.controlPlane(ctx, stop)
}

// logs sends what Kubernetes logs to a file.
func (o *options) logs() error {
	if o.verbose {
		return nil
	}
	fs := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(fs)
	f, err := os.OpenFile(filepath.Join(o.dir, "klog.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(fs.Set("logtostderr", "false"), fs.Set("stderrthreshold", "FATAL")); err != nil {
		return err
	}
	klog.SetOutput(f)
	return nil
}

func (o *options) controlPlane(ctx context.Context, stop func()) error {
	t0 := time.Now()
	step := func(f string, a ...any) {
		log.Printf("%6dms %s", time.Since(t0).Milliseconds(), fmt.Sprintf(f, a...))
	}
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return err
	}
	if err := o.logs(); err != nil {
		return err
	}
	port, err := o.apiPort()
	if err != nil {
		return err
	}
	pki, err := writePKI(o.dir, port)
	if err != nil {
		return err
	}
	etcdURL, e, err := startEtcd(filepath.Join(o.dir, "etcd"))
	if err != nil {
		return err
	}
	defer e.Close()
	step("etcd ready on %s", etcdURL)

	fail := make(chan error, 3)
	apiDone := make(chan struct{})
	go func() {
		defer close(apiDone)
		if err := runAPIServer(ctx, apiArgs(port, etcdURL, pki)); err != nil {
			fail <- fmt.Errorf("kube-apiserver: %w", err)
		}
	}()
	cfg, err := clientcmd.BuildConfigFromFlags("", pki.kubeconfig)
	if err != nil {
		return err
	}
	cfg.QPS, cfg.Burst = 200, 400
	cs := kubernetes.NewForConfigOrDie(cfg)
	if err := awaitAPI(ctx, cs, fail); err != nil {
		return err
	}
	step("kube-apiserver ready on 127.0.0.1:%d", port)
	go func() {
		if err := runControllers(ctx, cfg, pki); err != nil && ctx.Err() == nil {
			fail <- fmt.Errorf("controllers: %w", err)
		}
	}()
	if o.kubelet != "off" {
		k, err := o.startKubelet(ctx, cs, port)
		if err != nil {
			return err
		}
		defer k.stopAll()
		step("node ready, pods get addresses of %s", o.podCIDR)
	}
	if err := os.WriteFile(filepath.Join(o.dir, "ready"), []byte(pki.kubeconfig+"\n"), 0o600); err != nil {
		return err
	}
	step("ready: KUBECONFIG=%s", pki.kubeconfig)
	var failed error
	select {
	case <-ctx.Done():
	case failed = <-fail:
		stop()
	}
	select {
	case <-apiDone:
	case <-time.After(10 * time.Second):
	}
	return failed
}

// apiPort is that of a former run on the same state, whose kubeconfig clients have.
func (o *options) apiPort() (int, error) {
	cfg, err := clientcmd.LoadFromFile(filepath.Join(o.dir, "kubeconfig"))
	if err != nil {
		if o.port != 0 {
			return o.port, nil
		}
		return freePort()
	}
	u, err := url.Parse(cfg.Clusters["test"].Server)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(u.Port())
}

func apiArgs(port int, etcdURL string, pki *pkiFiles) []string {
	return []string{
		"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", port),
		"--etcd-servers=" + etcdURL,
		"--tls-cert-file=" + pki.serverCert, "--tls-private-key-file=" + pki.serverKey,
		"--client-ca-file=" + pki.ca,
		"--service-account-key-file=" + pki.saKey, "--service-account-signing-key-file=" + pki.saKey,
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-cluster-ip-range=10.96.0.0/16",
		"--authorization-mode=RBAC",
		"--endpoint-reconciler-type=none",
		"--shutdown-delay-duration=0s",
	}
}

func awaitAPI(ctx context.Context, cs *kubernetes.Clientset, fail <-chan error) error {
	for {
		b, err := cs.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		if err == nil && strings.TrimSpace(string(b)) == "ok" {
			return nil
		}
		select {
		case err := <-fail:
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (o *options) startKubelet(ctx context.Context, cs *kubernetes.Clientset, port int) (*kubelet, error) {
	cidr, err := netip.ParsePrefix(o.podCIDR)
	if err != nil {
		return nil, err
	}
	k := &kubelet{cs: cs, cidr: cidr, run: o.kubelet == "exec", dir: o.dir, images: o.images, apiPort: port}
	if k.run {
		k.resolver = cidr.Addr().Next().String()
		conn, err := net.ListenPacket("udp", net.JoinHostPort(k.resolver, "53"))
		if err != nil {
			return nil, fmt.Errorf("name server: %w", err)
		}
		s := &services{cs: cs, cidr: cidr, all: map[types.UID]*service{}}
		go (&nameServer{cs: cs, services: s, peers: o.dnsPeers, conn: conn}).serve(ctx)
	}
	return k, k.start(ctx)
}
