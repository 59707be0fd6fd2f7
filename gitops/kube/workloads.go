package kube

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// Deploy says which workloads are to be kept: what a bundle holds as JSON.
type Deploy struct {
	// Namespace is the loop's own, or "".
	Namespace string     `json:"namespace,omitempty"`
	Workloads []Workload `json:"workloads"`
}

// Workload is one set of pods.
type Workload struct {
	// Role names the folder of manifests: leaf, zone, root or gitops.
	Role string `json:"role"`
	Zone string `json:"zone,omitempty"`
	// Name is leaf, zone-NAME, root or gitops.
	Name     string `json:"name"`
	Image    string `json:"image"`
	Replicas int    `json:"replicas"`
	// Storage is nil if nothing is kept.
	Storage *struct {
		Size  string `json:"size"`
		Class string `json:"class,omitempty"`
	} `json:"storage,omitempty"`
	// Retention is a leaf's; 0 is its default.
	Retention time.Duration     `json:"retention,omitempty"`
	Identity  map[string]string `json:"identity,omitempty"`
	Parents   []string          `json:"parents,omitempty"`
	Resources struct {
		Requests map[string]string `json:"requests,omitempty"`
		Limits   map[string]string `json:"limits,omitempty"`
	} `json:"resources"`
	// Secrets are mounted; what is in them is never read here.
	Secrets []struct {
		Name string `json:"name"`
		Path string `json:"path"`
	} `json:"secrets,omitempty"`
	// TLS is nil for connections in the clear.
	TLS *struct {
		Secret string `json:"secret"`
	} `json:"tls,omitempty"`
	// LinkLocal are such addresses that a leaf may scrape nevertheless.
	LinkLocal []string `json:"linkLocal,omitempty"`
	// Files is the folder of the bundle that it reads, "" for none.
	Files string `json:"files,omitempty"`
}

// Of manifests: the container that is patched, its volumes, and where in the
// volume of data the configuration is kept.
const (
	containerName = "pando"
	dataVolume    = "data"
	configVolume  = "config"
	dataPath      = "/var/lib/pando"
	tlsVolume     = "tls"
	tlsPath       = "/etc/pando/tls"
	roleGitops    = "gitops"
	limitsFile    = "limits.yml"
	planetFolder  = "pando-planet"
)

// workloads adds the objects of the workloads that a bundle wants, in the order
// of writing.
func (d *Deliverer) workloads(text json.RawMessage, want *desired) error {
	var deploy Deploy
	if err := json.Unmarshal(text, &deploy); err != nil {
		return fmt.Errorf("read which workloads are wanted: %w", err)
	}
	if deploy.Namespace != "" && deploy.Namespace != d.cfg.Namespace {
		return fmt.Errorf("workloads are wanted in namespace %q, and this loop is of %q: change deploy.namespace, or run the loop there", deploy.Namespace, d.cfg.Namespace)
	}
	if d.deps.Templates == nil {
		return errors.New("workloads are wanted, and this loop has no manifests to make them of")
	}
	var out []*object
	for i := range deploy.Workloads {
		w := &deploy.Workloads[i]
		objects, err := d.cfg.workload(d.deps.Templates, w, want)
		if err != nil {
			return fmt.Errorf("workload %s: %w", w.Name, err)
		}
		out = append(out, objects...)
		if w.Files != "" {
			want.folders[w.Files] = w.Replicas
		}
	}
	slices.SortStableFunc(out, func(a, b *object) int { return a.id.compare(b.id) })
	for i := 1; i < len(out); i++ {
		if out[i].id == out[i-1].id {
			return fmt.Errorf("two workloads make %s", out[i].id)
		}
	}
	want.objects = append(want.objects, out...)
	return nil
}

// workload makes a workload of the manifests of its role.
func (c Config) workload(templates fs.FS, w *Workload, want *desired) ([]*object, error) {
	bodies, err := manifests(templates, w.Role)
	if err != nil {
		return nil, err
	}
	var out []*object
	for _, body := range bodies {
		if w.Zone != "" {
			mark(body.Object, w.Role, w.Zone)
		}
		rename(body, "pando-"+w.Role, "pando-"+strings.ToLower(w.Name))
		if k := body.GetKind(); k == "StatefulSet" || k == "Deployment" {
			if err := w.patch(body, want); err != nil {
				return nil, err
			}
		}
		o, err := c.newObject(body)
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("there are no manifests of role %q", w.Role)
	}
	return out, nil
}

