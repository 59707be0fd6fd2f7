package kube

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/pandometrics/pando/gitops"
)

// namespaceServer is as much of an API server as a delivery needs, and the one pod
// of a leaf, which loads what the pointer names when it is told to.
type namespaceServer struct {
	t   *testing.T
	url string
	pod *httptest.Server

	mu      sync.Mutex
	objects map[string]map[string]any // by kind/name
	wrote   []string                  // kind/name, in order
	dies    int                       // after so many writes no more succeed, if not negative
	loaded  string
	refuses string            // a revision that the pod refuses
	ready   bool              // StatefulSets are rolled out
	others  int               // pods of the leaf that are ready too
	tried   []string          // kind/name of what was applied without effect
	invalid map[string]string // by kind/name: why it is refused, also without effect
	events  []string          // as they came
}

func startNamespace(t *testing.T) *namespaceServer {
	s := &namespaceServer{t: t, objects: map[string]map[string]any{}, dies: -1, ready: true}
	server := httptest.NewServer(http.HandlerFunc(s.serve))
	s.pod = httptest.NewServer(http.HandlerFunc(s.servePod))
	t.Cleanup(server.Close)
	t.Cleanup(s.pod.Close)
	s.url = server.URL
	return s
}

// deliverer is a loop that has just begun.
func (s *namespaceServer) deliverer() *Deliverer {
	s.t.Helper()
	d, err := New(&rest.Config{Host: s.url}, config(), Deps{Templates: os.DirFS("../../deploy/base")})
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

// revision is the pointer's.
func (s *namespaceServer) revision() string {
	var p pointer
	data, _ := s.objects["ConfigMap/pando-config"]["data"].(map[string]any)
	text, _ := data[pointerKey].(string)
	_ = json.Unmarshal([]byte(text), &p) // none is no revision
	return p.Revision
}

func (s *namespaceServer) servePod(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.URL.Path == "/-/reload" {
		if s.refuses != "" && s.revision() == s.refuses {
			http.Error(w, "it does not like it", http.StatusInternalServerError)
			return
		}
		s.loaded = s.revision()
		return
	}
	fmt.Fprintf(w, "# TYPE %s gauge\n%s{revision=%q} 1\n", RevisionMetric, RevisionMetric, s.loaded)
}

func (s *namespaceServer) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	answer := func(status int, v any) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	_, rest, _ := strings.Cut(r.URL.Path, "/namespaces/pando/")
	resource, name, one := strings.Cut(rest, "/")
	kind := ""
	for k, v := range kinds() {
		if v.gvr.Resource == resource {
			kind = k
		}
	}
	key := kind + "/" + name
	switch {
	case resource == "pods":
		answer(200, s.pods())
	case resource == "events":
		body, err := io.ReadAll(r.Body) // protobuf
		if err != nil {
			s.t.Error(err)
		}
		s.events = append(s.events, string(body))
		answer(201, map[string]any{"kind": "Event", "apiVersion": "v1"})
	case !one:
		answer(200, s.list(kind))
	case r.Method == http.MethodGet && s.objects[key] != nil:
		answer(200, s.rolled(kind, s.objects[key]))
	case r.Method == http.MethodGet:
		answer(404, map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404})
	case r.Method == http.MethodPatch && s.invalid[key] != "":
		code, reason := 422, "Invalid"
		if strings.Contains(s.invalid[key], "webhook") {
			code, reason = 400, "BadRequest"
		}
		answer(code, map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code, "message": s.invalid[key]})
	case r.URL.Query().Get("dryRun") == "All":
		s.tried = append(s.tried, key)
		var o map[string]any
		_ = json.NewDecoder(r.Body).Decode(&o) // it is answered as it came
		answer(200, o)
	case s.dies >= 0 && len(s.wrote) >= s.dies:
		answer(503, map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "ServiceUnavailable", "code": 503})
	case r.Method == http.MethodDelete:
		s.wrote = append(s.wrote, key)
		delete(s.objects, key)
		answer(200, map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Success"})
	default:
		s.wrote = append(s.wrote, key)
		answer(200, s.apply(key, r))
	}
}

