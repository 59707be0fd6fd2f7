package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// scratch holds what tests share: the binary. TestMain removes it.
var scratch = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "pando-e2e-") })

// built is the path of the binary under test: that of PANDO_BINARY, or else one
// built from this checkout when the first test needs it.
var built = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("PANDO_BINARY"); path != "" {
		return filepath.Abs(path)
	}
	dir, err := scratch()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "pando")
	cmd := exec.Command("go", "build", "-o", path, "../cmd/pando")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build pando: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := scratch(); err == nil {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// processes is called first by every test that starts real processes.
func processes(t *testing.T) {
	t.Helper()
	t.Parallel()
}

// pando returns the path of the binary under test.
func pando(tb testing.TB) string {
	tb.Helper()
	path, err := built()
	if err != nil {
		tb.Fatal(err)
	}
	return path
}

// tool returns the path of a program that the tests need. `make test-deps`
// installs all of them, so that none is ever skipped.
func tool(tb testing.TB, name string) string {
	tb.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		tb.Fatalf("%v; install it with make test-deps", err)
	}
	return path
}

// output collects what a process writes.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// process is a running program.
type process struct {
	tb   testing.TB
	name string
	args []string
	cmd  *exec.Cmd
	// log is its standard error, out its standard output.
	log, out *output
	// http is the base URL of a tier, grpc its address for children.
	http, grpc string
	done       chan struct{} // closed once it has ended
	err        error         // how it ended, once done is closed
}

// launch starts a program. It is killed when the test ends, and what it wrote
// is shown if the test failed.
func launch(tb testing.TB, name, path string, args ...string) *process {
	tb.Helper()
	p := &process{tb: tb, name: name, args: args, cmd: exec.Command(path, args...), log: &output{}, out: &output{}, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.log
	// Should the test binary die, its children do not stay behind.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		tb.Fatalf("start %s: %v", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	tb.Cleanup(func() {
		p.kill()
		// A binary built with -race tells here.
		for _, never := range []string{"panic", "DATA RACE"} {
			if strings.Contains(p.log.String(), never) {
				tb.Errorf("the log of %s has a %s", name, never)
			}
		}
		if tb.Failed() {
			tb.Logf("---- %s %s\n%s%s", name, strings.Join(args, " "), tail(p.out.String()), tail(p.log.String()))
		}
	})
	return p
}

// tail returns the end of a log.
func tail(s string) string {
	const most = 6000
	if len(s) > most {
		return "[...]" + s[len(s)-most:]
	}
	return s
}

// kill ends the process at once, as kill -9 does, and waits until it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// stop sends a signal and waits for the process to end, which it must do with
// exit code zero.
func (p *process) stop(sig os.Signal, within time.Duration) {
	p.tb.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.tb.Fatalf("signal %s: %v", p.name, err)
	}
	select {
	case <-p.done:
		if p.err != nil {
			p.tb.Fatalf("%s ended with %v after %v", p.name, p.err, sig)
		}
	case <-time.After(within):
		p.tb.Fatalf("%s still runs %v after %v", p.name, within, sig)
	}
}

// listening is what every tier prints once its ports are bound.
var listening = regexp.MustCompile(`(?m)^(\S+ .*|\S+) listens on (http://\S+?)(?:, children on (\S+))?\n`)

// tierAt starts a tier at the given addresses, the second one being that for
// children, if it has any, and waits until its ports are bound.
func tierAt(tb testing.TB, web, grpc string, args ...string) *process {
	tb.Helper()
	all := append(slices.Clone(args), "--web.listen-address="+web)
	if grpc != "" {
		all = append(all, "--grpc.listen-address="+grpc)
	}
	p := launch(tb, args[0], pando(tb), all...)
	p.args = args
	eventually(tb, 60*time.Second, func() error {
		if m := listening.FindStringSubmatch(p.out.String()); m != nil {
			p.name, p.http, p.grpc = m[1], m[2], m[3]
			return nil
		}
		select {
		case <-p.done:
			tb.Fatalf("%s ended with %v:\n%s", args[0], p.err, p.log)
		default:
		}
		return errors.New("ports are not bound yet")
	})
	return p
}

