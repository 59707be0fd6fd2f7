package kube

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of content. A ConfigMap may hold 1 MiB.
const (
	maxPart    = 900_000
	maxPlain   = 128 << 10 // larger files are compressed
	maxParts   = 32
	maxContent = 64 << 20 // uncompressed
	indexKey   = "index.json"
)

// part is the data of one ConfigMap.
type part struct {
	text   map[string]string
	binary map[string][]byte
	size   int
}

// content is what one folder of a bundle holds, as ConfigMaps.
type content struct {
	// address is the hex SHA-256 of the index, and thus of everything.
	address string
	parts   []part
}

// index tells where files are. It lies in the first part.
type index struct {
	Files []indexed `json:"files"`
}

// indexed is one file.
type indexed struct {
	Path string `json:"path"`
	Part int    `json:"part"`
	// Key is the file's in the part, for a key cannot hold a slash.
	Key    string `json:"key"`
	SHA256 string `json:"sha256"`
	Gzip   bool   `json:"gzip,omitempty"`
}

// pack distributes files over parts. The same files always give the same parts.
func pack(folder string, files map[string][]byte) (*content, error) {
	c := &content{parts: []part{{text: map[string]string{}, binary: map[string][]byte{}}}}
	var ix index
	used := map[string]bool{indexKey: true}
	reserve := 0 // the index is in the first part
	for name := range files {
		reserve += len(name)*2 + 160
	}
	c.parts[0].size = reserve
	for _, name := range slices.Sorted(maps.Keys(files)) {
		e := indexed{Path: name, Key: keyOf(name, used), SHA256: sum(files[name])}
		data := files[name]
		if e.Gzip = len(data) > maxPlain; e.Gzip {
			var err error
			if data, err = compress(data); err != nil {
				return nil, fmt.Errorf("compress %s/%s: %w", folder, name, err)
			}
		}
		if len(data) > maxPart || reserve > maxPart {
			return nil, fmt.Errorf("%s/%s: %d bytes, %d compressed, among %d files: a ConfigMap holds %d; divide it over several files, or have fewer", folder, name, len(files[name]), len(data), len(files), maxPart)
		}
		e.Part = c.place(e, data)
		ix.Files = append(ix.Files, e)
	}
	if len(c.parts) > maxParts {
		return nil, fmt.Errorf("folder %s takes %d ConfigMaps, more than the %d that are allowed", folder, len(c.parts), maxParts)
	}
	text, err := json.Marshal(ix)
	if err != nil {
		return nil, fmt.Errorf("index of folder %s: %w", folder, err)
	}
	c.parts[0].text[indexKey] = string(text)
	c.address = sum(text)
	return c, nil
}

// place puts data into the last part, or into a new one, and returns which.
func (c *content) place(e indexed, data []byte) int {
	last := len(c.parts) - 1
	if c.parts[last].size+len(data)+len(e.Key) > maxPart {
		c.parts = append(c.parts, part{text: map[string]string{}, binary: map[string][]byte{}})
		last++
	}
	p := &c.parts[last]
	p.size += len(data) + len(e.Key)
	if !e.Gzip && utf8.Valid(data) {
		p.text[e.Key] = string(data)
	} else {
		p.binary[e.Key] = data
	}
	return last
}

// keyOf returns a key of a ConfigMap for a path, for people to recognise.
func keyOf(name string, used map[string]bool) string {
	key := strings.Map(func(r rune) rune {
		if r < utf8.RuneSelf && (r == '-' || r == '.' || r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z') {
			return r
		}
		return '_'
	}, name)
	key = key[max(0, len(key)-200):] // 253 are allowed
	for i, base := 2, key; used[key] || key == "." || key == ".."; i++ {
		key = base + "_" + strconv.Itoa(i)
	}
	used[key] = true
	return key
}

// unpack returns the files of parts, after checking all of it against the
// address.
func unpack(address string, parts []part) (map[string][]byte, error) {
	if len(parts) == 0 {
		return nil, errors.New("content has no parts")
	}
	text := parts[0].text[indexKey]
	if sum([]byte(text)) != address {
		return nil, fmt.Errorf("content is not what its address %.16s says", address)
	}
	var ix index
	if err := json.Unmarshal([]byte(text), &ix); err != nil {
		return nil, fmt.Errorf("index of content %.16s: %w", address, err)
	}
	files, left := make(map[string][]byte, len(ix.Files)), int64(maxContent)
	for _, e := range ix.Files {
		if e.Part < 0 || e.Part >= len(parts) || !fs.ValidPath(e.Path) {
			return nil, fmt.Errorf("content %.16s: %q of part %d of %d cannot be", address, e.Path, e.Part, len(parts))
		}
		data, err := parts[e.Part].file(e, left)
		if err != nil {
			return nil, fmt.Errorf("content %.16s: file %s: %w", address, e.Path, err)
		}
		left -= int64(len(data))
		files[e.Path] = data
	}
	return files, nil
}

// file returns a file of at most so many bytes.
func (p part) file(e indexed, limit int64) ([]byte, error) {
	data, ok := p.binary[e.Key]
	if s, isText := p.text[e.Key]; isText {
		data, ok = []byte(s), true
	}
	if !ok {
		return nil, fmt.Errorf("key %s is missing", e.Key)
	}
	if e.Gzip {
		r, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, err
		}
		if data, err = io.ReadAll(io.LimitReader(r, limit+1)); err != nil {
			return nil, err
		}
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("more than %d bytes together", maxContent)
	}
	if sum(data) != e.SHA256 {
		return nil, errors.New("it is not what its checksum says")
	}
	return data, nil
}

func compress(data []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func sum(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}

// folders divides a bundle's files by who reads them: leaf, root, and each zone.
func folders(files map[string][]byte) map[string]map[string][]byte {
	out := map[string]map[string][]byte{}
	for name, data := range files {
		folder, rest, ok := strings.Cut(name, "/")
		if folder == "zone" {
			var zone string
			if zone, rest, ok = strings.Cut(rest, "/"); ok {
				folder += "/" + zone
			}
		}
		if !ok {
			continue // belongs to nobody
		}
		if out[folder] == nil {
			out[folder] = map[string][]byte{}
		}
		out[folder][rest] = data
	}
	return out
}
