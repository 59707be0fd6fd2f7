package kube

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func noise(n int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(r.Uint32())
	}
	return out
}

func TestPack(t *testing.T) {
	for _, test := range []struct {
		name  string
		files map[string][]byte
		parts int
	}{
		{"text", map[string][]byte{"prometheus.yml": []byte("a"), "rules/a.yml": []byte("b"), "rules_a.yml": []byte("c")}, 1},
		{"empty", map[string][]byte{"prometheus.yml": {}}, 1},
		{"binary", map[string][]byte{"x": {0xff, 0xfe}}, 1},
		{"large text", map[string][]byte{"rules/a.yml": bytes.Repeat([]byte("- alert: x\n"), 300_000)}, 1},
		{"several parts", map[string][]byte{"a": noise(600_000, 1), "b": noise(600_000, 2), "c": noise(600_000, 3)}, 3},
		{"names", map[string][]byte{"a/ü": []byte("1"), "a/ö": []byte("2"), "index.json": []byte("3"), strings.Repeat("x", 300): []byte("4")}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := pack("leaf", test.files)
			if err != nil {
				t.Fatal(err)
			}
			if len(c.parts) != test.parts {
				t.Errorf("%d parts, want %d", len(c.parts), test.parts)
			}
			for i, p := range c.parts {
				size := 0
				for k, v := range p.text {
					size += len(k) + len(v)
				}
				for k, v := range p.binary {
					size += len(k) + len(v)
				}
				if size > 1<<20 {
					t.Errorf("part %d has %d bytes", i, size)
				}
			}
			got, err := unpack(c.address, c.parts)
			if err != nil {
				t.Fatal(err)
			}
			if !maps.EqualFunc(got, test.files, bytes.Equal) {
				t.Error("what is unpacked is not what was packed")
			}
			again, err := pack("leaf", test.files)
			if err != nil || again.address != c.address {
				t.Errorf("address %s, then %s, error %v", c.address, again.address, err)
			}
		})
	}
}

func TestPackRefuses(t *testing.T) {
	many := map[string][]byte{}
	for i := range 40 {
		many[fmt.Sprint(i)] = noise(700_000, uint64(i))
	}
	for name, files := range map[string]map[string][]byte{"a file too large": {"a": noise(1<<20, 1)}, "too much": many} {
		if _, err := pack("leaf", files); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Whatever is changed is noticed.
func TestUnpackAltered(t *testing.T) {
	pristine := func() *content {
		c, err := pack("leaf", map[string][]byte{"a.yml": []byte("a"), "big": bytes.Repeat([]byte("x"), 200_000)})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for name, change := range map[string]func(c *content){
		"address":       func(c *content) { c.address = sum(nil) },
		"text":          func(c *content) { c.parts[0].text["a.yml"] = "b" },
		"removed":       func(c *content) { delete(c.parts[0].text, "a.yml") },
		"binary":        func(c *content) { c.parts[0].binary["big"][30] ^= 1 },
		"not packed":    func(c *content) { c.parts[0].binary["big"] = []byte("x") },
		"another file":  func(c *content) { b, _ := compress([]byte("y")); c.parts[0].binary["big"] = b },
		"index":         func(c *content) { c.parts[0].text[indexKey] = `{"files":[]}` },
		"no parts":      func(c *content) { c.parts = nil },
		"climbing path": func(c *content) { climb(c, `{"files":[{"path":"../a","key":"a.yml"}]}`) },
		"part missing":  func(c *content) { climb(c, `{"files":[{"path":"a","key":"a.yml","part":7}]}`) },
	} {
		c := pristine()
		change(c)
		if _, err := unpack(c.address, c.parts); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func climb(c *content, index string) {
	c.parts[0].text[indexKey] = index
	c.address = sum([]byte(index))
}

func TestFolders(t *testing.T) {
	got := folders(map[string][]byte{"leaf/a/b": nil, "zone/eu/rules/x": nil, "zone/us/y": nil, "root/z": nil, "stray": nil})
	keys := map[string][]string{}
	for f, files := range got {
		for name := range files {
			keys[f] = append(keys[f], name)
		}
	}
	want := map[string][]string{"leaf": {"a/b"}, "zone/eu": {"rules/x"}, "zone/us": {"y"}, "root": {"z"}}
	if d := cmp.Diff(want, keys); d != "" {
		t.Error(d)
	}
}
