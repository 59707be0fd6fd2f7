package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/third_party/forked/golang/expansion"
)

// enterCommand is the argument by which this program, run again, enters a
// container's file system and becomes its process.
const enterCommand = "enter-container"

// confinement is what the process of a container sees and is.
type confinement struct {
	// Root is its file system: that of an image made of nothing but its program.
	Root         string
	ReadOnlyRoot bool
	Mounts       []mount
	UID, GID     int
	Groups       []int
	Argv, Env    []string
	WorkDir      string
}

type mount struct {
	Source, Target string
	ReadOnly       bool
}

// container runs a container until it ends or ctx does.
func (w *podWorker) container(ctx context.Context, i int) error {
	spec, err := w.confine(ctx, w.pod.Spec.Containers[i])
	if err != nil {
		return err
	}
	enc, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	out, err := w.logFile(w.pod.Spec.Containers[i].Name)
	if err != nil {
		return err
	}
	defer out.Close()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, enterCommand)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(string(enc)), out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %q: %w", spec.Argv, err)
	}
	w.set(i, func(s *containerState) { s.started, s.waiting = time.Now(), "" })
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	grace := 30 * time.Second
	if g := w.pod.Spec.TerminationGracePeriodSeconds; g != nil {
		grace = time.Duration(*g) * time.Second
	}
	select {
	case err := <-ended:
		return err
	case <-time.After(grace):
		_ = cmd.Process.Kill()
		return <-ended
	}
}

// confine resolves what a container's specification says.
func (w *podWorker) confine(ctx context.Context, c corev1.Container) (*confinement, error) {
	if len(c.EnvFrom) > 0 {
		return nil, fmt.Errorf("container %s: the stand-in kubelet does not know envFrom", c.Name)
	}
	env := map[string]string{
		"PATH": os.Getenv("PATH"), "HOSTNAME": w.pod.Name, "HOME": "/",
		"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": fmt.Sprint(w.k.apiPort), "KUBERNETES_SERVICE_PORT_HTTPS": fmt.Sprint(w.k.apiPort),
	}
	for _, e := range c.Env {
		v, err := w.envValue(ctx, c, e, env)
		if err != nil {
			return nil, fmt.Errorf("container %s: variable %s: %w", c.Name, e.Name, err)
		}
		env[e.Name] = v
	}
	name, _, _ := strings.Cut(c.Image, "@")
	if at := strings.LastIndex(name, ":"); at > strings.LastIndex(name, "/") {
		name = name[:at]
	}
	argv := slices.Clone(c.Command)
	spec := &confinement{WorkDir: c.WorkingDir}
	if program, ok := w.k.images[name]; ok {
		entry := "/" + filepath.Base(program)
		if len(argv) == 0 {
			argv = []string{entry}
		}
		root, err := w.rootFS(c.Name, program, entry)
		if err != nil {
			return nil, err
		}
		spec.Root = root
	}
	if argv = append(argv, c.Args...); len(argv) == 0 || spec.Root == "" && len(c.Command) == 0 {
		return nil, fmt.Errorf("container %s: image %q is not known here: name its program by --image, or give the container a command of this machine", c.Name, name)
	}
	mapped := expansion.MappingFuncFor(env)
	for _, a := range argv {
		// All pods share one network: that a process listens on all addresses of
		// its pod means that it listens on the one which the pod has.
		spec.Argv = append(spec.Argv, strings.ReplaceAll(expansion.Expand(a, mapped), "0.0.0.0:", w.ip.String()+":"))
	}
	for k, v := range env {
		spec.Env = append(spec.Env, k+"="+v)
	}
	w.identity(c, spec)
	return spec, w.mounts(c, spec)
}

// identity fills in user and groups, as the security contexts say.
func (w *podWorker) identity(c corev1.Container, spec *confinement) {
	if p := w.pod.Spec.SecurityContext; p != nil {
		if p.RunAsUser != nil {
			spec.UID = int(*p.RunAsUser)
		}
		if p.RunAsGroup != nil {
			spec.GID = int(*p.RunAsGroup)
		}
		if p.FSGroup != nil {
			spec.Groups = append(spec.Groups, int(*p.FSGroup))
		}
	}
	if s := c.SecurityContext; s != nil {
		if s.RunAsUser != nil {
			spec.UID = int(*s.RunAsUser)
		}
		if s.RunAsGroup != nil {
			spec.GID = int(*s.RunAsGroup)
		}
		spec.ReadOnlyRoot = s.ReadOnlyRootFilesystem != nil && *s.ReadOnlyRootFilesystem
	}
}

