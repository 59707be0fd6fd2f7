package main

import (
	"bufio"
	"bytes"
	"math"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/alecthomas/units"
)

// processMemory returns the memory that the process may use, in bytes:
// GOMEMLIMIT, or nine tenths of what its control group may, the rest being for
// what is not Go's. It is zero if there is no limit.
func processMemory(root string) int64 {
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		return limit
	}
	self, err := os.ReadFile(path.Join(root, "proc/self/cgroup"))
	if err != nil {
		return 0
	}
	return cgroupMemory(root, self) / 10 * 9
}

// cgroupMemory returns the lowest memory limit of a control group and those it is
// in, of either version of the interface; zero if there is none.
func cgroupMemory(root string, self []byte) int64 {
	lowest := int64(math.MaxInt64)
	for s := bufio.NewScanner(bytes.NewReader(self)); s.Scan(); {
		parts := strings.SplitN(s.Text(), ":", 3)
		if len(parts) != 3 {
			continue
		}
		dir, file := "sys/fs/cgroup", "memory.max"
		if strings.Contains(","+parts[1]+",", ",memory,") {
			dir, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		} else if parts[1] != "" {
			continue
		}
		for group := path.Clean("/" + parts[2]); ; group = path.Dir(group) {
			if n, ok := readLimit(path.Join(root, dir, group, file)); ok {
				lowest = min(lowest, n)
			}
			if group == "/" {
				break
			}
		}
	}
	if lowest >= noLimit {
		return 0
	}
	return lowest
}

// noLimit is more memory than any machine has; version 1 of control groups
// writes a number near 2^63 for none.
const noLimit = 1 << 60

func readLimit(file string) (int64, bool) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	return n, err == nil && n > 0
}

// fallbackMemory is taken for the process's memory, as far as defaults depend on
// it, where there is no limit.
const fallbackMemory = 4 << 30

// bytesText writes a number of bytes as a flag's default.
func bytesText(n int64) string { return units.Base2Bytes(n / (1 << 20) * (1 << 20)).String() }