// apply replaces an object, which is what applying does where there is one manager.
func (s *namespaceServer) apply(key string, r *http.Request) map[string]any {
	var o map[string]any
	if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
		s.t.Error(err)
	}
	meta, _ := o["metadata"].(map[string]any)
	meta["uid"], meta["resourceVersion"], meta["generation"] = "uid of "+key, strconv.Itoa(len(s.wrote)), int64(len(s.wrote))
	meta["managedFields"] = []any{map[string]any{"manager": "pando-gitops", "operation": "Apply", "fieldsV1": map[string]any{"f:x": map[string]any{}}}}
	s.objects[key] = o
	return o
}

// rolled adds what controllers say of a workload.
func (s *namespaceServer) rolled(kind string, o map[string]any) map[string]any {
	meta, _ := o["metadata"].(map[string]any)
	if spec, _ := o["spec"].(map[string]any); spec != nil {
		status := map[string]any{"observedGeneration": meta["generation"]}
		if s.ready || kind != "StatefulSet" {
			status["updatedReplicas"], status["readyReplicas"] = spec["replicas"], spec["replicas"]
		}
		o["status"] = status
	}
	return o
}

func (s *namespaceServer) list(kind string) any {
	items := []any{}
	for key, o := range s.objects {
		meta, _ := o["metadata"].(map[string]any)
		if labels, _ := meta["labels"].(map[string]any); path.Dir(key) == kind && labels[labelManagedBy] == managedBy {
			items = append(items, map[string]any{"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": meta})
		}
	}
	return map[string]any{"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": map[string]any{}, "items": items}
}

func (s *namespaceServer) pods() any {
	host, port, _ := net.SplitHostPort(s.pod.Listener.Addr().String())
	n, _ := strconv.Atoi(port)
	items := []any{}
	for i := range 1 + s.others {
		items = append(items, map[string]any{
			"metadata": map[string]any{"name": fmt.Sprintf("pando-leaf-%d", i), "uid": fmt.Sprintf("p%d", i)},
			"spec":     map[string]any{"containers": []any{map[string]any{"name": "pando", "ports": []any{map[string]any{"name": "http", "containerPort": n}}}}},
			"status":   map[string]any{"podIP": host, "conditions": []any{map[string]any{"type": "Ready", "status": "True"}}},
		})
	}
	return map[string]any{"kind": "PodList", "apiVersion": "v1", "metadata": map[string]any{}, "items": items}
}

// leafAndLoop is a revision by which the loop keeps a leaf and itself.
func leafAndLoop(t *testing.T, hash string, more ...Workload) *gitops.Bundle {
	b := bundle(t, append([]Workload{{Role: "leaf", Name: "leaf", Image: "pando:" + hash, Replicas: 1, Files: "leaf"}}, more...)...)
	b.Revision, b.Hash = "c"+hash, hash
	b.Files = map[string][]byte{"leaf/prometheus.yml": []byte("# " + hash)}
	return b
}

