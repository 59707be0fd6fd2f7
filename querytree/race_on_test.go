//go:build race

package querytree_test

// underRace is whether the race detector is on. It looks for races, not for
// wrong answers, which the same tests find without it: so the largest suites
// run over a part of their cases.
const underRace = true

// raceShare is of how many of their cases one is looked at.
const raceShare = 4
