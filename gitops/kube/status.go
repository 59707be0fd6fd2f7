package kube

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pandometrics/pando/gitops"
)

// events bounds how many are written.
type events struct {
	since time.Time
	n     int
}

// maxEvents are those of a minute.
const maxEvents = 20

// tell writes an Event about the loop's status ConfigMap. It is a courtesy:
// whether it succeeds changes nothing.
func (d *Deliverer) tell(ctx context.Context, kind, reason, message string) {
	now := d.deps.Now()
	if now.Sub(d.events.since) > time.Minute {
		d.events = events{since: now}
	}
	if d.events.n++; d.events.n > maxEvents {
		return
	}
	at := metav1.NewTime(now)
	d.api.metrics.writes.Inc()
	_, err := d.api.typed.CoreV1().Events(d.cfg.Namespace).Create(ctx, &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Name: fmt.Sprintf("%s.%x", d.cfg.status(), now.UnixNano()), Namespace: d.cfg.Namespace},
		InvolvedObject: corev1.ObjectReference{APIVersion: "v1", Kind: "ConfigMap", Namespace: d.cfg.Namespace, Name: d.cfg.status()},
		Type:           kind, Reason: reason, Message: clip(message, 1000), FirstTimestamp: at, LastTimestamp: at, Count: 1,
		Source: corev1.EventSource{Component: managedBy}, ReportingController: managedBy,
	}, metav1.CreateOptions{FieldManager: d.cfg.FieldManager})
	if err := d.api.asked("create", "events", err); err != nil {
		d.deps.Logger.Debug("event not written", "reason", reason, "err", err)
	}
}

func clip(s string, most int) string {
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// Report keeps the status ConfigMap and tells of what happens as Events, until
// ctx ends. It looks every so often, and writes only what has changed.
func (d *Deliverer) Report(ctx context.Context, status func() gitops.Status, every time.Duration) error {
	last := d.deps.Now() // what happened before was told then
	t := time.NewTicker(every)
	defer t.Stop()
	written := ""
	for {
		s := status()
		last = d.tellAll(ctx, s.History, last)
		if o, err := d.statusObject(s); err != nil {
			d.deps.Logger.Warn("status not written", "err", err)
		} else if o.sum != written {
			if err := d.writeStatus(ctx, o); err == nil {
				written = o.sum
			} else if ctx.Err() == nil {
				d.deps.Logger.Debug("status not written", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// writeStatus applies the status, unless it is what is there.
func (d *Deliverer) writeStatus(ctx context.Context, o *object) error {
	ctx, done, err := d.lead.guard(ctx)
	if err != nil {
		return err
	}
	defer done()
	live, err := d.api.get(ctx, o.id)
	if err != nil {
		return err
	}
	if live != nil && live.GetAnnotations()[annotationSum] == o.body.GetAnnotations()[annotationSum] {
		return nil
	}
	_, _, err = d.api.apply(ctx, o, true)
	return err
}

// tellAll tells what is newer, and returns how new that is.
func (d *Deliverer) tellAll(ctx context.Context, history []gitops.Event, last time.Time) time.Time {
	for _, e := range history {
		if !e.At.After(last) {
			continue
		}
		last = e.At
		kind := corev1.EventTypeNormal
		if e.What == "rejected" || e.What == "rollback" {
			kind = corev1.EventTypeWarning
		}
		d.mu.Lock()
		d.tell(ctx, kind, "Revision"+title(e.What), fmt.Sprintf("%.12s %s", e.Revision, e.Why))
		d.mu.Unlock()
	}
	return last
}

// title makes a word the end of a reason: what-is is WhatIs.
func title(what string) string {
	var b strings.Builder
	for _, w := range strings.FieldsFunc(what, func(r rune) bool { return r < 'A' || r > 'z' }) {
		b.WriteString(strings.ToUpper(w[:1]) + w[1:])
	}
	return b.String()
}

// annotationSum is the hash of a status, so that it is not written twice.
const annotationSum = "pandometrics.github.io/sum"

// statusObject makes a status a ConfigMap for people to read.
func (d *Deliverer) statusObject(s gitops.Status) (*object, error) {
	data := map[string]string{"state": s.State, "doing": s.Doing, "applied": s.Running, "hash": s.Hash}
	if s.Newest != nil {
		data["seen"], data["subject"] = s.Newest.Revision, s.Newest.Subject
	}
	if s.Pending != nil {
		data["pending"] = s.Pending.Revision
	}
	if len(s.Good) > 0 {
		data["lastGood"] = s.Good[0]
	}
	if !s.RunningAt.IsZero() {
		data["appliedAt"] = s.RunningAt.UTC().Format(time.RFC3339)
	}
	var reasons []string
	if s.Stalled != nil {
		reasons = append(reasons, s.Stalled.Reason+": "+s.Stalled.Message)
	}
	for _, step := range []string{"fetch", "deliver", "confirm", "decide"} {
		if p := s.Problems[step]; p != "" {
			reasons = append(reasons, step+": "+p)
		}
	}
	if len(s.Rejected) > 0 {
		data["rejected"], data["rejectedWhy"] = s.Rejected[0].Revision, clip(s.Rejected[0].Why, 2000)
	}
	data["reason"] = clip(strings.Join(reasons, "\n"), 4000)
	o, err := d.cfg.configMap(d.cfg.status(), nil, data, nil, false)
	if err != nil {
		return nil, err
	}
	o.body.SetAnnotations(map[string]string{annotationSum: o.sum[:16]})
	return o, nil
}