// The loop replaces itself last, once what it delivers runs, and what it runs on
// stays when the planet no longer names it.
func TestLoopReplacesItselfLast(t *testing.T) {
	s := startNamespace(t)
	own := func(image string) Workload {
		return Workload{Role: "gitops", Name: "gitops", Image: image, Replicas: 1}
	}
	if err := s.deliverer().Deliver(t.Context(), leafAndLoop(t, "a", own("pando:a"))); err != nil {
		t.Fatal(err)
	}
	s.wrote, s.ready = nil, false
	d := s.deliverer()
	var p *gitops.ProgressError
	if err := d.Deliver(t.Context(), leafAndLoop(t, "b", own("pando:b"))); !errors.As(err, &p) {
		t.Fatalf("error %v, want progress while the leaf is rolled", err)
	}
	if slices.Contains(s.wrote, "Deployment/pando-gitops") || !slices.Contains(s.wrote, "StatefulSet/pando-leaf") {
		t.Fatalf("wrote %q, want the leaf's, and not the loop's own Deployment yet", s.wrote)
	}
	s.ready, s.refuses, s.loaded = true, "b", "a"
	if err := d.Deliver(t.Context(), leafAndLoop(t, "b", own("pando:b"))); err == nil || slices.Contains(s.wrote, "Deployment/pando-gitops") {
		t.Fatalf("error %v, wrote %q; want the loop to stay while a pod refuses the revision", err, s.wrote)
	}
	s.refuses = ""
	if err := d.Deliver(t.Context(), leafAndLoop(t, "b", own("pando:b"))); err != nil {
		t.Fatal(err)
	}
	if i := slices.Index(s.wrote, "Deployment/pando-gitops"); i < 0 || slices.ContainsFunc(s.wrote[i:], func(w string) bool { return strings.HasPrefix(w, "StatefulSet/") }) {
		t.Fatalf("wrote %q, want the loop's own Deployment after the leaf's", s.wrote)
	}
	if got, err := d.Loaded(t.Context()); err != nil || got != "b" {
		t.Fatalf("loaded %q, error %v", got, err)
	}
	if err := d.Deliver(t.Context(), leafAndLoop(t, "c")); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"Deployment/pando-gitops", "Service/pando-gitops"} {
		if s.objects[key] == nil {
			t.Errorf("%s was removed with deploy.gitops", key)
		}
	}
	if got, err := d.Loaded(t.Context()); err != nil || got != "c" {
		t.Fatalf("loaded %q, error %v", got, err)
	}
	no := own("pando:d")
	no.Replicas = 0
	var refused *gitops.RefusedError
	if err := d.Deliver(t.Context(), leafAndLoop(t, "d", no)); !errors.As(err, &refused) {
		t.Errorf("error %v, want a loop without replicas to be refused", err)
	}
}

