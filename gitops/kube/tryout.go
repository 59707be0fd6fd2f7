package kube

import (
	"context"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// tryOut asks the API server, without effect, whether it takes what is planned, but
// for content, which is nobody else's. Of objects that are there it takes few changes:
// not of a StatefulSet's volumes, nor of what a Deployment or a Service selects, say.
// It must be known before anything is written: what was handed over to the loop would
// else be changed in part by a revision that is given up then.
func (d *Deliverer) tryOut(ctx context.Context, p *plan) error {
	for _, o := range p.apply {
		if o.content {
			continue
		}
		_, err := d.api.patch(ctx, o, true, metav1.DryRunAll)
		if cannotTry(err) {
			continue
		}
		if err := d.api.asked("apply", o.id.String(), err); err != nil {
			return err
		}
	}
	return nil
}

// cannotTry tells whether nothing was tried out, since an admission webhook does not
// say of itself that it has no effects. That says nothing of the object.
func cannotTry(err error) bool {
	return apierrors.IsBadRequest(err) && strings.Contains(err.Error(), "does not support dry run")
}
