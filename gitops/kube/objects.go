package kube

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pandometrics/pando/gitops"
)

// kind is a kind of objects that may be made, changed and removed here. There
// are no others, above all none that keep data or grant rights.
type kind struct {
	gvk schema.GroupVersionKind
	gvr schema.GroupVersionResource
	// rank orders writes: what others need comes first.
	rank int
}

func kindOf(group, version, name, plural string, rank int) kind {
	return kind{schema.GroupVersionKind{Group: group, Version: version, Kind: name}, schema.GroupVersionResource{Group: group, Version: version, Resource: plural}, rank}
}

// kinds returns all of them by name.
func kinds() map[string]kind {
	return map[string]kind{
		"ConfigMap":           kindOf("", "v1", "ConfigMap", "configmaps", 0),
		"Service":             kindOf("", "v1", "Service", "services", 1),
		"NetworkPolicy":       kindOf("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", 1),
		"PodDisruptionBudget": kindOf("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", 1),
		"StatefulSet":         kindOf("apps", "v1", "StatefulSet", "statefulsets", 2),
		"Deployment":          kindOf("apps", "v1", "Deployment", "deployments", 2),
	}
}

// id names an object within the namespace.
type id struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
}

// String returns kind/name.
func (i id) String() string { return i.Kind + "/" + i.Name }

// compare orders ids for writing.
func (i id) compare(o id) int {
	k := kinds()
	if d := k[i.Kind].rank - k[o.Kind].rank; d != 0 {
		return d
	}
	return strings.Compare(i.String(), o.String())
}

// object is what an object must be.
type object struct {
	id
	// body is applied.
	body *unstructured.Unstructured
	// sum is the hash of body.
	sum string
	// content: it is immutable, and named by what is in it.
	content bool
	// replaces: that it is applied may end this process and begin another.
	replaces bool
}

// newObject completes a body with what marks it as ours.
func (c Config) newObject(body *unstructured.Unstructured) (*object, error) {
	k, ok := kinds()[body.GetKind()]
	if !ok || body.GroupVersionKind() != k.gvk {
		return nil, fmt.Errorf("%s of %s is not a kind that is delivered", body.GetKind(), body.GetAPIVersion())
	}
	body.SetNamespace(c.Namespace)
	labels := body.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[labelManagedBy], labels[labelOwner] = managedBy, c.Name
	body.SetLabels(labels)
	unstructured.RemoveNestedField(body.Object, "status")
	unstructured.RemoveNestedField(body.Object, "metadata", "creationTimestamp")
	text, err := json.Marshal(body.Object) // keys are sorted
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", body.GetKind(), body.GetName(), err)
	}
	o := &object{id: id{body.GetKind(), body.GetName()}, body: body, sum: sum(text)}
	o.replaces = body.GetKind() == "Deployment" && labels[labelComponent] == roleGitops
	return o, nil
}

// owned selects what carries the marks of newObject.
func (c Config) owned() string {
	return labelManagedBy + "=" + managedBy + "," + labelOwner + "=" + c.Name
}

// configMap makes a ConfigMap.
func (c Config) configMap(name string, labels map[string]string, text map[string]string, binary map[string][]byte, immutable bool) (*object, error) {
	all := map[string]any{labelPartOf: "pando"}
	for k, v := range labels {
		all[k] = v
	}
	body := map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"name": name, "labels": all},
	}
	if len(text) > 0 {
		data := map[string]any{}
		for k, v := range text {
			data[k] = v
		}
		body["data"] = data
	}
	if len(binary) > 0 {
		data := map[string]any{}
		for k, v := range binary {
			data[k] = base64.StdEncoding.EncodeToString(v)
		}
		body["binaryData"] = data
	}
	if immutable {
		body["immutable"] = true
	}
	o, err := c.newObject(&unstructured.Unstructured{Object: body})
	if o != nil {
		o.content = immutable
	}
	return o, err
}

// pointerKey holds the pointer in its ConfigMap.
const pointerKey = "config.json"

// pointer names what is in effect.
type pointer struct {
	Version int `json:"version"`
	// Revision is the bundle's hash, Commit what it was rendered from.
	Revision string                   `json:"revision"`
	Commit   string                   `json:"commit"`
	Folders  map[string]pointedFolder `json:"folders"`
}

// pointedFolder names a folder's content.
type pointedFolder struct {
	Content string   `json:"content"`
	Parts   []string `json:"parts"`
}

const pointerVersion = 1

// desired is all that a bundle makes of a namespace.
type desired struct {
	objects []*object // in the order of writing; the pointer after all content
	// folders are those that somebody must have loaded, with how many pods there
	// are to be; -1 if the bundle does not say.
	folders map[string]int
	// contents are the names of this bundle's content, files those of its files.
	contents []string
	files    map[string]bool
}

// configuration adds the ConfigMaps of a bundle.
func (c Config) configuration(b *gitops.Bundle) (*desired, error) {
	d := &desired{folders: map[string]int{}, files: map[string]bool{}}
	for name := range b.Files {
		d.files[name] = true
	}
	p := pointer{Version: pointerVersion, Revision: b.Hash, Commit: b.Revision, Folders: map[string]pointedFolder{}}
	all := folders(b.Files)
	for _, folder := range slices.Sorted(maps.Keys(all)) {
		packed, err := pack(folder, all[folder])
		if err != nil {
			return nil, err
		}
		to := pointedFolder{Content: packed.address}
		labels := map[string]string{labelContent: packed.address[:16]}
		for i, part := range packed.parts {
			name := c.pointer() + "-" + word(folder) + "-" + packed.address[:16] + "-" + strconv.Itoa(i)
			o, err := c.configMap(name, labels, part.text, part.binary, true)
			if err != nil {
				return nil, err
			}
			to.Parts = append(to.Parts, name)
			if !slices.Contains(d.contents, name) {
				d.objects, d.contents = append(d.objects, o), append(d.contents, name)
			}
		}
		p.Folders[folder], d.folders[folder] = to, -1
	}
	text, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("pointer to revision %.12s: %w", b.Revision, err)
	}
	o, err := c.configMap(c.pointer(), nil, map[string]string{pointerKey: string(text)}, nil, false)
	d.objects = append(d.objects, o)
	return d, err
}

// word makes of a folder's name a part of an object's. What it loses is in the
// hash beside it.
func word(folder string) string {
	s := strings.Map(func(r rune) rune {
		if '0' <= r && r <= '9' || 'a' <= r && r <= 'z' {
			return r
		}
		return '-'
	}, strings.ToLower(folder))
	return strings.Trim(s[:min(len(s), 60)], "-")
}

// podSelector selects the pods that read a folder.
func podSelector(folder string) string {
	tier, zone, in := strings.Cut(folder, "/")
	s := metav1.FormatLabelSelector(&metav1.LabelSelector{MatchLabels: map[string]string{labelName: "pando", labelComponent: tier}})
	if in {
		s += "," + labelZone + "=" + zone
	}
	return s
}
