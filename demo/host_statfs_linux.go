package demo

import "syscall"

// statMount asks the file system mounted at path. It may block for as long as
// the file system does.
func statMount(path string) (usage, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		return usage{}, err
	}
	block := float64(s.Bsize)
	return usage{
		size: float64(s.Blocks) * block, free: float64(s.Bfree) * block, avail: float64(s.Bavail) * block,
		inodes: float64(s.Files), inodesFree: float64(s.Ffree),
	}, nil
}
