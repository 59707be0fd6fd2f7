//go:build !race

package querytree_test

const underRace = false