// manifests reads those of a role, but for kinds that are not delivered: who
// installs the loop decides about accounts and permissions.
func manifests(templates fs.FS, role string) ([]*unstructured.Unstructured, error) {
	names, err := fs.Glob(templates, path.Join(role, "*.yaml"))
	if err != nil {
		return nil, err
	}
	var out []*unstructured.Unstructured
	for _, name := range names {
		f, err := templates.Open(name)
		if err != nil {
			return nil, fmt.Errorf("manifest %s: %w", name, err)
		}
		dec := yaml.NewYAMLOrJSONDecoder(f, 4096)
		for {
			var o map[string]any
			if err := dec.Decode(&o); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				_ = f.Close()
				return nil, fmt.Errorf("manifest %s: %w", name, err)
			}
			u := &unstructured.Unstructured{Object: o}
			if k, ok := kinds()[u.GetKind()]; ok && k.gvk == u.GroupVersionKind() && u.GetKind() != "ConfigMap" {
				out = append(out, u)
			}
		}
		_ = f.Close() // it was only read
	}
	return out, nil
}

// mark adds the zone to all labels and selectors of a role, so that those of two
// zones in one cluster are not the same.
func mark(v any, role, zone string) {
	switch v := v.(type) {
	case map[string]any:
		if v[labelComponent] == role {
			v[labelZone] = zone
		}
		for _, below := range v {
			mark(below, role, zone)
		}
	case []any:
		for _, below := range v {
			mark(below, role, zone)
		}
	}
}

// rename changes the first part of names that manifests give to each other.
func rename(body *unstructured.Unstructured, from, to string) {
	for _, at := range [][]string{{"metadata", "name"}, {"spec", "serviceName"}, {"spec", "scaleTargetRef", "name"}} {
		if name, ok, err := unstructured.NestedString(body.Object, at...); ok && err == nil {
			if rest, ok := strings.CutPrefix(name, from); ok {
				_ = unstructured.SetNestedField(body.Object, to+rest, at...) // the path is there
			}
		}
	}
}

// patch makes a manifest's pods those of the workload.
func (w *Workload) patch(body *unstructured.Unstructured, want *desired) error {
	spec, _, err := unstructured.NestedMap(body.Object, "spec", "template", "spec")
	if err != nil || spec == nil {
		return fmt.Errorf("the manifest of %s has no template of pods: %w", body.GetName(), err)
	}
	containers, _ := spec["containers"].([]any)
	i := slices.IndexFunc(containers, func(c any) bool { m, _ := c.(map[string]any); return m["name"] == containerName })
	if i < 0 {
		return fmt.Errorf("the manifest of %s has no container %s", body.GetName(), containerName)
	}
	if w.Role == roleGitops {
		return w.own(body)
	}
	container, _ := containers[i].(map[string]any)
	container["image"] = w.Image
	if err := w.resources(container); err != nil {
		return err
	}
	if w.Files != "" {
		container["args"] = w.args(container["args"], want.files)
		unneeded(spec, container)
		spec["automountServiceAccountToken"] = true // it fetches its configuration
	}
	w.secrets(spec, container)
	w.tls(spec, container)
	if err := w.storage(body, spec); err != nil {
		return err
	}
	if err := unstructured.SetNestedMap(body.Object, spec, "spec", "template", "spec"); err != nil {
		return err
	}
	return unstructured.SetNestedField(body.Object, int64(w.Replicas), "spec", "replicas")
}