// rootFS lays out the file system of an image that holds one program.
func (w *podWorker) rootFS(container, program, entry string) (string, error) {
	root := filepath.Join(w.home, container+".rootfs")
	for _, d := range []string{"etc/ssl/certs", "proc", "dev"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			return "", err
		}
	}
	search := w.pod.Namespace + ".svc.cluster.local svc.cluster.local cluster.local"
	resolv := fmt.Sprintf("nameserver %s\nsearch %s\noptions ndots:5\n", w.k.resolver, search)
	if err := os.WriteFile(filepath.Join(root, "etc/resolv.conf"), []byte(resolv), 0o644); err != nil {
		return "", err
	}
	hosts := fmt.Sprintf("127.0.0.1 localhost\n%s %s\n", w.ip, w.pod.Name)
	if err := os.WriteFile(filepath.Join(root, "etc/hosts"), []byte(hosts), 0o644); err != nil {
		return "", err
	}
	to := filepath.Join(root, entry)
	if _, err := os.Stat(to); err == nil || os.Link(program, to) == nil {
		return root, nil
	}
	return root, copyProgram(program, to)
}

func copyProgram(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}

// enter reads a confinement and becomes its process; it returns only an error.
func enter(in io.Reader) error {
	runtime.LockOSThread() // identity and death signal are a thread's
	var c confinement
	if err := json.NewDecoder(in).Decode(&c); err != nil {
		return err
	}
	if c.Root != "" {
		if err := c.enterRoot(); err != nil {
			return err
		}
	}
	if c.UID != 0 || c.GID != 0 {
		if err := c.become(); err != nil {
			return err
		}
	}
	if err := os.Chdir(c.workDir()); err != nil {
		return err
	}
	// The kernel forgets it when a process changes its identity.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL), 0, 0, 0); err != nil {
		return err
	}
	program := c.Argv[0]
	if c.Root == "" {
		path, err := exec.LookPath(program)
		if err != nil {
			return err
		}
		program = path
	}
	return fmt.Errorf("exec %s: %w", program, unix.Exec(program, c.Argv, c.Env))
}

func (c *confinement) workDir() string {
	if c.WorkDir != "" {
		return c.WorkDir
	}
	return "/"
}

func (c *confinement) enterRoot() error {
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	bind := func(from, to string, ro bool) error {
		if err := unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("bind %s to %s: %w", from, to, err)
		}
		if !ro {
			return nil
		}
		if err := unix.Mount("", to, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			return fmt.Errorf("make %s read-only: %w", to, err)
		}
		return nil
	}
	if err := bind(c.Root, c.Root, c.ReadOnlyRoot); err != nil {
		return err
	}
	all := append([]mount{{Source: "/proc", Target: "/proc"}, {Source: "/dev", Target: "/dev"}}, c.Mounts...)
	for _, m := range all {
		if err := bind(m.Source, filepath.Join(c.Root, m.Target), m.ReadOnly); err != nil {
			return err
		}
	}
	if err := unix.Chroot(c.Root); err != nil {
		return fmt.Errorf("enter %s: %w", c.Root, err)
	}
	return os.Chdir("/")
}

// become gives up root. In a user namespace that knows no other user it stays.
func (c *confinement) become() error {
	if m, err := os.ReadFile("/proc/self/uid_map"); err == nil && len(strings.Fields(string(m))) == 3 && strings.Fields(string(m))[2] == "1" {
		return nil
	}
	if err := unix.Setgroups(c.Groups); err != nil {
		return fmt.Errorf("set groups: %w", err)
	}
	if err := syscall.Setgid(c.GID); err != nil {
		return fmt.Errorf("set group: %w", err)
	}
	if err := syscall.Setuid(c.UID); err != nil {
		return fmt.Errorf("set user: %w", err)
	}
	return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
}
