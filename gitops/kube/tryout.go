package kube

import (
	"context"
	"encoding/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// tryOut asks the API server, without effect, whether it takes what is planned for
// StatefulSets. Of one that is there, it takes few changes: not of its volumes, say.
// It must be known before anything is written. A workload that was handed over to
// the loop would else be noted as made by a revision that is given up then, and be
// removed with it.
func (d *Deliverer) tryOut(ctx context.Context, p *plan) error {
	for _, o := range p.apply {
		if o.Kind != "StatefulSet" {
			continue
		}
		body, err := json.Marshal(o.body.Object)
		if err != nil {
			return err
		}
		force := true
		_, err = d.api.dynamic.Resource(kinds()[o.Kind].gvr).Namespace(d.cfg.Namespace).Patch(ctx, o.Name, types.ApplyPatchType, body,
			metav1.PatchOptions{FieldManager: d.cfg.FieldManager, Force: &force, DryRun: []string{metav1.DryRunAll}})
		if err := d.api.asked("apply", o.id.String(), err); err != nil {
			return err
		}
	}
	return nil
}
