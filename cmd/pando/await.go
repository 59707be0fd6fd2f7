package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/pandometrics/pando/querytree/treehttp"
)

// await shows how many leaves are connected to the planet until all are.
func (p *planet) await(ctx context.Context, url string) error {
	return p.connected(ctx, url, func(leaves, of int) { fmt.Fprintf(p.out, "  %d of %d leaves connected\n", leaves, of) })
}

// connected waits until all leaves are connected to the planet. show, which may be
// nil, is called for each change.
func (p *planet) connected(ctx context.Context, url string, show func(leaves, of int)) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	want, shown := len(p.places), -1
	for {
		if leaves, err := connectedLeaves(ctx, url); err == nil {
			if leaves != shown && show != nil {
				show(leaves, want)
				shown = leaves
			}
			if leaves >= want {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// connectedLeaves asks a tier how many leaves are connected below it.
func connectedLeaves(ctx context.Context, url string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/pando/api/v1/tree", nil)
	if err != nil {
		return 0, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	var tree treehttp.Tree
	if err := json.NewDecoder(res.Body).Decode(&tree); err != nil {
		return 0, err
	}
	return tree.Self.Leaves, nil
}
