package main

import (
	"os"
	"path/filepath"
	"testing"
)

// The lowest limit counts, of the group and those it is in.
func TestCgroupMemory(t *testing.T) {
	for _, c := range []struct {
		name, self string
		files      map[string]string
		want       int64
	}{
		{"none", "0::/\n", nil, 0},
		{"version 2", "0::/a/b\n", map[string]string{"sys/fs/cgroup/a/b/memory.max": "1000000\n"}, 1_000_000},
		{"version 2, of the group around it", "0::/a/b\n", map[string]string{
			"sys/fs/cgroup/a/memory.max": "900000\n", "sys/fs/cgroup/a/b/memory.max": "max\n",
		}, 900_000},
		{"version 2, in a namespace", "0::/\n", map[string]string{"sys/fs/cgroup/memory.max": "800000\n"}, 800_000},
		{"version 1", "5:cpu,cpuacct:/x\n4:memory:/a\n", map[string]string{"sys/fs/cgroup/memory/a/memory.limit_in_bytes": "700000\n"}, 700_000},
		{"version 1, no limit", "4:memory:/\n", map[string]string{"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			for name, text := range c.files {
				path := filepath.Join(root, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if got := cgroupMemory(root, []byte(c.self)); got != c.want {
				t.Errorf("want %d, got %d", c.want, got)
			}
		})
	}
}
