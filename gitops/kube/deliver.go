package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/pandometrics/pando/gitops"
)

// Deliverer is a gitops.Deliverer and gitops.Confirmer. It is safe for
// concurrent use.
type Deliverer struct {
	cfg     Config
	deps    Deps
	api     *api
	metrics *metrics

	mu sync.Mutex
	// ready is how many pods of a folder were ready before the last delivery: a
	// revision by which there are fewer is not loaded.
	ready map[string]int
	// fights are when fields of an object were taken back.
	fights map[id][]time.Time
	lead   leadership
	tellMu sync.Mutex
	// told are the revisions that pods were told to load because they had begun
	// with another one, by uid.
	told   map[types.UID]string
	events events
}

// New does not yet talk to the API server.
func New(rc *rest.Config, cfg Config, deps Deps) (*Deliverer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	d := &Deliverer{cfg: cfg, deps: deps.withDefaults(), ready: map[string]int{}, fights: map[id][]time.Time{}, told: map[types.UID]string{}}
	var err error
	if d.metrics, err = newMetrics(d.deps.Registerer); err != nil {
		return nil, err
	}
	d.api, err = newAPI(rc, cfg, d.metrics)
	return d, err
}

// Deliver implements gitops.Deliverer: see deliver.
func (d *Deliverer) Deliver(ctx context.Context, b *gitops.Bundle) error {
	return d.deliver(ctx, b, false)
}

// Replace implements gitops.Replacer: see deliver.
func (d *Deliverer) Replace(ctx context.Context, b *gitops.Bundle) error {
	return d.deliver(ctx, b, true)
}

// deliver writes content first, then the pointer
// to it, then workloads, and tells pods to reload; at last it removes what
// nobody needs any more. The loop's own Deployment comes after all workloads, once
// they run: until then this is a ProgressError. Wherever it ends, doing it again
// completes it.
func (d *Deliverer) deliver(ctx context.Context, b *gitops.Bundle, replaces bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	ctx, done, err := d.lead.guard(ctx)
	if err != nil {
		return &gitops.UnwrittenError{Err: err}
	}
	defer done()
	want, p, err := d.prepare(ctx, b, replaces)
	if err != nil {
		return &gitops.UnwrittenError{Err: err}
	}
	if err := d.write(ctx, p); err != nil {
		return fmt.Errorf("deliver revision %.12s: %w", b.Revision, err)
	}
	if err := d.reload(ctx, want, b.Hash); err != nil {
		return err
	}
	if err := d.replace(ctx, p); err != nil {
		return fmt.Errorf("deliver revision %.12s: %w", b.Revision, err)
	}
	return d.prune(ctx, p)
}

// prepare finds out what is to be written, and whether the API server takes it.
func (d *Deliverer) prepare(ctx context.Context, b *gitops.Bundle, replaces bool) (*desired, *plan, error) {
	if err := b.Validate(); err != nil {
		return nil, nil, err
	}
	want, err := d.want(b)
	if err != nil {
		return nil, nil, &gitops.RefusedError{Workload: "delivery into Kubernetes", Message: err.Error()}
	}
	p, err := d.compare(ctx, want, b.Hash, replaces)
	if err == nil && p.before.Revision != b.Hash { // else pods may have gone by it already
		err = d.count(ctx, want)
	}
	if err == nil && p.changes() {
		err = d.tryOut(ctx, p)
	}
	if err != nil {
		err = fmt.Errorf("deliver revision %.12s: %w", b.Revision, err)
	}
	return want, p, err
}

// replace applies what may end this loop and begin another: a revision that does
// not run must not take away who could return from it.
func (d *Deliverer) replace(ctx context.Context, p *plan) error {
	own := slices.DeleteFunc(slices.Clone(p.apply), func(o *object) bool { return !o.replaces })
	if len(own) == 0 {
		return nil
	}
	inv := p.unfinished()
	if err := d.rolledOut(ctx, inv); err != nil {
		return err
	}
	loaded, err := d.loadedBy(ctx, inv)
	if err != nil {
		return err
	}
	if loaded != inv.Revision {
		return &gitops.ProgressError{What: fmt.Sprintf("%s waits until all pods have loaded what is delivered", own[0].id)}
	}
	for _, o := range own {
		if err := d.writeOne(ctx, p, o); err != nil {
			return err
		}
	}
	return d.save(ctx, p.unpruned(p.after))
}

