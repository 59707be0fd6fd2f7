package ruletest_test

import (
	"testing"
	"testing/fstest"

	"github.com/pandometrics/pando/gitops/planet"
	"github.com/pandometrics/pando/gitops/ruletest"
)

// The starter is a planet that nothing is wrong with, tests of its rules included.
func TestStarter(t *testing.T) {
	files, err := planet.Starter()
	if err != nil {
		t.Fatal(err)
	}
	fsys := fstest.MapFS{}
	for name, data := range files {
		fsys[name] = &fstest.MapFile{Data: data}
	}
	if _, problems := planet.Validate(fsys, planet.CheckOptions{Tests: ruletest.Runner{}}); len(problems) > 0 {
		t.Errorf("\n%v", problems)
	}
}