// again starts a tier that has ended anew, with the same flags and at the same
// addresses.
func (p *process) again() *process {
	p.tb.Helper()
	<-p.done
	return tierAt(p.tb, strings.TrimPrefix(p.http, "http://"), p.grpc, p.args...)
}

// anyPort is a loopback address with a port that the kernel chooses.
const anyPort = "127.0.0.1:0"

func rootFlags(tb testing.TB, flags ...string) []string {
	return append([]string{"root", "--storage.path=" + tb.TempDir()}, flags...)
}

func zoneFlags(tb testing.TB, parent string, flags ...string) []string {
	return append([]string{"zone", "--storage.path=" + tb.TempDir(), "--parent=" + parent}, flags...)
}

func leafFlags(tb testing.TB, parent, zone, cluster string, flags ...string) []string {
	return append([]string{"leaf", "--storage.tsdb.path=" + tb.TempDir(), "--parent=" + parent, "--zone=" + zone, "--cluster=" + cluster}, flags...)
}

// startRoot starts a root.
func startRoot(tb testing.TB, flags ...string) *process {
	tb.Helper()
	return tierAt(tb, anyPort, anyPort, rootFlags(tb, flags...)...)
}

// startZone starts a zone below the parent with that address.
func startZone(tb testing.TB, parent string, flags ...string) *process {
	tb.Helper()
	return tierAt(tb, anyPort, anyPort, zoneFlags(tb, parent, flags...)...)
}

// startLeaf starts a leaf below the parent with that address, and waits until
// its storage is open: before that it refuses queries.
func startLeaf(tb testing.TB, parent, zone, cluster string, flags ...string) *process {
	tb.Helper()
	p := tierAt(tb, anyPort, "", leafFlags(tb, parent, zone, cluster, flags...)...)
	eventually(tb, 60*time.Second, func() error {
		res, err := caller.Get(p.http + "/-/ready")
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode == http.StatusServiceUnavailable {
			return fmt.Errorf("%s is not ready", p.name)
		}
		return nil
	})
	return p
}

// eventually polls until ok returns nil, and fails the test at the deadline.
func eventually(tb testing.TB, within time.Duration, ok func() error) {
	tb.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(within)
	for {
		err := ok()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			tb.Fatalf("not within %v: %v", within, err)
		case <-tick.C:
		}
	}
}

// nextPort is where freeAddress looks next. It stays below the range that the
// kernel takes ports from for others.
var nextPort atomic.Int32

// freeAddress returns a loopback address that nobody else will be given, for
// processes that must be known before they run.
func freeAddress(tb testing.TB) string {
	tb.Helper()
	for range 5000 {
		port := 20_000 + (os.Getpid()%50)*200 + int(nextPort.Add(1))%2000
		address := fmt.Sprintf("127.0.0.1:%d", port)
		if l, err := net.Listen("tcp", address); err == nil {
			_ = l.Close()
			return address
		}
	}
	tb.Fatal("no free port")
	return ""
}

// ran is how a command ended.
type ran struct {
	code        int
	out, errOut string
}

// run runs a program to its end.
func run(tb testing.TB, path string, args ...string) ran {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		tb.Fatalf("run %s: %v", path, err)
	}
	if ctx.Err() != nil {
		tb.Fatalf("%s %q did not end", path, args)
	}
	return ran{cmd.ProcessState.ExitCode(), out.String(), errOut.String()}
}

// writeFile writes a file into a directory of the test, and returns its path.
func writeFile(tb testing.TB, name, text string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// residentBytes is the memory that a process holds now.
func residentBytes(tb testing.TB, p *process) int64 {
	tb.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(io.LimitReader(f, 1<<20)); s.Scan(); {
		var kib int64
		if n, _ := fmt.Sscanf(s.Text(), "VmHWM: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	tb.Fatal("no VmHWM in the status of the process")
	return 0
}
