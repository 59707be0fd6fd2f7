package source

import (
	"bytes"
	"encoding/hex"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-git/go-git/v5/plumbing"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// The modes of git that are accepted. 100664 is of old repositories.
const (
	modeFolder     = "40000"
	modeFile       = "100644"
	modeGroupFile  = "100664"
	modeExecutable = "100755"
	modeSymlink    = "120000"
	modeSubmodule  = "160000"
)

// reader reads a tree into memory.
type reader struct {
	objects *objects
	limits  Limits
	files   map[string][]byte
	size    int64
	trees   int
}

// readTree returns the files below a tree, by slash-separated path.
func (o *objects) readTree(hash string, l Limits) (map[string][]byte, error) {
	r := &reader{objects: o, limits: l, files: map[string][]byte{}}
	if err := r.folder("", hash, 0); err != nil {
		return nil, err
	}
	return r.files, nil
}

func (r *reader) folder(dir, hash string, depth int) error {
	// The same few trees can nest to a forest without end.
	if r.trees++; r.trees > r.limits.Files {
		return fail(ReasonTooLarge, "more than %d folders", r.limits.Files)
	}
	if depth > r.limits.Depth {
		return fail(ReasonTooLarge, "folder %q is nested deeper than %d", dir, r.limits.Depth)
	}
	data, err := r.objects.get(hash, plumbing.TreeObject)
	if err != nil {
		return err
	}
	folded := map[string]string{}
	for len(data) > 0 {
		e, rest, ok := nextEntry(data)
		if !ok {
			return fail(ReasonCorrupt, "folder %q cannot be read", dir)
		}
		data = rest
		if err := checkName(dir, e.name); err != nil {
			return err
		}
		key := fold(e.name)
		if other, ok := folded[key]; ok {
			return fail(ReasonTree, "folder %q has %q and %q, which are one name on some file systems: rename one", dir, other, e.name)
		}
		folded[key] = e.name
		if err := r.entry(path.Join(dir, e.name), e, depth); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) entry(name string, e entry, depth int) error {
	switch e.mode {
	case modeFolder:
		return r.folder(name, e.hash, depth+1)
	case modeFile, modeGroupFile, modeExecutable:
		return r.file(name, e.hash)
	case modeSymlink:
		return fail(ReasonTree, "%q is a symbolic link: replace it by the file itself", name)
	case modeSubmodule:
		return fail(ReasonTree, "%q is a submodule: put its files into this repository", name)
	default:
		return fail(ReasonTree, "%q has mode %s: only plain files and folders are read", name, e.mode)
	}
}

func (r *reader) file(name, hash string) error {
	if len(r.files) >= r.limits.Files {
		return fail(ReasonTooLarge, "more than %d files", r.limits.Files)
	}
	data, err := r.objects.get(hash, plumbing.BlobObject)
	if err != nil {
		return err
	}
	if int64(len(data)) > r.limits.File {
		return fail(ReasonTooLarge, "file %q has %d bytes, more than the limit of %d", name, len(data), r.limits.File)
	}
	if r.size += int64(len(data)); r.size > r.limits.Total {
		return fail(ReasonTooLarge, "the files hold more than %d bytes", r.limits.Total)
	}
	r.files[name] = data
	return nil
}

type entry struct{ mode, name, hash string }

// nextEntry parses MODE SP NAME NUL HASH, as tree objects hold them.
func nextEntry(data []byte) (entry, []byte, bool) {
	end := bytes.IndexByte(data, 0)
	if end < 0 || len(data) < end+21 {
		return entry{}, nil, false
	}
	mode, name, ok := strings.Cut(string(data[:end]), " ")
	return entry{strings.TrimLeft(mode, "0"), name, hex.EncodeToString(data[end+1 : end+21])}, data[end+21:], ok
}

// maxName is what file systems allow.
const maxName = 255

// checkName refuses names that would lead out of a folder, or into git's own,
// if somebody wrote them to a disk.
func checkName(dir, name string) error {
	bad := func(why string) error {
		return fail(ReasonTree, "folder %q has an entry named %.80q, which %s", dir, name, why)
	}
	switch {
	case name == "" || name == "." || name == "..":
		return bad("is not a name")
	case strings.ContainsAny(name, `/\`):
		return bad("holds a slash or a backslash")
	case !utf8.ValidString(name):
		return bad("is not UTF-8")
	case strings.ContainsFunc(name, func(c rune) bool { return unicode.IsControl(c) || unicode.Is(unicode.Cf, c) }):
		return bad("holds characters that cannot be seen")
	case len(name) > maxName:
		return bad("is too long")
	case fold(name) == ".git" || strings.HasPrefix(fold(name), "git~"):
		return bad("is git's own")
	case strings.TrimRight(name, " .") != name:
		return bad("ends in a dot or a space")
	}
	return nil
}

// fold makes one string of names that some file system takes for the same.
func fold(name string) string { return cases.Fold().String(norm.NFKC.String(name)) }
