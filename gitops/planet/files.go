package planet

import (
	"errors"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Bounds of a repository.
const (
	// MaxFileBytes is the size of a file.
	MaxFileBytes = 1 << 20
	// MaxBytes is that of all files that are read.
	MaxBytes = 64 << 20
	// MaxFiles is their number.
	MaxFiles = 20_000

	maxEntries = 100_000 // of the folders looked at, files that are not read included
)

// mainFile is the one that there must be.
const mainFile = "planet.yaml"

// fileName is what a file may be called.
var fileName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.ya?ml$`)

// aside is what may be at the top of a repository beside configuration.
var aside = regexp.MustCompile(`^(\..*|.*\.md|LICENSE|NOTICE|OWNERS|CODEOWNERS|Makefile|docs)$`)

// file is a file of the repository.
type file struct {
	path  string
	layer string // folder of the layer: "", zones/NAME or clusters/NAME
	kind  Kind
	tier  Tier
	base  string // name without extension
	data  []byte
}

// reader reads the files of a repository.
type reader struct {
	fsys   fs.FS
	report *report
	files  []file
	names  map[string]string // paths by path without extension
	// overlays are the folders of zones and clusters.
	overlays []string
	bytes    int64
	entries  int
	full     bool // a bound of the whole is reached
}

// dir lists a folder, ordered by name.
func (r *reader) dir(name string) []fs.DirEntry {
	entries, err := fs.ReadDir(r.fsys, name)
	if err != nil {
		r.report.failf(place{file: name}, "the folder cannot be read: %v", err)
		return nil
	}
	if r.entries += len(entries); r.entries > maxEntries {
		if !r.full {
			r.report.failf(place{file: name}, "the repository has more than %d entries: move what is not configuration to another one", maxEntries)
		}
		r.full = true
		return nil
	}
	return entries
}

// all reads the repository. Ignored are top-level names that planet.yaml says to
// ignore.
func (r *reader) all(ignored []string) {
	for _, e := range r.dir(".") {
		switch name := e.Name(); {
		case name == mainFile && !e.Type().IsRegular():
			r.report.failf(place{file: name}, "it is not a plain file: links are not followed here")
		case name == mainFile || aside.MatchString(name) || slices.Contains(ignored, name):
		case name == "zones" || name == "clusters":
			if r.folder(name, e) {
				r.layers(name)
			}
		default:
			r.entry("", "", e)
		}
	}
}

// layers reads the overlays of zones or clusters.
func (r *reader) layers(folder string) {
	for _, e := range r.dir(folder) {
		name := path.Join(folder, e.Name())
		if strings.HasPrefix(e.Name(), ".") || !r.folder(name, e) {
			continue
		}
		r.overlays = append(r.overlays, name)
		for _, below := range r.dir(name) {
			r.entry(name, name, below)
		}
	}
}

// folder reports whether an entry is a folder, and says so if not.
func (r *reader) folder(name string, e fs.DirEntry) bool {
	if e.IsDir() {
		return true
	}
	r.report.failf(place{file: name}, "this must be a folder")
	return false
}

// folders says which kind of files a folder of a layer has.
func folders() map[string]Kind {
	return map[string]Kind{"scrape": Scrape, "rules": Rules, "rollups": Rollups, "aggregations": Aggregations, "limits": LimitsKind, "tests": Tests}
}

// entry reads a file or folder of a layer.
func (r *reader) entry(layer, parent string, e fs.DirEntry) {
	name := path.Join(parent, e.Name())
	kind, known := folders()[e.Name()]
	switch {
	case strings.HasPrefix(e.Name(), "."):
	case e.Name() == "prometheus.yml" || e.Name() == "prometheus.yaml":
		r.file(file{path: name, layer: layer, kind: Settings, tier: Leaf}, e)
	case kind == Tests && layer != "":
		r.report.failf(place{file: name}, "tests are not overlaid: move them to tests/ at the top, and say cluster: there")
	case kind == Rules && r.folder(name, e):
		r.tiers(layer, name)
	case known && kind != Rules:
		if r.folder(name, e) {
			for _, f := range r.dir(name) {
				r.file(file{path: path.Join(name, f.Name()), layer: layer, kind: kind, tier: Leaf}, f)
			}
		}
	case !known:
		r.unknown(layer, name, e)
	}
}

// unknown tells of a name that means nothing.
func (r *reader) unknown(layer, name string, e fs.DirEntry) {
	hint := meant(e.Name(), []string{"scrape", "rules", "rollups", "aggregations", "limits", "tests", "zones", "clusters", "prometheus.yml"})
	if hint == "" && layer == "" {
		hint = "; if it is not configuration, name it in ignore: of planet.yaml"
	}
	r.report.failf(place{file: name}, "nothing is known of this name%s", hint)
}

// tiers reads the folders below rules.
func (r *reader) tiers(layer, name string) {
	for _, e := range r.dir(name) {
		tier, below := Tier(e.Name()), path.Join(name, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), "."):
		case !slices.Contains(tiers(), tier):
			r.report.failf(place{file: below}, "rules are in %s/leaf, %s/zone or %s/root: move it there", name, name, name)
		case r.folder(below, e):
			for _, f := range r.dir(below) {
				r.file(file{path: path.Join(below, f.Name()), layer: layer, kind: Rules, tier: tier}, f)
			}
		}
	}
}

// file reads a file.
func (r *reader) file(f file, e fs.DirEntry) {
	base := path.Base(f.path)
	switch {
	case strings.HasPrefix(base, ".") || strings.HasSuffix(base, ".md"):
		return
	case !e.Type().IsRegular():
		r.report.failf(place{file: f.path}, "it is not a plain file: links and folders are not followed here")
		return
	case !fileName.MatchString(base):
		r.report.failf(place{file: f.path}, "call it by letters, digits, . _ and -, ending with .yml or .yaml")
		return
	case len(r.files) >= MaxFiles || r.bytes > MaxBytes:
		if !r.full {
			r.report.failf(place{file: f.path}, "the repository has more than %d files or %d bytes of configuration", MaxFiles, MaxBytes)
		}
		r.full = true
		return
	}
	f.base = strings.TrimSuffix(base, path.Ext(base))
	without := strings.TrimSuffix(f.path, path.Ext(f.path))
	if other, ok := r.names[without]; ok {
		r.report.failf(place{file: f.path}, "there is %s too: keep one of them", other)
		return
	}
	r.names[without] = f.path
	if f.kind == LimitsKind {
		if f.tier = Tier(f.base); !slices.Contains(tiers(), f.tier) {
			r.report.failf(place{file: f.path}, "limits are in leaf.yml, zone.yml and root.yml")
			return
		}
	}
	if !r.fits(f) {
		return
	}
	if f.data = r.read(f.path); f.data != nil {
		r.bytes += int64(len(f.data))
		r.files = append(r.files, f)
	}
}

// fits reports whether a layer may have something of a tier, and says so if not.
func (r *reader) fits(f file) bool {
	switch {
	case f.tier == Root && f.layer != "":
		r.report.failf(place{file: f.path}, "the root is above all zones and clusters: move it out of %s", f.layer)
	case f.tier == Zone && strings.HasPrefix(f.layer, "clusters/"):
		r.report.failf(place{file: f.path}, "a zone is above its clusters: move it to the zone's folder")
	default:
		return true
	}
	return false
}

// read returns the contents of a file, nil if that is not possible.
func (r *reader) read(name string) []byte {
	data, err := readFile(r.fsys, name)
	if err != nil {
		r.report.failf(place{file: name}, "%v", err)
		return nil
	}
	return data
}

func readFile(fsys fs.FS, name string) (_ []byte, err error) {
	f, err := fsys.Open(name)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return nil, errors.Join(errors.New("it cannot be read"), err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	data, err := io.ReadAll(io.LimitReader(f, MaxFileBytes+1))
	if err != nil {
		return nil, errors.Join(errors.New("it cannot be read"), err)
	}
	if len(data) > MaxFileBytes {
		return nil, errors.New("it has more than 1 MiB: split it")
	}
	if data == nil {
		data = []byte{}
	}
	return data, nil
}
