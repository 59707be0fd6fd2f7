package kubetest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// startWithin is how long a control plane may take to be ready, on a machine
// with much else to do; alone it takes about three seconds.
const startWithin = 3 * time.Minute

// Config says how a cluster is.
type Config struct {
	// Number tells clusters of one test apart, from 1 to 254: pods of this one have
	// addresses of 10.77.Number.0/24.
	Number int
	// Peers are the numbers of other clusters whose public names pods can resolve:
	// those that Services have by external-dns' annotation.
	Peers []int
	// Images maps container images, without tags, to the static programs that they
	// are made of. Other containers need a command, which is run as it is.
	Images map[string]string
}

// Validate says what is wrong with a Config.
func (c Config) Validate() error {
	for _, n := range append([]int{c.Number}, c.Peers...) {
		if n < 1 || n > 254 {
			return fmt.Errorf("number %d of a cluster: it must be from 1 to 254", n)
		}
	}
	return nil
}

// Cluster is a running control plane. Its methods are for one goroutine.
type Cluster struct {
	// Kubeconfig is the path of a file with the credentials of its administrator.
	Kubeconfig string

	tb   testing.TB
	dir  string
	args []string
	cmd  *exec.Cmd
	log  *bytes.Buffer
	done chan struct{}
}

// Start runs a cluster until the test ends. If the test fails, what the control
// plane and the pods wrote last is logged.
func Start(tb testing.TB, cfg Config) *Cluster {
	tb.Helper()
	if err := cfg.Validate(); err != nil {
		tb.Fatal(err)
	}
	c := &Cluster{tb: tb, dir: tb.TempDir()}
	c.Kubeconfig = filepath.Join(c.dir, "kubeconfig")
	c.args = []string{"--dir", c.dir, "--kubelet", "exec", "--pod-cidr", fmt.Sprintf("10.77.%d.0/24", cfg.Number)}
	for _, p := range cfg.Peers {
		c.args = append(c.args, "--dns-peer", fmt.Sprintf("10.77.%d.1:53", p))
	}
	for image, program := range cfg.Images {
		c.args = append(c.args, "--image", image+"="+program)
	}
	c.start()
	tb.Cleanup(func() {
		if tb.Failed() {
			c.dump()
		}
		c.end(syscall.SIGTERM)
	})
	return c
}

func (c *Cluster) start() {
	c.tb.Helper()
	ready := filepath.Join(c.dir, "ready")
	if err := os.Remove(ready); err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.tb.Fatal(err)
	}
	c.log, c.done = &bytes.Buffer{}, make(chan struct{})
	c.cmd = exec.Command(Binary(c.tb), c.args...)
	c.cmd.Stdout, c.cmd.Stderr = c.log, c.log
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.cmd.Start(); err != nil {
		c.tb.Fatal(err)
	}
	go func(cmd *exec.Cmd, done chan struct{}) {
		_ = cmd.Wait()
		close(done)
	}(c.cmd, c.done)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(startWithin)
	for {
		select {
		case <-c.done:
			c.tb.Fatalf("the control plane ended before it was ready:\n%s", c.log)
		case <-deadline:
			c.end(syscall.SIGKILL)
			c.tb.Fatalf("the control plane is not ready after %v:\n%s", startWithin, c.log)
		case <-tick.C:
			if _, err := os.Stat(ready); err == nil {
				return
			}
		}
	}
}

// end ends the process and waits for it.
func (c *Cluster) end(s syscall.Signal) {
	_ = c.cmd.Process.Signal(syscall.SIGCONT)
	_ = c.cmd.Process.Signal(s)
	select {
	case <-c.done:
	case <-time.After(2 * time.Minute):
		_ = c.cmd.Process.Kill()
		<-c.done
	}
}

// Restart kills the whole cluster, its pods with it, and starts it again with
// the state that it had.
func (c *Cluster) Restart() {
	c.tb.Helper()
	c.end(syscall.SIGKILL)
	c.start()
}

// Pause makes the API server hang, as one does that is overloaded or behind a
// broken network: connections are taken and never answered. Pods keep running;
// names are not resolved.
func (c *Cluster) Pause() {
	c.tb.Helper()
	if err := c.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		c.tb.Fatal(err)
	}
}

// Resume ends a Pause.
func (c *Cluster) Resume() {
	c.tb.Helper()
	if err := c.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		c.tb.Fatal(err)
	}
}

// Logs returns what the containers of a pod wrote, those of earlier pods of that
// name too.
func (c *Cluster) Logs(namespace, pod string) string {
	c.tb.Helper()
	files, err := filepath.Glob(filepath.Join(c.dir, "pods", namespace, pod, "*", "*.log"))
	if err != nil {
		c.tb.Fatal(err)
	}
	var out strings.Builder
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			c.tb.Fatal(err)
		}
		out.Write(b)
	}
	return out.String()
}

// dump logs the ends of all logs.
func (c *Cluster) dump() {
	c.end(syscall.SIGTERM) // nobody writes any more
	c.tb.Logf("control plane %s:\n%s", c.dir, tail(c.log.Bytes()))
	files, _ := filepath.Glob(filepath.Join(c.dir, "pods", "*", "*", "*", "*.log"))
	for _, name := range files {
		if b, err := os.ReadFile(name); err == nil {
			c.tb.Logf("%s:\n%s", strings.TrimPrefix(name, c.dir), tail(b))
		}
	}
}

func tail(b []byte) []byte {
	const most = 8 << 10
	if len(b) > most {
		b = b[len(b)-most:]
	}
	return b
}

// Render returns what a kustomization makes, as kubectl kustomize prints it.
func Render(tb testing.TB, dir string) []byte {
	tb.Helper()
	cmd := exec.Command(Binary(tb), "render", dir)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		tb.Fatalf("kustomize %s: %v\n%s", dir, err, errs.Bytes())
	}
	return out
}

// Binary returns the path of the control plane's program, and builds it if this
// machine has none of these sources, which takes minutes.
func Binary(tb testing.TB) string {
	tb.Helper()
	path, err := binary()
	if err != nil {
		tb.Fatal(err)
	}
	return path
}

var binary = sync.OnceValues(func() (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	var errs bytes.Buffer
	cmd := exec.Command(filepath.Join(root, "e2e", "testkube", "build.sh"))
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("build testkube: %w\n%s", err, errs.Bytes())
	}
	return strings.TrimSpace(string(out)), nil
})

// moduleRoot is where go.mod is, above the folder that tests run in.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("no go.mod above the working directory")
		}
		dir = up
	}
	return "", err
}
