package main

import (
	"fmt"
	"io"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// renderCommand is the argument by which this program prints what a
// kustomization makes, as kubectl kustomize does.
const renderCommand = "render"

func render(dir string, out io.Writer) error {
	m, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		return fmt.Errorf("render %s: %w", dir, err)
	}
	b, err := m.AsYaml()
	if err != nil {
		return err
	}
	_, err = out.Write(b)
	return err
}