// A loop that is killed after any number of writes is followed by one that
// completes the delivery, or goes back, and leaves nothing that is not named.
func TestDeliveryKilledAtEachWrite(t *testing.T) {
	for _, then := range []string{"b", "a"} {
		ended := false
		for n := 0; !ended; n++ {
			s := startNamespace(t)
			own := Workload{Role: "gitops", Name: "gitops", Image: "pando:1", Replicas: 1}
			first := leafAndLoop(t, "a", own)
			own.Image = "pando:2"
			next := leafAndLoop(t, "b", own)
			if err := s.deliverer().Deliver(t.Context(), first); err != nil {
				t.Fatal(err)
			}
			s.wrote, s.dies = nil, n
			ended = s.deliverer().Deliver(t.Context(), next) == nil
			if s.dies = -1; n > 30 {
				t.Fatalf("%d writes, want a delivery to end", n)
			}
			if got, err := s.deliverer().Loaded(t.Context()); err == nil && got != "" && got != "a" && got != "b" {
				t.Errorf("killed after %d writes: loaded %q", n, got)
			}
			b := map[string]*gitops.Bundle{"a": first, "b": next}[then]
			d := s.deliverer()
			if err := d.Deliver(t.Context(), b); err != nil {
				t.Fatalf("killed after %d writes: %v", n, err)
			}
			if got, err := d.Loaded(t.Context()); err != nil || got != then {
				t.Errorf("killed after %d writes: loaded %q, error %v; want %s", n, got, err, then)
			}
			before := len(s.wrote)
			if err := d.Deliver(t.Context(), b); err != nil || len(s.wrote) != before {
				t.Errorf("killed after %d writes: %d more writes (%v) when nothing changed", n, len(s.wrote)-before, err)
			}
			inv, err := d.readInventory(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for key := range s.objects {
				if _, ok := inv.Objects[key]; !ok && key != "ConfigMap/pando-gitops-inventory" {
					t.Errorf("killed after %d writes: %s is in no inventory", n, key)
				}
			}
		}
	}
}

// What the API server refuses of a revision, be it the loop's own Deployment, is known
// before anything is written; that it cannot be tried out is no refusal.
func TestTriedOutBeforeAnythingIsWritten(t *testing.T) {
	own := Workload{Role: "gitops", Name: "gitops", Image: "pando:b", Replicas: 1}
	for _, key := range []string{"StatefulSet/pando-leaf", "Deployment/pando-gitops", "Service/pando-leaf", "NetworkPolicy/pando-leaf"} {
		s := startNamespace(t)
		if err := s.deliverer().Deliver(t.Context(), leafAndLoop(t, "a")); err != nil {
			t.Fatal(err)
		}
		if before := len(s.tried); before == 0 || slices.ContainsFunc(s.tried, func(k string) bool { return strings.HasPrefix(k, "ConfigMap/pando-leaf-") }) {
			t.Fatalf("tried out %q, want all but content", s.tried)
		}
		s.invalid, s.wrote = map[string]string{key: "a field is immutable"}, nil
		for k := range s.objects { // so that each has to be applied
			if k == key {
				delete(s.objects, k)
			}
		}
		var refused *gitops.RefusedError
		var unwritten *gitops.UnwrittenError
		if err := s.deliverer().Deliver(t.Context(), leafAndLoop(t, "b", own)); !errors.As(err, &refused) || !errors.As(err, &unwritten) || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: error %v, want a refusal that names it, and that nothing was written", key, err)
		}
		if len(s.wrote) > 0 {
			t.Errorf("%s: wrote %q before it was known to be refused", key, s.wrote)
		}
	}
	s := startNamespace(t)
	s.invalid = map[string]string{"Service/pando-leaf": `admission webhook "x" does not support dry run`}
	err := s.deliverer().Deliver(t.Context(), leafAndLoop(t, "a"))
	if !slices.Contains(s.wrote, "ConfigMap/pando-gitops-inventory") {
		t.Errorf("error %v, wrote %q; want it to be written, since it could not be tried out", err, s.wrote)
	}
}

// A revision by which there are fewer pods than before is not loaded, however often it
// is delivered.
func TestFewerPodsByDelivery(t *testing.T) {
	s := startNamespace(t)
	s.others = 1
	d := s.deliverer()
	if err := d.Deliver(t.Context(), leafAndLoop(t, "a")); err != nil {
		t.Fatal(err)
	}
	if got, err := d.Loaded(t.Context()); err != nil || got != "a" {
		t.Fatalf("loaded %q, error %v", got, err)
	}
	for range 2 {
		if err := d.Deliver(t.Context(), leafAndLoop(t, "b")); err != nil {
			t.Fatal(err)
		}
		s.others = 0 // it ends one of them
		if got, err := d.Loaded(t.Context()); err == nil {
			t.Fatalf("loaded %q with fewer pods than before", got)
		}
	}
}

