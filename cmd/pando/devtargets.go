package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/pandometrics/pando/demo"
)

// devTargets are the files by which a leaf finds what it scrapes. The repository
// names them and not the addresses in them, for a port may be taken the next time.
type devTargets struct {
	dir     string
	cluster *demo.Cluster
	address string // of the demo services
	last    []byte // what pods.json holds
}

// podsInterval is how often pods are looked for, as by discovery over HTTP.
const podsInterval = 5 * time.Second

// write writes the files; pando are the targets of the job of that name, loop that
// of the control loop's.
func (t *devTargets) write(pando []demo.TargetGroup, loop string) error {
	if err := os.MkdirAll(t.dir, 0o755); err != nil {
		return fmt.Errorf("--data-dir: %w", err)
	}
	err := errors.Join(
		t.put(demo.DemoFile, demo.Targets(demo.TargetGroup{Targets: []string{t.address}, Labels: map[string]string{"instance": t.address}})),
		t.put(demo.PandoFile, demo.Targets(pando...)),
		t.put(demo.GitopsFile, demo.Targets(demo.TargetGroup{Targets: []string{loop}})),
		t.pods(),
	)
	if err != nil {
		return fmt.Errorf("--data-dir: %w", err)
	}
	return nil
}

// pods writes which pods there are now.
func (t *devTargets) pods() error {
	data := demo.Targets(t.cluster.Discovery(t.address)...)
	if bytes.Equal(data, t.last) {
		return nil
	}
	t.last = data
	return t.put(demo.PodsFile, data)
}

// put replaces a file as a whole.
func (t *devTargets) put(name string, data []byte) error {
	file := filepath.Join(t.dir, name)
	if err := os.WriteFile(file+".new", data, 0o644); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// runTargets keeps the pods of all clusters up to date.
func (p *planet) runTargets(ctx context.Context) error {
	tick := time.NewTicker(podsInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for _, t := range p.targets {
			if err := t.pods(); err != nil {
				p.logger.Warn("pods not told to the leaf", "err", err)
			}
		}
	}
}
