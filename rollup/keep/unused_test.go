package keep

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// entries are the names in the directory.
func (k *tierOf) entries() (out []string) {
	k.tb.Helper()
	entries, err := os.ReadDir(k.dir)
	k.must(err)
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func (k *tierOf) has(name string) bool {
	_, err := os.Stat(filepath.Join(k.dir, name))
	return err == nil
}

// What no rule keeps any more goes after a while, not before, be the tier restarted
// or not; and the retention can be used again.
func TestUnusedRetentionGoes(t *testing.T) {
	const longer = "rollups: [{name: r, expr: sum by (job) (x), interval: 10s, keep: {root: {for: 3h}}}]"
	for name, restart := range map[string]bool{"running": false, "restarted": true} {
		t.Run(name, func(t *testing.T) {
			k := collected(t, hourRule)
			k.rules = longer
			k.setRules(longer)
			round := func(d time.Duration) {
				t.Helper()
				k.pass(d)
				if restart {
					k.again(k.dir)
				}
				k.must(k.collect())
			}
			round(sweepEvery)
			round(sweepEvery)
			if !k.has("1h") || !k.has("3h") {
				t.Fatalf("at once there is %q", k.entries())
			}
			// Back before the time: it begins anew.
			k.rules = hourRule
			k.setRules(hourRule)
			round(sweepEvery)
			k.check("back")
			k.rules = longer
			k.setRules(longer)
			round(sweepEvery)
			round(50 * time.Minute)
			if !k.has("1h") {
				t.Fatalf("too early there is %q", k.entries())
			}
			round(sweepEvery)
			round(sweepEvery)
			if k.has("1h") || k.has("1h.gone") || k.has("1h.unused") || !k.has("3h") || !k.has("past.json") {
				t.Errorf("after an hour there is %q", k.entries())
			}
			k.check("gone")
			k.rules = hourRule
			k.setRules(hourRule)
			round(time.Minute)
			k.pass(time.Minute)
			k.must(k.collect())
			k.check("used again")
			if st := k.status(); st.Whole == 0 || st.Absent > 0 {
				t.Errorf("%d whole, %d absent", st.Whole, st.Absent)
			}
		})
	}
}

// What is not a TSDB of rollups stays, and what a crash left goes.
func TestUnusedIsCareful(t *testing.T) {
	k := collected(t, hourRule)
	for _, name := range []string{"60m", "lost+found", "1w.gone", "2h"} { // 60m is not what a retention is called
		k.must(os.MkdirAll(filepath.Join(k.dir, name), 0o777))
	}
	k.must(os.WriteFile(filepath.Join(k.dir, "2h.unused"), []byte("2026-0"), 0o666))
	k.pass(sweepEvery)
	k.must(k.collect())
	k.pass(110 * time.Minute)
	k.must(k.collect())
	if !k.has("60m") || !k.has("lost+found") || !k.has("2h") || k.has("1w.gone") {
		t.Errorf("there is %q", k.entries())
	}
	k.pass(sweepEvery)
	k.must(k.collect())
	if k.has("2h") {
		t.Errorf("there is %q", k.entries())
	}
}
