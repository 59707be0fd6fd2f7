package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// A query log that was renamed goes on in a new file once it is reopened, and
// what was there before is kept.
func TestQueryLogIsReopened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queries.log")
	if err := os.WriteFile(path, []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := openLogFile(path)
	if err != nil {
		t.Fatal(err)
	}
	log := queryLogger(l)
	log.Info("query", "id", "first")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	log.Info("query", "id", "second")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	lines := func(file string) (out []map[string]any) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(b) {
			var v map[string]any
			if err := json.Unmarshal(line, &v); err != nil {
				t.Fatalf("%s: %q: %v", file, line, err)
			}
			out = append(out, v)
		}
		return out
	}
	if old := lines(path + ".1"); len(old) != 2 || old[1]["id"] != "first" || old[1]["time"] == nil || len(old[1]) != 2 {
		t.Errorf("the old file has %v", old)
	}
	if fresh := lines(path); len(fresh) != 1 || fresh[0]["id"] != "second" {
		t.Errorf("the new file has %v", fresh)
	}
}

// A file that cannot be opened is named with its flag.
func TestQueryLogCannotBeOpened(t *testing.T) {
	n := &node{}
	path := filepath.Join(t.TempDir(), "missing", "queries.log")
	if err := n.logQueries(path); err == nil || !bytes.Contains([]byte(err.Error()), []byte("--query.log-file="+path)) {
		t.Errorf("error %v", err)
	}
}
