package planet

import (
	"errors"
	"io/fs"

	yaml "go.yaml.in/yaml/v3"
)

// Load reads a repository. The error is of type Problems, and tells all that is
// wrong with the files by themselves; what is wrong with what they say is for
// Check. The Planet keeps nothing of fsys.
func Load(fsys fs.FS) (*Planet, error) {
	p := load(fsys)
	if p.report.failed() {
		return nil, p.report.problems()
	}
	return p, nil
}

// Validate reads a repository and checks it, and returns everything that is wrong,
// where Load followed by Check would end with what Load finds. The Planet is nil
// if Load would not return one.
func Validate(fsys fs.FS, opts CheckOptions) (*Planet, Problems) {
	p := load(fsys)
	broken := p.report.failed()
	if len(p.byName) > 0 {
		p.check(opts, p.report)
	}
	if broken {
		return nil, p.report.problems()
	}
	return p, p.report.problems()
}

func load(fsys fs.FS) *Planet {
	p := &Planet{
		zones: map[string]*zone{}, byName: map[string]*cluster{}, misplaced: map[string]bool{},
		layers: map[string]*layer{"": {by: map[key]*item{}}}, stacks: map[string]*stack{}, report: newReport(), cache: newCache(), templates: map[int]*template{},
	}
	forms, err := schemas()
	if err != nil {
		p.report.failf(place{}, "%v", err)
		return p
	}
	doc := p.main(fsys, forms[Main])
	r := &reader{fsys: fsys, report: p.report, names: map[string]string{}}
	r.all(ignored(doc))
	p.checkOverlays(r.overlays)
	next := 0
	for _, f := range r.files {
		before := len(p.report.all)
		n := fitting(f, forms[f.kind], p.report)
		if len(p.report.all) > before {
			p.broken = true
		}
		switch {
		case n == nil:
		case f.kind == Tests:
			p.addTests(f, n)
		default:
			p.add(f, n, &next)
		}
	}
	p.broken = p.broken || p.report.failed()
	p.mergeAll()
	p.prepare()
	return p
}

// main reads planet.yaml.
func (p *Planet) main(fsys fs.FS, form *schema) *yaml.Node {
	var data []byte
	info, err := fs.Stat(fsys, mainFile)
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is not a plain file")
	}
	if err == nil {
		data, err = readFile(fsys, mainFile)
	}
	if err != nil {
		text := err.Error()
		if errors.Is(err, fs.ErrNotExist) {
			text = "there is no such file: a planet begins with it; pando config init DIR writes one"
		}
		p.report.failf(place{file: mainFile}, "%s", text)
		return nil
	}
	doc := fitting(file{path: mainFile, kind: Main, data: data}, form, p.report)
	if doc != nil {
		p.build(doc)
	} else {
		p.broken = true
	}
	return doc
}

// ignored returns what planet.yaml says not to read.
func ignored(doc *yaml.Node) (out []string) {
	for _, n := range items(doc, "ignore") {
		out = append(out, n.Value)
	}
	return out
}

// fitting parses a file that must fit a schema. It returns nil if it does not, or
// is empty.
func fitting(f file, form *schema, r *report) *yaml.Node {
	failed := len(r.all)
	n := document(f.path, f.data, r)
	if n == nil {
		if len(r.all) == failed && f.kind == Main {
			r.failf(place{file: f.path}, "it is empty")
		}
		return nil
	}
	faults := form.check(n)
	for _, fault := range faults {
		r.failf(place{f.path, fault.node.Line, fault.node.Column}, "%s", fault.text)
	}
	if len(faults) > 0 {
		return nil
	}
	return n
}
