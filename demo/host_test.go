package demo

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/procfs"
)

// writeFiles lays out a /proc or /sys of fixed content.
func writeFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// gathered returns values by name and labels.
func gathered(t *testing.T, h *Host) map[string]float64 {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(h)
	mfs, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, mf := range mfs {
		for _, m := range mf.Metric {
			out[key(mf.GetName(), m)] = m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetUntyped().GetValue()
		}
	}
	return out
}

func key(name string, m *dto.Metric) string {
	var b strings.Builder
	b.WriteString(name)
	for _, l := range m.Label {
		b.WriteString(" " + l.GetName() + "=" + l.GetValue())
	}
	return b.String()
}

func TestHostNamesAndUnits(t *testing.T) {
	proc := writeFiles(t, map[string]string{
		"stat":                  "cpu  200 0 0 0 0 0 0 0 0 0\ncpu0 200 100 300 400 0 0 0 0 0 0\nctxt 77\nbtime 1700000000\nprocesses 9\nprocs_running 2\nprocs_blocked 1\n",
		"meminfo":               "MemTotal: 2048 kB\nMemAvailable: 1024 kB\nActive(anon): 3 kB\nHugePages_Total: 5\n",
		"diskstats":             "8 0 sda 10 1 100 2000 20 2 200 4000 0 500 600\n8 1 sda1 1 1 1 1 1 1 1 1 0 1 1\n",
		"net/dev":               "Inter-|   Receive                                                |  Transmit\n face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n  eth0: 1000 10 1 2 0 0 0 3 2000 20 0 0 0 0 0 0\n",
		"loadavg":               "0.50 0.25 0.10 1/100 1234\n",
		"vmstat":                "nr_free_pages 5\npgfault 42\noom_kill 1\n",
		"pressure/cpu":          "some avg10=0.00 avg60=0.00 avg300=0.00 total=2500000\n",
		"sys/fs/file-nr":        "100 0 9000\n",
		"sys/kernel/ostype":     "Linux\n",
		"sys/kernel/osrelease":  "6.1\n",
		"sys/kernel/version":    "#1\n",
		"sys/kernel/hostname":   "box\n",
		"sys/kernel/domainname": "(none)\n",
		"sys/kernel/arch":       "x86_64\n",
	})
	sys := writeFiles(t, map[string]string{
		"class/net/eth0/operstate": "up\n", "class/net/eth0/mtu": "1500\n", "class/net/eth0/speed": "1000\n",
		"class/net/lo/operstate": "unknown\n", "class/net/lo/speed": "-1\n",
	})
	got := gathered(t, NewHost(HostConfig{Proc: proc, Sys: sys, Now: func() time.Time { return testStart }}))
	for name, want := range map[string]float64{
		"node_cpu_seconds_total cpu=0 mode=user":             2,
		"node_cpu_seconds_total cpu=0 mode=idle":             4,
		"node_boot_time_seconds":                             1700000000,
		"node_context_switches_total":                        77,
		"node_procs_blocked":                                 1,
		"node_memory_MemTotal_bytes":                         2048 << 10,
		"node_memory_Active_anon_bytes":                      3 << 10,
		"node_memory_HugePages_Total":                        5,
		"node_disk_read_bytes_total device=sda":              51200,
		"node_disk_read_time_seconds_total device=sda":       2,
		"node_disk_written_bytes_total device=sda":           102400,
		"node_disk_io_time_seconds_total device=sda":         0.5,
		"node_network_receive_bytes_total device=eth0":       1000,
		"node_network_transmit_packets_total device=eth0":    20,
		"node_network_receive_multicast_total device=eth0":   3,
		"node_network_up device=eth0":                        1,
		"node_network_up device=lo":                          0,
		"node_network_mtu_bytes device=eth0":                 1500,
		"node_network_speed_bytes device=eth0":               125e6,
		"node_load1":                                         0.5,
		"node_load15":                                        0.1,
		"node_vmstat_pgfault":                                42,
		"node_vmstat_oom_kill":                               1,
		"node_pressure_cpu_waiting_seconds_total":            2.5,
		"node_filefd_allocated":                              100,
		"node_filefd_maximum":                                9000,
		"node_time_seconds":                                  float64(testStart.Unix()),
		"node_scrape_collector_success collector=cpu":        1,
		"node_scrape_collector_success collector=sockstat":   0, // no such file here
		"node_scrape_collector_success collector=filesystem": 0,
		"node_uname_info domainname=(none) machine=x86_64 nodename=box release=6.1 sysname=Linux version=#1": 1,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s = %v (present %v), want %v", name, v, ok, want)
		}
	}
	for name := range got {
		if strings.Contains(name, "sda1") || strings.Contains(name, "nr_free_pages") || strings.Contains(name, "MemFree") || strings.Contains(name, "speed_bytes device=lo") {
			t.Errorf("unexpected %s", name)
		}
	}
}

// A machine without any of the files still answers.
func TestHostWithoutFiles(t *testing.T) {
	for _, proc := range []string{t.TempDir(), filepath.Join(t.TempDir(), "none")} {
		for name, v := range gathered(t, NewHost(HostConfig{Proc: proc, Sys: proc})) {
			if strings.HasPrefix(name, "node_scrape_collector_success") && v != 0 {
				t.Errorf("%s = %v", name, v)
			}
		}
	}
}

// A malformed file costs its own part and no other.
func TestHostMalformedFile(t *testing.T) {
	proc := writeFiles(t, map[string]string{"loadavg": "1 2 3 1/2 3\n", "stat": "cpu0 x y\n", "vmstat": "pgfault many\n", "sys/fs/file-nr": "1\n"})
	got := gathered(t, NewHost(HostConfig{Proc: proc, Sys: proc}))
	want := map[string]float64{"cpu": 0, "vmstat": 0, "filefd": 0, "loadavg": 1}
	for name, v := range want {
		if got["node_scrape_collector_success collector="+name] != v {
			t.Errorf("collector %s: want success %v", name, v)
		}
	}
}

func TestStuckFilesystemIsAskedOnce(t *testing.T) {
	release, calls := make(chan struct{}), 0
	var mu sync.Mutex
	r := &mountReader{bound: time.Millisecond, busy: map[string]bool{}, stat: func(string) (usage, error) {
		mu.Lock()
		calls++
		mu.Unlock()
		<-release
		return usage{size: 1}, nil
	}}
	for range 3 {
		if _, err := r.usage("/stuck"); !errors.Is(err, errStuck) {
			t.Fatalf("usage of a stuck file system: %v", err)
		}
	}
	mu.Lock()
	if calls != 1 {
		t.Errorf("asked %d times while stuck", calls)
	}
	mu.Unlock()
	close(release)
}

func TestMountsShown(t *testing.T) {
	var got []string
	for _, m := range []procfs.MountInfo{
		{MountPoint: "/", FSType: "ext4"},
		{MountPoint: "/", FSType: "overlay"},
		{MountPoint: "/data", FSType: "xfs"},
		{MountPoint: "/device", FSType: "ext4"},
		{MountPoint: "/proc", FSType: "proc"},
		{MountPoint: "/dev/shm", FSType: "tmpfs"},
		{MountPoint: "/var/lib/docker/x", FSType: "ext4"},
		{MountPoint: "/merged", FSType: "overlay"},
	} {
		if !uninteresting(&m) {
			got = append(got, m.MountPoint)
		}
	}
	if diff := cmp.Diff([]string{"/", "/", "/data", "/device"}, got); diff != "" {
		t.Error(diff)
	}
}
