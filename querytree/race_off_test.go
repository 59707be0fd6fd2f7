//go:build !race

package querytree_test

const (
	underRace = false
	raceShare = 1
)
