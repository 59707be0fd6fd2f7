package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/alecthomas/kingpin/v2"

	gitplanet "github.com/pandometrics/pando/gitops/planet"
)

// configCommand returns the command that all about configuration repositories is
// below.
func configCommand(app *kingpin.Application) *kingpin.CmdClause {
	if c := app.GetCommand("config"); c != nil {
		return c
	}
	return app.Command("config", "A repository that describes a planet.")
}

// configInitCommand writes a planet to begin with.
func configInitCommand(app *kingpin.Application, out streams) (string, command) {
	c := configCommand(app).Command("init", "Write a small planet with comments, to begin a repository with. It does not overwrite anything.")
	dir := c.Arg("dir", "Directory, which must be empty but for .git, or not be there.").Required().String()
	return c.FullCommand(), func(context.Context) error {
		files, err := gitplanet.Starter()
		if err != nil {
			return err
		}
		if err := emptyDir(*dir); err != nil {
			return err
		}
		if err := writeFiles(*dir, files); err != nil {
			return err
		}
		_, err = fmt.Fprintf(out.out, "%s has a planet of two zones. Make it yours, beginning with planet.yaml, and check it:\n  pando check planet %s\n", *dir, *dir)
		return err
	}
}

// emptyDir reports whether a directory is not there, or has nothing but what a new
// repository has.
func emptyDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if name := e.Name(); name != ".git" && name != "README.md" && name != "LICENSE" {
			return fmt.Errorf("%s is not empty: there is %s; name another directory", dir, name)
		}
	}
	return nil
}

// writeFiles writes files by slash path.
func writeFiles(dir string, files map[string][]byte) error {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		at := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(at, files[name], 0o644); err != nil {
			return err
		}
	}
	return nil
}

// configSchemaCommand prints a schema.
func configSchemaCommand(app *kingpin.Application, out streams) (string, command) {
	c := configCommand(app).Command("schema", "Print the JSON schema of a kind of file, for editors.")
	var kinds []string
	for _, k := range gitplanet.Kinds() {
		kinds = append(kinds, string(k))
	}
	kind := c.Arg("kind", strings.Join(kinds, ", ")+".").Required().Enum(kinds...)
	return c.FullCommand(), func(context.Context) error {
		text, err := gitplanet.Schema(gitplanet.Kind(*kind))
		if err != nil {
			return err
		}
		_, err = out.out.Write(append(bytes.TrimRight(text, "\n"), '\n'))
		return err
	}
}

// readRepository reads a repository in a directory. Nothing outside of it is read,
// whatever links there are.
func readRepository(dir string, read func(fs.FS) error) (err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	return read(root.FS())
}

// loadPlanet reads a planet in a directory.
func loadPlanet(dir string) (p *gitplanet.Planet, err error) {
	err = readRepository(dir, func(fsys fs.FS) error {
		p, err = gitplanet.Load(fsys)
		return err
	})
	return p, err
}

// configRenderCommand writes what a cluster gets.
func configRenderCommand(app *kingpin.Application, out streams) (string, command) {
	c := configCommand(app).Command("render", "Write the configuration of one cluster, as it would be delivered.")
	cluster := c.Flag("cluster", "Name of the cluster.").Required().String()
	to := c.Flag("output", "Directory to write the files to, new or written by this command before; all on stdout if empty.").Short('o').String()
	dir := c.Arg("dir", "Directory of the repository.").Default(".").String()
	return c.FullCommand(), func(context.Context) error {
		p, err := loadPlanet(*dir)
		if err != nil {
			return tell(out, err)
		}
		b, err := p.Render(*cluster)
		if err != nil {
			return tell(out, err)
		}
		if *to != "" {
			return writeBundle(*to, b)
		}
		return printBundle(out, b)
	}
}

// printBundle writes all files, each after a line with its name.
func printBundle(out streams, b *gitplanet.Bundle) error {
	var all bytes.Buffer
	fmt.Fprintf(&all, "# cluster %s of zone %s: %s\n", b.Cluster, b.Zone, b.Hash)
	for _, name := range slices.Sorted(maps.Keys(b.Files)) {
		fmt.Fprintf(&all, "---\n# %s\n", name)
		all.Write(b.Files[name])
	}
	if b.Deploy != nil {
		text, err := json.MarshalIndent(b.Deploy, "", "  ")
		if err != nil {
			return err
		}
		fmt.Fprintf(&all, "---\n# workloads\n%s\n", text)
	}
	_, err := out.out.Write(all.Bytes())
	return err
}

// bundleFile tells what is in a directory that a bundle was written to.
const bundleFile = "bundle.json"

// written is the contents of bundleFile.
type written struct {
	Cluster string            `json:"cluster"`
	Zone    string            `json:"zone"`
	Hash    string            `json:"hash"`
	Files   []string          `json:"files"`
	Deploy  *gitplanet.Deploy `json:"deploy,omitempty"`
}

// writeBundle writes a bundle to a directory, and removes what an earlier one had
// there.
func writeBundle(dir string, b *gitplanet.Bundle) error {
	old, err := writtenBefore(dir)
	if err != nil {
		return err
	}
	for _, name := range old {
		if _, ok := b.Files[name]; !ok && filepath.IsLocal(filepath.FromSlash(name)) {
			if err := os.Remove(filepath.Join(dir, filepath.FromSlash(name))); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	text, err := json.MarshalIndent(written{b.Cluster, b.Zone, b.Hash, slices.Sorted(maps.Keys(b.Files)), b.Deploy}, "", "  ")
	if err != nil {
		return err
	}
	files := maps.Clone(b.Files)
	files[bundleFile] = append(text, '\n')
	return writeFiles(dir, files)
}

// writtenBefore returns the files that an earlier bundle has in a directory.
func writtenBefore(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(filepath.Join(dir, bundleFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("--output: %s is not empty, and was not written by this command: name another directory", dir)
	}
	if err != nil {
		return nil, err
	}
	var w written
	if err := json.Unmarshal(data, &w); err != nil {
		return nil, fmt.Errorf("--output: %s: %w", filepath.Join(dir, bundleFile), err)
	}
	return w.Files, nil
}
