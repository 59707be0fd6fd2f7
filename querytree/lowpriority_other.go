//go:build !linux

package querytree

// hasThreadPriority: a priority is that of a process.
const hasThreadPriority = false

func lowerThread() error { return nil }
