package demo

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/procfs"
	"github.com/prometheus/procfs/blockdevice"
)

// HostConfig says where Host reads.
type HostConfig struct {
	// Proc and Sys are the mount points; empty means /proc and /sys.
	Proc, Sys string
	// Logger is told at debug level of parts that cannot be read. Nil discards.
	Logger *slog.Logger
	// Now is the clock of node_time_seconds. Nil means time.Now.
	Now func() time.Time
}

// Host collects this machine's own metrics under the names and labels of
// node_exporter's default collectors, so that dashboards and alerts made for it
// work: cpu, meminfo, diskstats, filesystem, netdev, netclass, loadavg, stat,
// vmstat, pressure, filefd, sockstat, time, uname.
//
// Each part stands alone. One that the system does not have, or that may not be
// read, is absent and node_scrape_collector_success tells so; the others are
// not affected. Host is safe for concurrent use.
type Host struct {
	cfg    HostConfig
	ignore *regexp.Regexp // block devices
	mounts *mountReader
}

// NewHost returns a collector. It reads nothing before the first Collect, and
// never fails: where there is no /proc, it has little to say.
func NewHost(cfg HostConfig) *Host {
	if cfg.Proc == "" {
		cfg.Proc = procfs.DefaultMountPoint
	}
	if cfg.Sys == "" {
		cfg.Sys = "/sys"
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Host{
		cfg:    cfg,
		ignore: regexp.MustCompile(`^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$`),
		mounts: &mountReader{stat: statMount, bound: statBound, busy: map[string]bool{}},
	}
}

// Describe sends nothing: what there is depends on the machine, so Host is an
// unchecked collector.
func (h *Host) Describe(chan<- *prometheus.Desc) {}

// Collect reads all parts and sends what it finds.
func (h *Host) Collect(ch chan<- prometheus.Metric) {
	out := sink{ch: ch}
	out.gauge("node_time_seconds", "System time since the epoch.", float64(h.cfg.Now().UnixNano())/1e9, nil)
	proc, err := procfs.NewFS(h.cfg.Proc)
	parts := h.parts(proc)
	for _, p := range parts {
		begin := time.Now()
		partErr := err
		if partErr == nil {
			partErr = p.read(out)
		}
		if partErr != nil && !errors.Is(partErr, fs.ErrNotExist) {
			h.cfg.Logger.Debug("host metrics unreadable", "part", p.name, "err", partErr)
		}
		l := []string{"collector", p.name}
		out.gauge("node_scrape_collector_duration_seconds", "Duration of a collector's scrape.", time.Since(begin).Seconds(), l)
		out.gauge("node_scrape_collector_success", "Whether a collector succeeded.", isTrue(partErr == nil), l)
	}
}

type part struct {
	name string
	read func(sink) error
}

func (h *Host) parts(proc procfs.FS) []part {
	return []part{
		{"cpu", func(s sink) error { return readStat(proc, s) }},
		{"meminfo", func(s sink) error { return readMemory(proc, s) }},
		{"diskstats", h.readDisks},
		{"filesystem", func(s sink) error { return h.readFilesystems(proc, s) }},
		{"netdev", func(s sink) error { return readNetwork(proc, s) }},
		{"netclass", h.readInterfaces},
		{"loadavg", func(s sink) error { return readLoad(proc, s) }},
		{"vmstat", h.readVMStat},
		{"pressure", func(s sink) error { return readPressure(proc, s) }},
		{"filefd", h.readFileDescriptors},
		{"sockstat", func(s sink) error { return readSockets(proc, s) }},
		{"uname", h.readUname},
	}
}

// sink makes constant metrics of alternating label names and values.
type sink struct{ ch chan<- prometheus.Metric }

func (s sink) send(t prometheus.ValueType, name, help string, v float64, labels []string) {
	var names, values []string
	for i := 0; i+1 < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	desc := prometheus.NewDesc(name, help, names, nil)
	m, err := prometheus.NewConstMetric(desc, t, v, values...)
	if err != nil {
		// A device or mount whose name is not valid UTF-8: it alone is left out.
		return
	}
	s.ch <- m
}

func (s sink) gauge(name, help string, v float64, labels []string) {
	s.send(prometheus.GaugeValue, name, help, v, labels)
}

func (s sink) counter(name, help string, v float64, labels []string) {
	s.send(prometheus.CounterValue, name, help, v, labels)
}

func readStat(proc procfs.FS, s sink) error {
	stat, err := proc.Stat()
	if err != nil {
		return fmt.Errorf("read cpu statistics: %w", err)
	}
	for n, c := range stat.CPU {
		cpu := strconv.FormatInt(n, 10)
		for mode, v := range map[string]float64{
			"user": c.User, "nice": c.Nice, "system": c.System, "idle": c.Idle,
			"iowait": c.Iowait, "irq": c.IRQ, "softirq": c.SoftIRQ, "steal": c.Steal,
		} {
			s.counter("node_cpu_seconds_total", "Seconds the CPUs spent in each mode.", v, []string{"cpu", cpu, "mode", mode})
		}
		for mode, v := range map[string]float64{"user": c.Guest, "nice": c.GuestNice} {
			s.counter("node_cpu_guest_seconds_total", "Seconds the CPUs spent in guests for each mode.", v, []string{"cpu", cpu, "mode", mode})
		}
	}
	s.gauge("node_boot_time_seconds", "Boot time since the epoch.", float64(stat.BootTime), nil)
	s.counter("node_context_switches_total", "Context switches.", float64(stat.ContextSwitches), nil)
	s.counter("node_intr_total", "Interrupts serviced.", float64(stat.IRQTotal), nil)
	s.counter("node_forks_total", "Processes created.", float64(stat.ProcessCreated), nil)
	s.gauge("node_procs_running", "Processes in runnable state.", float64(stat.ProcessesRunning), nil)
	s.gauge("node_procs_blocked", "Processes blocked waiting for I/O.", float64(stat.ProcessesBlocked), nil)
	return nil
}

func readMemory(proc procfs.FS, s sink) error {
	m, err := proc.Meminfo()
	if err != nil {
		return fmt.Errorf("read memory statistics: %w", err)
	}
	for name, v := range map[string]*uint64{
		"MemTotal_bytes": m.MemTotalBytes, "MemFree_bytes": m.MemFreeBytes, "MemAvailable_bytes": m.MemAvailableBytes,
		"Buffers_bytes": m.BuffersBytes, "Cached_bytes": m.CachedBytes, "SwapCached_bytes": m.SwapCachedBytes,
		"Active_bytes": m.ActiveBytes, "Inactive_bytes": m.InactiveBytes, "Active_anon_bytes": m.ActiveAnonBytes,
		"Inactive_anon_bytes": m.InactiveAnonBytes, "Active_file_bytes": m.ActiveFileBytes, "Inactive_file_bytes": m.InactiveFileBytes,
		"Unevictable_bytes": m.UnevictableBytes, "Mlocked_bytes": m.MlockedBytes, "SwapTotal_bytes": m.SwapTotalBytes,
		"SwapFree_bytes": m.SwapFreeBytes, "Dirty_bytes": m.DirtyBytes, "Writeback_bytes": m.WritebackBytes,
		"AnonPages_bytes": m.AnonPagesBytes, "Mapped_bytes": m.MappedBytes, "Shmem_bytes": m.ShmemBytes, "Slab_bytes": m.SlabBytes,
		"SReclaimable_bytes": m.SReclaimableBytes, "SUnreclaim_bytes": m.SUnreclaimBytes, "KernelStack_bytes": m.KernelStackBytes,
		"PageTables_bytes": m.PageTablesBytes, "NFS_Unstable_bytes": m.NFSUnstableBytes, "Bounce_bytes": m.BounceBytes,
		"WritebackTmp_bytes": m.WritebackTmpBytes, "CommitLimit_bytes": m.CommitLimitBytes, "Committed_AS_bytes": m.CommittedASBytes,
		"VmallocTotal_bytes": m.VmallocTotalBytes, "VmallocUsed_bytes": m.VmallocUsedBytes, "VmallocChunk_bytes": m.VmallocChunkBytes,
		"Percpu_bytes": m.PercpuBytes, "HardwareCorrupted_bytes": m.HardwareCorruptedBytes, "AnonHugePages_bytes": m.AnonHugePagesBytes,
		"FileHugePages_bytes": m.FileHugePagesBytes, "ShmemHugePages_bytes": m.ShmemHugePagesBytes, "ShmemPmdMapped_bytes": m.ShmemPmdMappedBytes,
		"Hugepagesize_bytes": m.HugepagesizeBytes, "Hugetlb_bytes": m.HugetlbBytes, "DirectMap4k_bytes": m.DirectMap4kBytes,
		"DirectMap2M_bytes": m.DirectMap2MBytes, "DirectMap1G_bytes": m.DirectMap1GBytes, "Zswap_bytes": m.ZswapBytes, "Zswapped_bytes": m.ZswappedBytes,
		"HugePages_Total": m.HugePagesTotal, "HugePages_Free": m.HugePagesFree, "HugePages_Rsvd": m.HugePagesRsvd, "HugePages_Surp": m.HugePagesSurp,
	} {
		if v != nil {
			s.gauge("node_memory_"+name, "Memory information field "+name+".", float64(*v), nil)
		}
	}
	return nil
}

func (h *Host) readDisks(s sink) error {
	block, err := blockdevice.NewFS(h.cfg.Proc, h.cfg.Sys)
	if err != nil {
		return fmt.Errorf("open block device statistics: %w", err)
	}
	disks, err := block.ProcDiskstats()
	if err != nil {
		return fmt.Errorf("read disk statistics: %w", err)
	}
	for _, d := range disks {
		if !h.ignore.MatchString(d.DeviceName) {
			sendDisk(s, d)
		}
	}
	return nil
}

func sendDisk(s sink, d blockdevice.Diskstats) {
	l := []string{"device", d.DeviceName}
	const sector, milli = 512, 0.001
	count := func(name, help string, v uint64, unit float64) {
		s.counter("node_disk_"+name, help, float64(v)*unit, l)
	}
	count("reads_completed_total", "Reads completed.", d.ReadIOs, 1)
	count("reads_merged_total", "Reads merged.", d.ReadMerges, 1)
	count("read_bytes_total", "Bytes read.", d.ReadSectors, sector)
	count("read_time_seconds_total", "Seconds spent by all reads.", d.ReadTicks, milli)
	count("writes_completed_total", "Writes completed.", d.WriteIOs, 1)
	count("writes_merged_total", "Writes merged.", d.WriteMerges, 1)
	count("written_bytes_total", "Bytes written.", d.WriteSectors, sector)
	count("write_time_seconds_total", "Seconds spent by all writes.", d.WriteTicks, milli)
	s.gauge("node_disk_io_now", "I/Os in progress.", float64(d.IOsInProgress), l)
	count("io_time_seconds_total", "Seconds spent doing I/Os.", d.IOsTotalTicks, milli)
	count("io_time_weighted_seconds_total", "Weighted seconds spent doing I/Os.", d.WeightedIOTicks, milli)
	if d.IoStatsCount >= 18 { // kernel 4.18
		count("discards_completed_total", "Discards completed.", d.DiscardIOs, 1)
		count("discards_merged_total", "Discards merged.", d.DiscardMerges, 1)
		count("discarded_sectors_total", "Sectors discarded.", d.DiscardSectors, 1)
		count("discard_time_seconds_total", "Seconds spent by all discards.", d.DiscardTicks, milli)
	}
	if d.IoStatsCount >= 20 { // kernel 5.5
		count("flush_requests_total", "Flush requests completed.", d.FlushRequestsCompleted, 1)
		count("flush_requests_time_seconds_total", "Seconds spent by all flush requests.", d.TimeSpentFlushing, milli)
	}
}

// maxMounts bounds the file systems asked in one collection.
const maxMounts = 256

func (h *Host) readFilesystems(proc procfs.FS, s sink) error {
	mounts, err := proc.GetMounts()
	if err != nil {
		return fmt.Errorf("read mounts: %w", err)
	}
	seen := map[string]bool{}
	var wanted []*procfs.MountInfo
	for _, m := range mounts {
		if len(wanted) < maxMounts && !uninteresting(m) && !seen[m.MountPoint] {
			seen[m.MountPoint] = true
			wanted = append(wanted, m)
		}
	}
	var wg sync.WaitGroup
	for chunk := range slices.Chunk(wanted, 8) {
		for _, m := range chunk {
			wg.Go(func() { h.mounts.send(s, m) })
		}
		wg.Wait()
	}
	return nil
}

func readNetwork(proc procfs.FS, s sink) error {
	devices, err := proc.NetDev()
	if err != nil {
		return fmt.Errorf("read network statistics: %w", err)
	}
	for _, d := range devices {
		for name, v := range map[string]uint64{
			"receive_bytes": d.RxBytes, "receive_packets": d.RxPackets, "receive_errs": d.RxErrors, "receive_drop": d.RxDropped,
			"receive_fifo": d.RxFIFO, "receive_frame": d.RxFrame, "receive_compressed": d.RxCompressed, "receive_multicast": d.RxMulticast,
			"transmit_bytes": d.TxBytes, "transmit_packets": d.TxPackets, "transmit_errs": d.TxErrors, "transmit_drop": d.TxDropped,
			"transmit_fifo": d.TxFIFO, "transmit_colls": d.TxCollisions, "transmit_carrier": d.TxCarrier, "transmit_compressed": d.TxCompressed,
		} {
			s.counter("node_network_"+name+"_total", "Network device statistic "+name+".", float64(v), []string{"device", d.Name})
		}
	}
	return nil
}

func readLoad(proc procfs.FS, s sink) error {
	l, err := proc.LoadAvg()
	if err != nil {
		return fmt.Errorf("read load average: %w", err)
	}
	s.gauge("node_load1", "1m load average.", l.Load1, nil)
	s.gauge("node_load5", "5m load average.", l.Load5, nil)
	s.gauge("node_load15", "15m load average.", l.Load15, nil)
	return nil
}

func readPressure(proc procfs.FS, s sink) error {
	var found bool
	var first error
	for _, resource := range []string{"cpu", "io", "memory", "irq"} {
		p, err := proc.PSIStatsForResource(resource)
		if err != nil {
			if first == nil {
				first = fmt.Errorf("read pressure on %s: %w", resource, err)
			}
			continue
		}
		found = true
		// The kernel tells microseconds. For the CPU as a whole "full" is
		// undefined, for interrupts "some" is not told.
		if p.Some != nil {
			s.counter("node_pressure_"+resource+"_waiting_seconds_total", "Seconds in which some process waited for "+resource+".", float64(p.Some.Total)/1e6, nil)
		}
		if p.Full != nil && resource != "cpu" {
			s.counter("node_pressure_"+resource+"_stalled_seconds_total", "Seconds in which no process got on for want of "+resource+".", float64(p.Full.Total)/1e6, nil)
		}
	}
	if found {
		return nil
	}
	return first
}

func readSockets(proc procfs.FS, s sink) error {
	stat, err := proc.NetSockstat()
	if err != nil {
		return fmt.Errorf("read socket statistics: %w", err)
	}
	if stat.Used != nil {
		s.gauge("node_sockstat_sockets_used", "Sockets in use.", float64(*stat.Used), nil)
	}
	for _, p := range stat.Protocols {
		inuse := p.InUse
		for name, v := range map[string]*int{"inuse": &inuse, "orphan": p.Orphan, "tw": p.TW, "alloc": p.Alloc, "mem": p.Mem} {
			if v != nil {
				s.gauge("node_sockstat_"+p.Protocol+"_"+name, p.Protocol+" sockets in state "+name+".", float64(*v), nil)
			}
		}
	}
	return nil
}
