package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kingpin/v2"
)

// flagsOfManifests are the flags that the manifests give each role, with their
// values, and the folders that are mounted for it.
func flagsOfManifests(t *testing.T) (flags map[string]map[string][]string, mounts map[string][]string) {
	t.Helper()
	var (
		role  = regexp.MustCompile(`component=(leaf|zone|root|gitops)\b|name: pando-(leaf|zone|root|gitops)\b`)
		flag  = regexp.MustCompile(`(?:- |value: )--([a-z][a-z0-9.-]*)(?:=([^\s}]*))?`)
		mount = regexp.MustCompile(`mountPath: ([^,}\s]+)`)
	)
	flags, mounts = map[string]map[string][]string{}, map[string][]string{}
	err := filepath.WalkDir("../../deploy", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(name) != ".yaml" {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		of := ""
		for line := range strings.Lines(string(data)) {
			if strings.HasPrefix(strings.TrimSpace(line), "#") {
				continue
			}
			if m := role.FindStringSubmatch(line); m != nil && (strings.Contains(line, "target:") || strings.HasPrefix(line, "  name:")) {
				of = m[1] + m[2]
			}
			for _, m := range flag.FindAllStringSubmatch(line, -1) {
				if flags[of] == nil {
					flags[of] = map[string][]string{}
				}
				flags[of][m[1]] = append(flags[of][m[1]], m[2])
			}
			for _, m := range mount.FindAllStringSubmatch(line, -1) {
				mounts[of] = append(mounts[of], m[1])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return flags, mounts
}

// Every argument of the manifests is a flag of the command that it is given to, and
// every file that one names is in a folder that is mounted.
func TestManifestsNameFlagsThatExist(t *testing.T) {
	app := kingpin.New("pando", "")
	for _, add := range []func(*kingpin.Application, streams) (string, command){leafCommand, zoneCommand, rootCommand, gitopsCommand} {
		add(app, streams{})
	}
	flags, mounts := flagsOfManifests(t)
	least := map[string]int{"leaf": 12, "zone": 12, "root": 12, "gitops": 12}
	for role, of := range flags {
		c := app.GetCommand(role)
		if c == nil {
			t.Errorf("arguments of %q: there is no such command: %v", role, of)
			continue
		}
		for name, values := range of {
			if c.GetFlag(name) == nil {
				t.Errorf("%s: there is no flag --%s", role, name)
			}
			for _, v := range values {
				inside := !strings.HasPrefix(v, "/")
				for _, m := range mounts[role] {
					inside = inside || v == m || strings.HasPrefix(v, m+"/")
				}
				if !inside {
					t.Errorf("%s: --%s=%s is in no folder that is mounted: %v", role, name, v, mounts[role])
				}
			}
		}
		if len(of) < least[role] {
			t.Errorf("%s: only %d flags were found", role, len(of))
		}
		delete(least, role)
	}
	if len(least) > 0 {
		t.Errorf("no arguments were found of %v", least)
	}
}
