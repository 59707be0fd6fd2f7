package demo

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/procfs"
)

// statBound is how long one file system may take to answer.
const statBound = time.Second

// maxFile bounds what is read of a file of /proc or /sys.
const maxFile = 256 << 10

func readFile(elems ...string) (string, error) {
	f, err := os.Open(filepath.Join(elems...))
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile))
	return strings.TrimSpace(string(b)), err
}

func (h *Host) readVMStat(s sink) error {
	text, err := readFile(h.cfg.Proc, "vmstat")
	if err != nil {
		return fmt.Errorf("read memory events: %w", err)
	}
	wanted := regexp.MustCompile(`^(oom_kill|pgpg|pswp|pg.*fault)`)
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || !wanted.MatchString(name) {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return fmt.Errorf("read memory events: field %s: %w", name, err)
		}
		s.send(prometheus.UntypedValue, "node_vmstat_"+name, "/proc/vmstat field "+name+".", v, nil)
	}
	return nil
}

func (h *Host) readFileDescriptors(s sink) error {
	text, err := readFile(h.cfg.Proc, "sys/fs/file-nr")
	if err != nil {
		return fmt.Errorf("read file descriptor statistics: %w", err)
	}
	fields := strings.Fields(text)
	if len(fields) != 3 {
		return fmt.Errorf("read file descriptor statistics: want 3 fields in %q", text)
	}
	for i, name := range map[int]string{0: "allocated", 2: "maximum"} {
		v, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return fmt.Errorf("read file descriptor statistics: %w", err)
		}
		s.gauge("node_filefd_"+name, "File descriptor statistic "+name+".", v, nil)
	}
	return nil
}

// readInterfaces tells of network interfaces what their counters do not.
func (h *Host) readInterfaces(s sink) error {
	dirs, err := os.ReadDir(filepath.Join(h.cfg.Sys, "class/net"))
	if err != nil {
		return fmt.Errorf("list network interfaces: %w", err)
	}
	for _, d := range dirs {
		l := []string{"device", d.Name()}
		state, err := readFile(h.cfg.Sys, "class/net", d.Name(), "operstate")
		if err != nil {
			continue // not an interface, or gone
		}
		s.gauge("node_network_up", "1 if operstate is up.", isTrue(state == "up"), l)
		for file, m := range map[string]metric{
			"mtu":   {"node_network_mtu_bytes", "Maximum size of a packet."},
			"speed": {"node_network_speed_bytes", "Speed in bytes per second."},
		} {
			text, err := readFile(h.cfg.Sys, "class/net", d.Name(), file)
			v, parseErr := strconv.ParseFloat(text, 64)
			if err != nil || parseErr != nil || v < 0 {
				continue // virtual interfaces have no speed
			}
			if file == "speed" {
				v *= 1e6 / 8
			}
			s.gauge(m.name, m.help, v, l)
		}
	}
	return nil
}

func (h *Host) readUname(s sink) error {
	labels := []string{}
	for _, f := range []struct{ label, file string }{
		{"sysname", "ostype"}, {"release", "osrelease"}, {"version", "version"}, {"nodename", "hostname"}, {"domainname", "domainname"},
	} {
		v, err := readFile(h.cfg.Proc, "sys/kernel", f.file)
		if err != nil {
			return fmt.Errorf("read name of the system: %w", err)
		}
		labels = append(labels, f.label, v)
	}
	machine, err := readFile(h.cfg.Proc, "sys/kernel/arch") // kernel 6.1
	if err != nil {
		machine = map[string]string{"amd64": "x86_64", "arm64": "aarch64", "386": "i686"}[runtime.GOARCH]
		if machine == "" {
			machine = runtime.GOARCH
		}
	}
	s.gauge("node_uname_info", "Labeled system information.", 1, append(labels, "machine", machine))
	return nil
}

// uninteresting tells of mounts that are no storage, as node_exporter does.
func uninteresting(m *procfs.MountInfo) bool {
	for _, dir := range []string{"/dev", "/proc", "/sys", "/run/credentials", "/var/lib/docker", "/var/lib/containers/storage"} {
		if m.MountPoint == dir || strings.HasPrefix(m.MountPoint, dir+"/") {
			return true
		}
	}
	return slices.Contains([]string{
		"autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs", "erofs", "fusectl",
		"hugetlbfs", "iso9660", "mqueue", "nsfs", "overlay", "proc", "procfs", "pstore", "rpc_pipefs", "securityfs", "selinuxfs",
		"squashfs", "sysfs", "tracefs",
	}, m.FSType) && m.MountPoint != "/" // a container's root is an overlay, and all it has
}

// usage is what a file system tells of itself.
type usage struct {
	size, free, avail  float64 // bytes
	inodes, inodesFree float64
}

var errStuck = errors.New("no answer in time")

// mountReader asks file systems for their usage. One that does not answer in
// time is not asked again until it did: at most one goroutine waits for each.
type mountReader struct {
	stat  func(path string) (usage, error)
	bound time.Duration

	mu   sync.Mutex
	busy map[string]bool
}

func (r *mountReader) usage(path string) (usage, error) {
	r.mu.Lock()
	stuck := r.busy[path]
	r.busy[path] = true
	r.mu.Unlock()
	if stuck {
		return usage{}, errStuck
	}
	type answer struct {
		usage
		err error
	}
	done := make(chan answer, 1)
	go func() {
		u, err := r.stat(path)
		r.mu.Lock()
		delete(r.busy, path)
		r.mu.Unlock()
		done <- answer{u, err}
	}()
	timer := time.NewTimer(r.bound)
	defer timer.Stop()
	select {
	case a := <-done:
		return a.usage, a.err
	case <-timer.C:
		return usage{}, errStuck
	}
}

func (r *mountReader) send(s sink, m *procfs.MountInfo) {
	l := []string{"device", m.Source, "mountpoint", m.MountPoint, "fstype", m.FSType}
	u, err := r.usage(m.MountPoint)
	reason := ""
	if err != nil {
		reason = err.Error()
	}
	s.gauge("node_filesystem_device_error", "Whether asking the file system failed.", isTrue(err != nil), append(slices.Clone(l), "device_error", reason))
	_, readonly := m.Options["ro"]
	s.gauge("node_filesystem_readonly", "Whether the file system is read-only.", isTrue(readonly), l)
	if err != nil {
		return
	}
	s.gauge("node_filesystem_size_bytes", "Size of the file system.", u.size, l)
	s.gauge("node_filesystem_free_bytes", "Free space.", u.free, l)
	s.gauge("node_filesystem_avail_bytes", "Free space for users other than root.", u.avail, l)
	s.gauge("node_filesystem_files", "File nodes.", u.inodes, l)
	s.gauge("node_filesystem_files_free", "Free file nodes.", u.inodesFree, l)
}