// resources sets what is said of them; the rest stays as the manifest has it.
func (w *Workload) resources(container map[string]any) error {
	all, _ := container["resources"].(map[string]any)
	if all == nil {
		all = map[string]any{}
	}
	for kind, values := range map[string]map[string]string{"requests": w.Resources.Requests, "limits": w.Resources.Limits} {
		to, _ := all[kind].(map[string]any)
		if to == nil {
			to = map[string]any{}
		}
		for name, v := range values {
			if _, err := resource.ParseQuantity(v); err != nil {
				return fmt.Errorf("%s of %s: %q is not a quantity: %w", kind, name, v, err)
			}
			to[name] = v
		}
		if len(to) > 0 {
			all[kind] = to
		}
	}
	container["resources"] = all
	return nil
}

// args replaces flags of the manifest by what the planet says.
func (w *Workload) args(old any, files map[string]bool) []any {
	base := path.Join(dataPath, planetFolder)
	flags := [][2]string{{"config.pull", w.Files}, {"config.pull-to", base}}
	add := func(name, value string) { flags = append(flags, [2]string{name, value}) }
	for _, name := range slices.Sorted(maps.Keys(w.Identity)) {
		switch {
		case name == "zone" || name == "cluster" && w.Role == "leaf":
			add(name, w.Identity[name])
		default:
			add("external-label", name+"="+w.Identity[name])
		}
	}
	for _, p := range w.Parents {
		add("parent", p)
	}
	if w.Replicas > 1 && w.Role == "leaf" {
		add("replica", "$(POD_NAME)")
	}
	for _, a := range w.LinkLocal {
		add("scrape.allow-link-local", a)
	}
	if w.Retention > 0 {
		add("storage.tsdb.retention.time", w.Retention.String())
	}
	for _, f := range [][2]string{{"prometheus.yml", "config.file"}, {"rollups.yml", "rollup.file"}, {"aggregations.yml", "aggregate.file"}, {limitsFile, "limits.file"}} {
		if files[path.Join(w.Files, f[0])] {
			add(f[1], path.Join(base, "current", w.Files, f[0]))
		}
	}
	if w.TLS != nil {
		flags = append(flags, w.tlsFlags()...)
	}
	replaced := map[string]bool{"config.file": true, "parent": true}
	for _, f := range flags {
		replaced[f[0]] = true
	}
	var out []any
	list, _ := old.([]any)
	for _, a := range list {
		text, _ := a.(string)
		name, _, _ := strings.Cut(strings.TrimPrefix(text, "--"), "=")
		if !strings.HasPrefix(text, "--") || !replaced[name] {
			out = append(out, a)
		}
	}
	for _, f := range flags {
		if f[1] == "" {
			out = append(out, "--"+f[0])
			continue
		}
		out = append(out, "--"+f[0]+"="+f[1])
	}
	return out
}

// unneeded removes variables that are taken from ConfigMaps and that no argument
// names any more, and the mounted configuration: what is fetched takes its place.
func unneeded(spec, container map[string]any) {
	args := fmt.Sprint(container["args"])
	env, _ := container["env"].([]any)
	container["env"] = slices.DeleteFunc(slices.Clone(env), func(e any) bool {
		m, _ := e.(map[string]any)
		name, _ := m["name"].(string)
		_, found, err := unstructured.NestedMap(m, "valueFrom", "configMapKeyRef")
		return err == nil && found && !strings.Contains(args, "$("+name+")")
	})
	named := func(v any) bool { m, _ := v.(map[string]any); return m["name"] == configVolume }
	volumes, _ := spec["volumes"].([]any)
	spec["volumes"] = slices.DeleteFunc(slices.Clone(volumes), named)
	mounts, _ := container["volumeMounts"].([]any)
	container["volumeMounts"] = slices.DeleteFunc(slices.Clone(mounts), named)
}

// secrets mounts them.
func (w *Workload) secrets(spec, container map[string]any) {
	volumes, _ := spec["volumes"].([]any)
	mounts, _ := container["volumeMounts"].([]any)
	for i, s := range w.Secrets {
		name := fmt.Sprintf("secret-%d", i)
		volumes = append(volumes, map[string]any{"name": name, "secret": map[string]any{"secretName": s.Name}})
		mounts = append(mounts, map[string]any{"name": name, "mountPath": s.Path, "readOnly": true})
	}
	spec["volumes"], container["volumeMounts"] = volumes, mounts
}