// want builds what a bundle makes of the namespace.
func (d *Deliverer) want(b *gitops.Bundle) (*desired, error) {
	want, err := d.cfg.configuration(b)
	if err != nil {
		return nil, err
	}
	if len(b.Deploy) > 0 && string(b.Deploy) != "null" {
		if err := d.workloads(b.Deploy, want); err != nil {
			return nil, err
		}
	}
	return want, nil
}

// compare reads what there is, and plans.
func (d *Deliverer) compare(ctx context.Context, want *desired, revision string, replaces bool) (*plan, error) {
	inv, err := d.readInventory(ctx)
	if err != nil {
		return nil, err
	}
	seen, err := d.observe(ctx, want, inv)
	if err != nil {
		return nil, err
	}
	p := d.cfg.makePlan(want, inv, seen, revision, replaces)
	d.metrics.foreign.Set(float64(len(p.foreign)))
	if len(p.foreign) > 0 {
		names := make([]string, len(p.foreign))
		for i, f := range p.foreign {
			names[i] = f.String()
		}
		return nil, &gitops.UnavailableError{
			What: "in the way", Err: fmt.Errorf("namespace %s has %s, which this loop did not make: remove them, or hand them over by the labels %s",
				d.cfg.Namespace, strings.Join(names, ", "), strings.ReplaceAll(d.cfg.owned(), ",", " and ")),
		}
	}
	return p, nil
}

// readInventory returns an empty one if there is none.
func (d *Deliverer) readInventory(ctx context.Context) (*inventory, error) {
	inv := &inventory{Objects: map[string]entry{}}
	o, err := d.api.get(ctx, id{"ConfigMap", d.cfg.inventory()})
	if err != nil || o == nil {
		return inv, err
	}
	text, _, err := unstructured.NestedString(o.Object, "data", inventoryKey)
	if err == nil {
		err = json.Unmarshal([]byte(text), inv)
	}
	if err != nil {
		return nil, fmt.Errorf("the inventory in ConfigMap %s is damaged: restore it, or remove it and what nobody needs: %w", d.cfg.inventory(), err)
	}
	if inv.Version != inventoryVersion {
		return nil, fmt.Errorf("the inventory in ConfigMap %s has version %d, this program knows %d: use the program that wrote it", d.cfg.inventory(), inv.Version, inventoryVersion)
	}
	if inv.Objects == nil {
		inv.Objects = map[string]entry{}
	}
	for _, e := range inv.Objects {
		if _, ok := kinds()[e.Kind]; !ok {
			return nil, fmt.Errorf("the inventory in ConfigMap %s has %s, which this program does not make: use the program that wrote it", d.cfg.inventory(), e.id)
		}
	}
	return inv, nil
}

// observe reads the metadata of what carries our marks, and of what is in the
// way of what is wanted.
func (d *Deliverer) observe(ctx context.Context, want *desired, inv *inventory) (map[id]observed, error) {
	used := map[string]bool{"ConfigMap": true}
	for _, o := range want.objects {
		used[o.Kind] = true
	}
	for _, e := range inv.Objects {
		used[e.Kind] = true
	}
	seen := map[id]observed{}
	for _, name := range slices.Sorted(maps.Keys(used)) {
		all, err := d.api.list(ctx, kinds()[name])
		if err != nil {
			return nil, err
		}
		for _, o := range all {
			seen[o.id] = o
		}
	}
	for _, o := range want.objects {
		if _, ok := seen[o.id]; ok {
			continue
		}
		other, exists, err := d.api.look(ctx, o.id)
		if err != nil {
			return nil, err
		}
		if exists {
			seen[o.id] = other
		}
	}
	return seen, nil
}

// changes tells whether there is anything to be written.
func (p *plan) changes() bool {
	return len(p.apply) > 0 || len(p.prune) > 0 || !same(p.before, p.after)
}

// write does what is planned, but for pruning and for what replaces the loop.
func (d *Deliverer) write(ctx context.Context, p *plan) error {
	if !p.changes() {
		return nil
	}
	if err := d.save(ctx, p.before); err != nil {
		return err
	}
	for _, o := range p.apply {
		if o.replaces {
			continue
		}
		if err := d.writeOne(ctx, p, o); err != nil {
			return err
		}
	}
	d.tellLeft(ctx, p)
	return d.save(ctx, p.unfinished())
}

