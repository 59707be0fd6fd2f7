package kube

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// inventory is what has been made here. It is written before anything new is
// made and after anything is removed, so that nothing of ours gets lost.
type inventory struct {
	Version int `json:"version"`
	// Objects are by kind/name.
	Objects map[string]entry `json:"objects"`
	// Contents are the names of content by bundle, newest first.
	Contents [][]string `json:"contents,omitempty"`
	// Folders are those that pods must have loaded, and how many pods there are
	// to be; -1: not known.
	Folders map[string]int `json:"folders,omitempty"`
	// Revision is the hash of the bundle that Objects are of.
	Revision string `json:"revision,omitempty"`
}

// entry is one object of ours.
type entry struct {
	id
	// UID is of the object that was made; "" if it was not made yet.
	UID string `json:"uid,omitempty"`
	// Want is the hash of what was applied, Fields that of the fields which the
	// API server then took for ours: if another takes one of them, it differs.
	Want   string `json:"want,omitempty"`
	Fields string `json:"fields,omitempty"`
	// Adopted is the hash of the bundle with which what somebody else had made, and
	// handed over, was taken over; "" of what was made here. If revisions are returned
	// from, it stays: it ran before.
	Adopted string `json:"adopted,omitempty"`
}

const inventoryVersion = 1

// observed is what an object is now.
type observed struct {
	id
	uid    string
	fields string
	// version is for preconditions.
	version string
	// ours: it carries our marks.
	ours bool
	// loop: it is of the control loop itself.
	loop     bool
	deleting bool
	// takers are others who manage fields of it.
	takers []string
}

// observe reads the metadata of an object.
func (c Config) observe(kind string, m *metav1.ObjectMeta) observed {
	o := observed{
		id: id{kind, m.Name}, uid: string(m.UID), version: m.ResourceVersion, deleting: m.DeletionTimestamp != nil,
		ours: m.Labels[labelManagedBy] == managedBy && m.Labels[labelOwner] == c.Name,
		loop: m.Labels[labelComponent] == roleGitops,
	}
	for _, f := range m.ManagedFields {
		if f.Manager == c.FieldManager && f.Operation == metav1.ManagedFieldsOperationApply && f.Subresource == "" {
			if f.FieldsV1 != nil {
				o.fields = sum(f.FieldsV1.GetRawBytes())
			}
		} else if f.Subresource == "" {
			o.takers = append(o.takers, f.Manager)
		}
	}
	return o
}

// plan is what must be written.
type plan struct {
	// apply are in order.
	apply []*object
	// drift tells of those of apply that were changed by others: who.
	drift map[id][]string
	// prune are removed, when all else is done.
	prune []observed
	// left are those that were taken over, and are not wanted, but stay: nobody who
	// has proved himself asked for their end. They are no longer kept after this.
	left []id
	// foreign are those that somebody else made: they are in the way.
	foreign []id
	// before and after are the inventory to be written before and after; the
	// fields of what is applied are filled in meanwhile.
	before, after *inventory
}

