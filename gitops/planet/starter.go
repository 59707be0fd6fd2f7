package planet

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
)

//go:embed starter
var starter embed.FS

// schemaFolder is where a starter has the schemas that its files name.
const schemaFolder = ".schemas"

// Starter returns the files of a repository to begin with, by slash path: a small
// planet, with comments, that Load and Check have nothing to say about, and the
// JSON schemas that its files name for editors.
func Starter() (map[string][]byte, error) {
	out := map[string][]byte{}
	below, err := fs.Sub(starter, "starter")
	if err != nil {
		return nil, fmt.Errorf("starter: %w", err)
	}
	err = fs.WalkDir(below, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		out[name], err = fs.ReadFile(below, name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("starter: %w", err)
	}
	for _, k := range Kinds() {
		if out[path.Join(schemaFolder, string(k)+".json")], err = Schema(k); err != nil {
			return nil, err
		}
	}
	return out, nil
}
