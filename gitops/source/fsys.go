package source

import (
	"bytes"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// files is a read-only file system in memory. It is safe for concurrent use.
type files struct {
	content map[string][]byte
	folders map[string][]fs.DirEntry // sorted by name; "." is the root
	when    time.Time
}

func newFiles(content map[string][]byte, when time.Time) *files {
	f := &files{content: content, folders: map[string][]fs.DirEntry{".": nil}, when: when}
	for name, data := range content {
		f.add(info{name: path.Base(name), size: int64(len(data)), when: when}, name)
	}
	for _, entries := range f.folders {
		slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	}
	return f
}

// add enters a file or folder into its folder, and that into its own.
func (f *files) add(i info, name string) {
	dir := path.Dir(name)
	if _, ok := f.folders[dir]; !ok {
		f.folders[dir] = nil
		f.add(info{name: path.Base(dir), dir: true, when: i.when}, dir)
	}
	f.folders[dir] = append(f.folders[dir], i)
}

// Open implements fs.FS.
func (f *files) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	if data, ok := f.content[name]; ok {
		return &openFile{info{name: path.Base(name), size: int64(len(data)), when: f.when}, bytes.NewReader(data)}, nil
	}
	if entries, ok := f.folders[name]; ok {
		return &openFolder{info: info{name: path.Base(name), dir: true, when: f.when}, entries: entries}, nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// ReadFile implements fs.ReadFileFS. It returns a copy: the revision stays.
func (f *files) ReadFile(name string) ([]byte, error) {
	if data, ok := f.content[name]; ok {
		return slices.Clone(data), nil
	}
	if _, ok := f.folders[name]; ok || !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrInvalid}
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

type info struct {
	name string
	size int64
	dir  bool
	when time.Time
}

func (i info) Name() string               { return i.name }
func (i info) Size() int64                { return i.size }
func (i info) ModTime() time.Time         { return i.when }
func (i info) IsDir() bool                { return i.dir }
func (i info) Sys() any                   { return nil }
func (i info) Type() fs.FileMode          { return i.Mode().Type() }
func (i info) Info() (fs.FileInfo, error) { return i, nil }
func (i info) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | 0o555
	}
	return 0o444
}

type openFile struct {
	info info
	*bytes.Reader
}

func (o *openFile) Stat() (fs.FileInfo, error) { return o.info, nil }
func (o *openFile) Close() error               { return nil }

type openFolder struct {
	info    info
	entries []fs.DirEntry
	at      int
}

func (o *openFolder) Stat() (fs.FileInfo, error) { return o.info, nil }
func (o *openFolder) Close() error               { return nil }
func (o *openFolder) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: o.info.name, Err: fs.ErrInvalid}
}

// ReadDir implements fs.ReadDirFile.
func (o *openFolder) ReadDir(n int) ([]fs.DirEntry, error) {
	rest := o.entries[o.at:]
	if n > 0 && len(rest) == 0 {
		return nil, io.EOF
	}
	if n > 0 && len(rest) > n {
		rest = rest[:n]
	}
	o.at += len(rest)
	return slices.Clone(rest), nil
}
