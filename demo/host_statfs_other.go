//go:build !linux

package demo

import "errors"

// statMount is never reached where there is no /proc to list mounts.
func statMount(string) (usage, error) { return usage{}, errors.ErrUnsupported }