// tellLeft tells what will no longer be kept. It comes before that is written, so that
// it is told in any case, and after all else, so that it is not told with each attempt.
func (d *Deliverer) tellLeft(ctx context.Context, p *plan) {
	for _, o := range p.left {
		d.deps.Logger.Warn("object that was handed over is left as it is, and is no longer kept", "object", o.String())
		d.tell(ctx, corev1.EventTypeWarning, "LeftBehind", o.String()+" was handed over, and is not wanted any more; it was not asked for by what replaces a revision that has proved itself, so it stays. Remove it if nobody needs it")
	}
}

// An object whose fields were taken back so often within so long a time is left
// to the other manager for a while: writing against each other helps nobody.
const (
	maxFights = 5
	fightTime = 10 * time.Minute
)

func (d *Deliverer) writeOne(ctx context.Context, p *plan, o *object) error {
	if takers, drifted := p.drift[o.id]; drifted {
		d.metrics.drift.Inc()
		d.deps.Logger.Warn("object was changed or removed by others", "object", o.id.String(), "managers", takers)
	}
	now := d.deps.Now()
	recent := slices.DeleteFunc(d.fights[o.id], func(t time.Time) bool { return now.Sub(t) > fightTime })
	got, taken, err := d.api.apply(ctx, o, len(recent) < maxFights)
	if err != nil {
		return err
	}
	if len(taken) > 0 {
		d.fights[o.id] = append(recent, now)
		d.deps.Logger.Warn("fields were taken back from other managers", "object", o.id.String(), "fields", taken)
		d.tell(ctx, corev1.EventTypeWarning, "FieldsTakenBack", fmt.Sprintf("%s: %s", o.id, strings.Join(taken, ", ")))
	}
	p.after.Objects[o.id.String()] = entry{id: o.id, UID: got.uid, Want: o.sum, Fields: got.fields, Adopted: p.after.Objects[o.id.String()].Adopted}
	return nil
}

// same tells whether two inventories are equal.
func same(a, b *inventory) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

// save writes the inventory, if it is not what is there.
func (d *Deliverer) save(ctx context.Context, inv *inventory) error {
	now, err := d.readInventory(ctx)
	if err != nil {
		return err
	}
	if same(now, inv) {
		return nil
	}
	o, err := inv.object(d.cfg)
	if err != nil {
		return err
	}
	_, _, err = d.api.apply(ctx, o, true)
	return err
}

// prune removes what no revision needs.
func (d *Deliverer) prune(ctx context.Context, p *plan) error {
	if len(p.prune) == 0 {
		return nil
	}
	for _, o := range p.prune {
		if err := d.api.remove(ctx, o); err != nil {
			return err
		}
		d.metrics.pruned.Inc()
		d.deps.Logger.Info("object removed: no revision needs it any more", "object", o.id.String())
	}
	return d.save(ctx, p.after)
}

// Blank implements gitops.Blank: nothing was ever delivered to the namespace.
func (d *Deliverer) Blank(ctx context.Context) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	inv, err := d.readInventory(ctx)
	if err != nil {
		return false, err
	}
	return inv.Revision == "" && len(inv.Objects) == 0, nil
}

// Loaded implements gitops.Confirmer: the hash that all pods have loaded, if what
// was made here is still as it was made; "" if it is not.
func (d *Deliverer) Loaded(ctx context.Context) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	inv, err := d.readInventory(ctx)
	if err != nil {
		return "", err
	}
	if inv.Revision == "" {
		return "", nil
	}
	seen, err := d.observe(ctx, &desired{}, inv)
	if err != nil {
		return "", err
	}
	for _, key := range slices.Sorted(maps.Keys(inv.Objects)) {
		e := inv.Objects[key]
		if o, ok := seen[e.id]; e.Want != "" && (!ok || o.uid != e.UID || o.fields != e.Fields) {
			d.deps.Logger.Warn("object is not as it was delivered", "object", key, "exists", ok, "managers", o.takers)
			return "", nil
		}
	}
	if err := d.rolledOut(ctx, inv); err != nil {
		return "", err
	}
	loaded, err := d.loadedBy(ctx, inv)
	if err == nil && loaded == inv.Revision {
		clear(d.ready) // it did no harm: pods that go from now on go for other reasons
	}
	return loaded, err
}