// tls mounts the Secret that the flags of tlsFlags name.
func (w *Workload) tls(spec, container map[string]any) {
	if w.TLS == nil {
		return
	}
	volumes, _ := spec["volumes"].([]any)
	mounts, _ := container["volumeMounts"].([]any)
	spec["volumes"] = append(volumes, map[string]any{"name": tlsVolume, "secret": map[string]any{"secretName": w.TLS.Secret, "defaultMode": int64(0o440)}})
	container["volumeMounts"] = append(mounts, map[string]any{"name": tlsVolume, "mountPath": tlsPath, "readOnly": true})
}

// tlsFlags are those of deploy/components/tls: towards the parent, and for those
// below. Both sides have certificates.
func (w *Workload) tlsFlags() (flags [][2]string) {
	file := func(flag, name string) { flags = append(flags, [2]string{flag, path.Join(tlsPath, name)}) }
	if w.Role == "zone" || w.Role == "root" {
		file("grpc.tls.cert-file", "tls.crt")
		file("grpc.tls.key-file", "tls.key")
		file("grpc.tls.client-ca-file", "ca.crt")
	}
	if w.Role == "root" { // control loops of other clusters ask there
		flags = append(flags, [2]string{"loops.listen-address", "0.0.0.0:9092"})
	}
	if w.Role == "leaf" || w.Role == "zone" {
		flags = append(flags, [2]string{"parent.tls"})
		file("parent.tls.ca-file", "ca.crt")
		file("parent.tls.cert-file", "tls.crt")
		file("parent.tls.key-file", "tls.key")
	}
	return flags
}

// own leaves of the loop's own Deployment what a planet may say of it. Flags,
// variables and volumes are those of who installed the loop, such as how it reads
// the repository: were they applied, the loop would lose what was added to them.
func (w *Workload) own(body *unstructured.Unstructured) error {
	if w.Replicas < 1 {
		return errors.New("without a replica there would be no loop to deliver a commit that wants one again: set deploy.gitops.replicas to 1")
	}
	container := map[string]any{"name": containerName, "image": w.Image}
	if err := w.resources(container); err != nil {
		return err
	}
	if all, _ := container["resources"].(map[string]any); len(all) == 0 {
		delete(container, "resources")
	}
	spec := map[string]any{}
	if len(w.Secrets) > 0 {
		w.secrets(spec, container)
	}
	spec["containers"] = []any{container}
	body.Object["spec"] = map[string]any{"replicas": int64(w.Replicas), "template": map[string]any{"spec": spec}}
	return nil
}

// storage sets the volume claim's size and class; without storage, the volume is
// the pod's own. Claims outlive the workload, whatever the manifest says.
func (w *Workload) storage(body *unstructured.Unstructured, spec map[string]any) error {
	if body.GetKind() != "StatefulSet" {
		return nil
	}
	if w.Storage == nil {
		unstructured.RemoveNestedField(body.Object, "spec", "volumeClaimTemplates")
		volumes, _ := spec["volumes"].([]any)
		spec["volumes"] = append(volumes, map[string]any{"name": dataVolume, "emptyDir": map[string]any{}})
		return nil
	}
	if _, err := resource.ParseQuantity(w.Storage.Size); err != nil {
		return fmt.Errorf("storage: %q is not a size: %w", w.Storage.Size, err)
	}
	claim := map[string]any{
		"accessModes": []any{"ReadWriteOnce"},
		"resources":   map[string]any{"requests": map[string]any{"storage": w.Storage.Size}},
	}
	if w.Storage.Class != "" {
		claim["storageClassName"] = w.Storage.Class
	}
	claims := []any{map[string]any{"metadata": map[string]any{"name": dataVolume}, "spec": claim}}
	if err := unstructured.SetNestedSlice(body.Object, claims, "spec", "volumeClaimTemplates"); err != nil {
		return err
	}
	return unstructured.SetNestedStringMap(body.Object, map[string]string{"whenDeleted": "Retain", "whenScaled": "Retain"}, "spec", "persistentVolumeClaimRetentionPolicy")
}