// makePlan compares what should be with what is. seen holds what carries our
// marks, and what is in the way. If it replaces what has proved itself, what was taken
// over is removed as other things are.
func (c Config) makePlan(d *desired, inv *inventory, seen map[id]observed, revision string, replaces bool) *plan {
	p := &plan{drift: map[id][]string{}}
	p.after = &inventory{Version: inventoryVersion, Objects: map[string]entry{}, Revision: revision, Folders: d.folders, Contents: c.generations(d.contents, inv.Contents)}
	for _, o := range d.objects {
		c.planOne(p, o, inv, seen)
	}
	kept := map[string]bool{}
	for _, names := range p.after.Contents {
		for _, n := range names {
			kept[id{"ConfigMap", n}.String()] = true
		}
	}
	p.before = &inventory{Version: inventoryVersion, Objects: maps.Clone(inv.Objects), Revision: inv.Revision, Folders: inv.Folders, Contents: inv.Contents}
	if p.before.Objects == nil {
		p.before.Objects = map[string]entry{}
	}
	for _, o := range p.apply {
		// Whether it was written is not to be told by its fields, if the loop is
		// killed meanwhile: those of the next revision are the same.
		key := o.id.String()
		p.before.Objects[key] = entry{id: o.id, UID: inv.Objects[key].UID, Adopted: p.after.Objects[key].Adopted}
	}
	for _, key := range slices.Sorted(maps.Keys(inv.Objects)) {
		e := inv.Objects[key]
		if _, wanted := p.after.Objects[key]; wanted {
			continue
		}
		o, exists := seen[e.id]
		switch {
		case !exists || !o.ours || e.UID != "" && e.UID != o.uid:
			// It is gone, or no longer ours: another took it over, or made it anew.
		case e.Adopted != "" && !replaces:
			p.left = append(p.left, e.id)
		case o.loop:
			// What runs the loop stays, and is looked after by who installed it: were
			// it removed, nobody would be left to hear of the commit that wants it back.
		case kept[key]:
			p.after.Objects[key] = e
		default:
			p.prune = append(p.prune, o)
		}
	}
	return p
}

// planOne decides about an object that should be.
func (c Config) planOne(p *plan, o *object, inv *inventory, seen map[id]observed) {
	key := o.id.String()
	e, known := inv.Objects[key]
	s, exists := seen[o.id]
	adopted := ""
	switch {
	case known:
		adopted = e.Adopted
	case exists && !o.content:
		adopted = p.after.Revision
	}
	switch {
	case !exists:
		if known && e.Fields != "" {
			p.drift[o.id] = nil // it was removed: by whom is not to be learned
		}
		p.apply = append(p.apply, o)
		p.after.Objects[key] = entry{id: o.id, Want: o.sum}
		return
	case !s.ours && (!known || e.UID != s.uid):
		p.foreign = append(p.foreign, o.id)
		return
	case known && e.Want == o.sum && e.Fields == s.fields && e.UID == s.uid && e.Fields != "" && s.ours:
		e.Adopted = adopted
		p.after.Objects[key] = e
		return
	}
	p.apply = append(p.apply, o)
	p.after.Objects[key] = entry{id: o.id, Want: o.sum, Adopted: adopted}
	if known && e.Want == o.sum && e.Fields != "" {
		p.drift[o.id] = s.takers
	}
}

// unfinished is the inventory for as long as what replaces the loop is not
// applied, and what is to be pruned is there.
func (p *plan) unfinished() *inventory {
	inv := *p.after
	inv.Objects = maps.Clone(p.after.Objects)
	for _, o := range p.apply {
		if o.replaces {
			inv.Objects[o.id.String()] = p.before.Objects[o.id.String()]
		}
	}
	return p.unpruned(&inv)
}

// unpruned adds what is to be pruned to an inventory: it stays in until it is gone.
func (p *plan) unpruned(of *inventory) *inventory {
	inv := *of
	inv.Objects = maps.Clone(of.Objects)
	for _, o := range p.prune {
		key := o.id.String()
		inv.Objects[key] = entry{id: o.id, UID: o.uid, Adopted: p.before.Objects[key].Adopted}
	}
	return &inv
}

// generations returns the contents to keep.
func (c Config) generations(now []string, past [][]string) [][]string {
	out := [][]string{now}
	for _, g := range past {
		if len(out) > c.Keep {
			break
		}
		if !slices.Equal(g, now) {
			out = append(out, g)
		}
	}
	return out
}

// object makes the inventory a ConfigMap.
func (inv *inventory) object(c Config) (*object, error) {
	text, err := json.MarshalIndent(inv, "", " ")
	if err != nil {
		return nil, fmt.Errorf("write the inventory: %w", err)
	}
	return c.configMap(c.inventory(), nil, map[string]string{inventoryKey: string(text)}, nil, false)
}

const inventoryKey = "inventory.json"
