package kube

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pandometrics/pando/gitops"
)

func config() Config {
	c := DefaultConfig()
	c.Namespace = "pando"
	return c
}

func wanted(t *testing.T, hash string) *desired {
	t.Helper()
	d, err := config().configuration(&gitops.Bundle{Revision: "c" + hash, Hash: hash, Files: map[string][]byte{"leaf/prometheus.yml": []byte(hash)}})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// world is a namespace as the planner sees it.
type world struct {
	inv  *inventory
	seen map[id]observed
	// holds is what was applied last.
	holds map[id]string
	n     int
}

func newWorld() *world {
	return &world{inv: &inventory{}, seen: map[id]observed{}, holds: map[id]string{}}
}

// run plans, and does what was planned, to the end or to a crash.
func (w *world) run(d *desired, revision string, crash int) *plan {
	p := config().makePlan(d, w.inv, w.seen, revision, false)
	if len(p.foreign) > 0 {
		return p
	}
	w.inv = p.before
	for i, o := range p.apply {
		if i == crash {
			return p
		}
		w.n++
		uid := fmt.Sprint("uid", w.n)
		if old, ok := w.seen[o.id]; ok {
			uid = old.uid
		}
		// The fields of a kind are the same whatever is in them.
		w.seen[o.id] = observed{id: o.id, uid: uid, fields: "all fields", ours: true}
		w.holds[o.id] = o.sum
		p.after.Objects[o.id.String()] = entry{id: o.id, UID: uid, Want: o.sum, Fields: "all fields", Adopted: p.after.Objects[o.id.String()].Adopted}
	}
	for _, o := range p.prune {
		delete(w.seen, o.id)
	}
	w.inv = p.after
	return p
}

func names(ids map[id]observed) (out []string) {
	for i := range ids {
		out = append(out, i.String())
	}
	slices.Sort(out)
	return out
}

func applied(p *plan) (out []string) {
	for _, o := range p.apply {
		out = append(out, o.id.String())
	}
	return out
}

func TestPlanUnchanged(t *testing.T) {
	w := newWorld()
	if p := w.run(wanted(t, "a"), "a", -1); len(p.apply) != 2 {
		t.Fatalf("applied %v, want content and pointer", applied(p))
	}
	before := w.inv
	p := w.run(wanted(t, "a"), "a", -1)
	if len(p.apply)+len(p.prune) != 0 || !same(before, p.after) {
		t.Errorf("applied %v, pruned %v, inventory changed: %v", applied(p), p.prune, !same(before, p.after))
	}
}

// The last contents stay, and nothing else; what others made stays whatever it is.
func TestPlanPrune(t *testing.T) {
	w := newWorld()
	foreign := id{"ConfigMap", "pando-config-leaf-theirs"}
	w.seen[foreign] = observed{id: foreign, uid: "x", ours: true} // marks alone do not make it ours
	for i := range 8 {
		h := fmt.Sprint("h", i)
		w.run(wanted(t, h), h, -1)
	}
	if got := len(w.seen); got != 1+1+1+config().Keep {
		t.Errorf("%d objects remain: %v", got, names(w.seen))
	}
	if _, ok := w.seen[foreign]; !ok {
		t.Error("an object that is not in the inventory was pruned")
	}
}

// What was taken over, or made anew by others, is not pruned.
func TestPlanPruneForeign(t *testing.T) {
	for name, change := range map[string]func(o *observed){
		"made anew":     func(o *observed) { o.uid = "other" },
		"marks removed": func(o *observed) { o.ours = false },
	} {
		w := newWorld()
		w.run(wanted(t, "a"), "a", -1)
		extra := id{"Service", "pando-leaf"}
		w.inv.Objects[extra.String()] = entry{id: extra, UID: "u", Want: "w", Fields: "f"}
		o := observed{id: extra, uid: "u", fields: "f", ours: true}
		change(&o)
		w.seen[extra] = o
		if p := w.run(wanted(t, "b"), "b", -1); len(p.prune) != 0 {
			t.Errorf("%s: pruned %v", name, p.prune)
		}
	}
}

// After a crash at any write, nothing of ours is left that the inventory does
// not name, and the next delivery completes it.
func TestPlanCrash(t *testing.T) {
	for crash := range 3 {
		w := newWorld()
		w.run(wanted(t, "a"), "a", -1)
		w.run(wanted(t, "b"), "b", crash)
		for i := range w.seen {
			if _, ok := w.inv.Objects[i.String()]; !ok {
				t.Errorf("crash at %d: %s is lost", crash, i)
			}
		}
		for _, next := range []string{"b", "a"} { // on, or back
			v := &world{inv: w.inv, seen: maps.Clone(w.seen), holds: maps.Clone(w.holds), n: w.n}
			v.run(wanted(t, next), next, -1)
			for _, o := range wanted(t, next).objects {
				if v.holds[o.id] != o.sum {
					t.Errorf("crash at %d: %s is not that of %s afterwards", crash, o.id, next)
				}
			}
			if p := v.run(wanted(t, next), next, -1); len(p.apply)+len(p.prune) != 0 {
				t.Errorf("crash at %d: not complete afterwards: %v", crash, applied(p))
			}
		}
	}
}

func TestPlanForeign(t *testing.T) {
	w := newWorld()
	theirs := id{"ConfigMap", "pando-config"}
	w.seen[theirs] = observed{id: theirs, uid: "x"}
	if p := w.run(wanted(t, "a"), "a", -1); !slices.Contains(p.foreign, theirs) {
		t.Errorf("foreign %v, want %v", p.foreign, theirs)
	}
	w.seen[theirs] = observed{id: theirs, uid: "x", ours: true} // handed over by labels
	if p := w.run(wanted(t, "a"), "a", -1); len(p.foreign) != 0 || len(p.apply) != 2 {
		t.Errorf("foreign %v, applied %v", p.foreign, applied(p))
	}
}

// What another took or removed is put right, and told.
func TestPlanDrift(t *testing.T) {
	pointer := id{"ConfigMap", "pando-config"}
	for name, change := range map[string]func(w *world){
		"field taken":   func(w *world) { o := w.seen[pointer]; o.fields = "less"; w.seen[pointer] = o },
		"removed":       func(w *world) { delete(w.seen, pointer) },
		"marks removed": func(w *world) { o := w.seen[pointer]; o.ours = false; w.seen[pointer] = o },
	} {
		w := newWorld()
		w.run(wanted(t, "a"), "a", -1)
		change(w)
		p := w.run(wanted(t, "a"), "a", -1)
		if d := cmp.Diff([]string{pointer.String()}, applied(p)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestObserve(t *testing.T) {
	c := config()
	field := func(s string) *metav1.FieldsV1 { return metav1.NewFieldsV1(s) }
	m := &metav1.ObjectMeta{Name: "x", UID: "u", Labels: map[string]string{labelManagedBy: managedBy, labelOwner: c.Name}, ManagedFields: []metav1.ManagedFieldsEntry{
		{Manager: c.FieldManager, Operation: metav1.ManagedFieldsOperationApply, FieldsV1: field(`{"a":{}}`)},
		{Manager: c.FieldManager, Operation: metav1.ManagedFieldsOperationUpdate, FieldsV1: field(`{"b":{}}`)},
		{Manager: "kubectl-edit", Operation: metav1.ManagedFieldsOperationUpdate, FieldsV1: field(`{"c":{}}`)},
		{Manager: "controller", Operation: metav1.ManagedFieldsOperationUpdate, Subresource: "status", FieldsV1: field(`{"d":{}}`)},
	}}
	o := c.observe("Service", m)
	if !o.ours || o.fields != sum([]byte(`{"a":{}}`)) {
		t.Errorf("%+v", o)
	}
	if d := cmp.Diff([]string{c.FieldManager, "kubectl-edit"}, o.takers); d != "" {
		t.Error(d)
	}
}