// What was handed over stays when the revision that took it over is given up, wherever
// that ended; what another revision has wanted since is removed with the wish.
func TestHandedOverStays(t *testing.T) {
	const handed = "StatefulSet/pando-leaf"
	before := &gitops.Bundle{Revision: "cz", Hash: "z", Files: map[string][]byte{"leaf/prometheus.yml": []byte("# z")}}
	start := func() *namespaceServer {
		s := startNamespace(t)
		s.loaded = "z"
		if err := s.deliverer().Deliver(t.Context(), before); err != nil {
			t.Fatal(err)
		}
		s.objects[handed] = map[string]any{"apiVersion": "apps/v1", "kind": "StatefulSet", "spec": map[string]any{"replicas": 1}, "metadata": map[string]any{
			"name": "pando-leaf", "uid": "theirs", "labels": map[string]any{labelManagedBy: managedBy, labelOwner: "pando"},
		}}
		return s
	}
	ended := false
	for n := 0; !ended && n < 30; n++ {
		s := start()
		s.dies = len(s.wrote) + n
		ended = s.deliverer().Deliver(t.Context(), leafAndLoop(t, "a")) == nil
		s.dies = -1
		if err := s.deliverer().Deliver(t.Context(), before); err != nil {
			t.Fatalf("after %d writes: %v", n, err)
		}
		if s.objects[handed] == nil {
			t.Fatalf("given up after %d writes: what was handed over was removed", n)
		}
		if s.objects["Service/pando-leaf"] != nil {
			t.Fatalf("given up after %d writes: what the revision made stays", n)
		}
	}
	if !ended {
		t.Fatal("no delivery came to its end")
	}
	// Neither a second revision nor a kill within it make it ours.
	ended = false
	for n := 0; !ended && n < 30; n++ {
		s := start()
		for range 2 {
			if err := s.deliverer().Deliver(t.Context(), leafAndLoop(t, "a")); err != nil {
				t.Fatal(err)
			}
		}
		s.dies = len(s.wrote) + n
		ended = s.deliverer().Deliver(t.Context(), leafAndLoop(t, "b")) == nil
		s.dies = -1
		if err := s.deliverer().Deliver(t.Context(), before); err != nil {
			t.Fatalf("after %d writes: %v", n, err)
		}
		if s.objects[handed] == nil || s.objects["Service/pando-leaf"] != nil {
			t.Fatalf("the second given up after %d writes: what was handed over is there: %v, what was made: %v",
				n, s.objects[handed] != nil, s.objects["Service/pando-leaf"] != nil)
		}
	}
	if !ended {
		t.Fatal("no second delivery came to its end")
	}
}

// What was handed over is removed by a revision that does not want it and comes after
// one that has proved itself; after another one it stays, and that is told. What the
// loop made anew is its own.
func TestHandedOverIsNotWanted(t *testing.T) {
	const handed = "StatefulSet/pando-leaf"
	without := &gitops.Bundle{Revision: "cc", Hash: "c", Files: map[string][]byte{"leaf/prometheus.yml": []byte("# c")}}
	for _, c := range []struct {
		name          string
		proven, gone  bool // the revision before has proved itself; somebody removes it meanwhile
		stays, isTold bool
	}{
		{name: "after one that has proved itself", proven: true},
		{name: "after one that has not", stays: true, isTold: true},
		{name: "made anew", gone: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := startNamespace(t)
			s.objects[handed] = map[string]any{"apiVersion": "apps/v1", "kind": "StatefulSet", "spec": map[string]any{"replicas": 1}, "metadata": map[string]any{
				"name": "pando-leaf", "uid": "theirs", "labels": map[string]any{labelManagedBy: managedBy, labelOwner: "pando"},
			}}
			d := s.deliverer()
			if err := d.Deliver(t.Context(), leafAndLoop(t, "a")); err != nil {
				t.Fatal(err)
			}
			if c.gone {
				delete(s.objects, handed)
				if err := d.Deliver(t.Context(), leafAndLoop(t, "a")); err != nil {
					t.Fatal(err)
				}
			}
			deliver := d.Deliver
			if c.proven {
				deliver = d.Replace
			}
			s.loaded = "c"
			if err := deliver(t.Context(), without); err != nil {
				t.Fatal(err)
			}
			if got := s.objects[handed] != nil; got != c.stays {
				t.Errorf("it is there: %v, want %v", got, c.stays)
			}
			if got := strings.Contains(strings.Join(s.events, ""), "LeftBehind"); got != c.isTold {
				t.Errorf("events %q", s.events)
			}
			inv, err := d.readInventory(t.Context())
			if _, kept := inv.Objects[handed]; err != nil || kept {
				t.Errorf("it is among what is kept: %v, %v", kept, err)
			}
		})
	}
}
