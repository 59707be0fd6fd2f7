package main

import (
	"os"
	"runtime"
)

// spareProcessor has a tier run one thread more at a time than there are
// processors: one is kept for light queries, whatever the heavy ones hold. Not
// where the environment says how many, nor where a control group's quota does:
// that would stop the process when it takes more.
func spareProcessor() {
	if n := runtime.GOMAXPROCS(0); os.Getenv("GOMAXPROCS") == "" && n == runtime.NumCPU() {
		runtime.GOMAXPROCS(n + 1)
	}
}
