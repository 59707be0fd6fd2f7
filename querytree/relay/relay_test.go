package relay_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"
	"go.uber.org/goleak"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is a tier of a tree in memory: only what it says of itself is real.
type node struct {
	querytree.Child
	description querytree.Description
	relay       *relay.Relay
	members     []querytree.Member
	nodes       []querytree.Node
	registry    *prometheus.Registry
}

func (n *node) Describe() querytree.Description { return n.description }

// tier returns a tier with some below it.
func tier(t *testing.T, id querytree.Identity, change func(*relay.Config), below ...querytree.Member) *node {
	t.Helper()
	n := &node{description: querytree.Description{Identity: id, Version: "1.2"}, members: below, registry: prometheus.NewRegistry()}
	cfg := relay.Config{
		Describe: n.Describe, Members: func() []querytree.Member { return n.members }, Nodes: func() []querytree.Node { return n.nodes },
		Registerer: n.registry,
	}
	if change != nil {
		change(&cfg)
	}
	var err error
	if n.relay, err = relay.New(cfg); err != nil {
		t.Fatal(err)
	}
	n.relay.Serve(echo(id.Name()))
	return n
}

// echo answers with who it is and what was asked.
func echo(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.Header.Get("Accept-Encoding") != "" {
			w.Header().Set("Content-Encoding", r.Header.Get("Accept-Encoding"))
		}
		if r.URL.Query().Get("state") == "teapot" {
			w.WriteHeader(http.StatusTeapot)
		}
		fmt.Fprintf(w, "%s: %s %s %s", name, r.Method, r.RequestURI, r.Header.Get("X-Request-Id"))
	})
}

// member is a tier as its parent knows it.
func (n *node) member() querytree.Member {
	c := n.relay.Child(n)
	return querytree.Member{Child: c, Description: c.Describe(), Connected: true}
}

// missing is a tier that is not connected to its parent.
func (n *node) missing() querytree.Member {
	m := n.member()
	m.Connected = false
	return m
}

// old is a tier of a version that knows nothing of status requests.
func (n *node) old() querytree.Member {
	return querytree.Member{Child: n, Description: n.description, Connected: true}
}

func leafID(cluster string) querytree.Identity {
	zone, _, _ := strings.Cut(cluster, "-")
	return querytree.Identity{Tier: querytree.TierLeaf, Labels: labels.FromStrings("zone", zone, "cluster", cluster)}
}

func zoneID(zone string) querytree.Identity {
	return querytree.Identity{Tier: querytree.TierZone, Labels: labels.FromStrings("zone", zone)}
}

var rootID = querytree.Identity{Tier: querytree.TierRoot}

func replica(id querytree.Identity, name string) querytree.Identity {
	id.Replica = name
	return id
}

// got is what came of a request.
type got struct {
	Code           int
	Body           string
	Encoding       string
	Kind           querytree.StatusKind
	About, At, Why string
	Near           []string
}

// ask asks a tier for the status of a member.
func ask(ctx context.Context, n *node, req querytree.StatusRequest) got {
	var g got
	err := n.relay.Status(ctx, req, func(a querytree.StatusAnswer) error {
		if a.Member != req.Member {
			return fmt.Errorf("answer of %q", a.Member)
		}
		g.Code, g.Body, g.Encoding = a.Code, string(a.Body), a.ContentEncoding
		return nil
	})
	if e, ok := errors.AsType[*querytree.StatusError](err); ok {
		g.Kind, g.About, g.At, g.Near, g.Why = e.Kind, e.Member, e.At, e.Near, e.Text
	} else if err != nil {
		g.Why = err.Error()
	}
	return g
}

func targets(member string) querytree.StatusRequest {
	return querytree.StatusRequest{Member: member, Path: "/api/v1/targets"}
}

// planet is a tree of three tiers with all that can be wrong with a member.
func planet(t *testing.T) *node {
	t.Helper()
	leaf := func(cluster string) *node { return tier(t, leafID(cluster), nil) }
	refusing := tier(t, leafID("eu-4"), func(c *relay.Config) { c.Refuse = true })
	page := leaf("eu-5")
	page.relay.Serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<script>")
	}))
	broken := leaf("eu-6")
	broken.relay.Serve(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("out of order") }))
	large := leaf("eu-7")
	large.relay.Serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for b := make([]byte, 1<<20); ; {
			if _, err := w.Write(b); err != nil {
				return
			}
		}
	}))
	other := leaf("eu-8").member()
	other.Description.Labels = labels.FromStrings("zone", "eu", "cluster", "eu-9") // it answers for another
	eu := tier(t, zoneID("eu"), func(c *relay.Config) { c.Refuse = true },
		leaf("eu-1").member(), leaf("eu-2").missing(), leaf("eu-3").old(), refusing.member(), page.member(), broken.member(), large.member(), other,
		tier(t, replica(leafID("eu-10"), "a"), nil).member(), tier(t, replica(leafID("eu-10"), "b"), nil).member())
	eu.nodes = []querytree.Node{{Description: eu.members[1].Description, Since: time.Unix(1e9, 0), Error: "connection closed"}}
	us := tier(t, zoneID("us"), nil, leaf("us-1").member())
	asia := tier(t, zoneID("asia"), nil, leaf("asia-1").member())
	// Two replicas of a zone have the same leaves, but not all at any time.
	saA := tier(t, replica(zoneID("sa"), "a"), nil, leaf("sa-1").member(), leaf("sa-2").missing())
	saB := tier(t, replica(zoneID("sa"), "b"), nil, leaf("sa-2").member())
	return tier(t, rootID, nil, eu.member(), us.missing(), asia.old(), saA.member(), saB.member())
}

// A request reaches the member that it names, and comes back with its answer or
// with why there is none, and who says so.
func TestThroughTheTree(t *testing.T) {
	root := planet(t)
	const eu = "zone=eu,cluster="
	for _, tc := range []struct {
		about  string
		member string
		want   got
	}{
		{"a leaf below a zone", eu + "eu-1", got{Code: 200, Body: eu + "eu-1: GET /api/v1/targets "}},
		{"a zone", "zone=sa/replica=a", got{Code: 200, Body: "zone=sa/replica=a: GET /api/v1/targets "}},
		{"the tier that is asked", "root", got{Code: 200, Body: "root: GET /api/v1/targets "}},
		{"one of two replicas", eu + "eu-10/replica=b", got{Code: 200, Body: eu + "eu-10/replica=b: GET /api/v1/targets "}},
		{"connected to the first replica of a zone only", "zone=sa,cluster=sa-1", got{Code: 200, Body: "zone=sa,cluster=sa-1: GET /api/v1/targets "}},
		{"connected to the second only", "zone=sa,cluster=sa-2", got{Code: 200, Body: "zone=sa,cluster=sa-2: GET /api/v1/targets "}},

		{"replicas, without saying which", eu + "eu-10", got{
			Kind: querytree.StatusUnknownMember, About: eu + "eu-10", At: "zone=eu", Near: []string{
				"zone=eu", eu + "eu-1", eu + "eu-10/replica=a", eu + "eu-10/replica=b", eu + "eu-2",
			},
		}},
		{"a slip of the pen", eu + "eu-11", got{
			Kind: querytree.StatusUnknownMember, About: eu + "eu-11", At: "zone=eu", Near: []string{"zone=eu", eu + "eu-1", eu + "eu-2", eu + "eu-3", eu + "eu-4"},
		}},
		{"no such zone", "zone=eux", got{Kind: querytree.StatusUnknownMember, About: "zone=eux", At: "root", Near: []string{"zone=eu", "zone=us"}}},
		{"a leaf that is away", eu + "eu-2", got{Kind: querytree.StatusMissing, About: eu + "eu-2", At: "zone=eu"}},
		{"a zone that is away", "zone=us", got{Kind: querytree.StatusMissing, About: "zone=us", At: "root"}},
		{"a leaf of a zone that is away", "zone=us,cluster=us-1", got{Kind: querytree.StatusMissing, About: "zone=us", At: "root"}},
		{"a leaf of an old version", eu + "eu-3", got{Kind: querytree.StatusTooOld, About: eu + "eu-3", At: "zone=eu"}},
		{"a leaf of a zone of an old version", "zone=asia,cluster=asia-1", got{Kind: querytree.StatusTooOld, About: "zone=asia", At: "root"}},
		{"a leaf that refuses", eu + "eu-4", got{Kind: querytree.StatusRefused, About: eu + "eu-4", At: eu + "eu-4"}},
		{"a zone that refuses, though not for its leaves", "zone=eu", got{Kind: querytree.StatusRefused, About: "zone=eu", At: "zone=eu"}},
		{"a leaf that answers with a page", eu + "eu-5", got{Kind: querytree.StatusFailed, About: eu + "eu-5", At: "zone=eu"}},
		{"a leaf that crashes", eu + "eu-6", got{Kind: querytree.StatusFailed, About: eu + "eu-6", At: eu + "eu-6"}},
		{"too large an answer", eu + "eu-7", got{Kind: querytree.StatusTooLarge, About: eu + "eu-7", At: eu + "eu-7"}},
		{"a leaf that is another", eu + "eu-9", got{Kind: querytree.StatusUnknownMember, About: eu + "eu-9", At: eu + "eu-8"}},
		{"no member", "", got{Kind: querytree.StatusBadRequest, At: "root"}},
	} {
		t.Run(tc.about, func(t *testing.T) {
			g := ask(t.Context(), root, targets(tc.member))
			if tc.want.Kind != "" && g.Why == "" {
				t.Error("no reason is given")
			}
			g.Why = ""
			if len(tc.want.Near) == 0 {
				g.Near = nil
			}
			if d := gocmp.Diff(tc.want, g); d != "" {
				t.Error(d)
			}
		})
	}
}

// The answer is the member's own: what was asked comes to it as it was sent, and
// what it answers comes back as it is.
func TestAsItIs(t *testing.T) {
	root := planet(t)
	req := targets("zone=eu,cluster=eu-1")
	req.Query, req.AcceptEncoding, req.ID = "state=teapot&x=%2F%zz;", "gzip", "id-1"
	want := got{Code: http.StatusTeapot, Body: "zone=eu,cluster=eu-1: GET /api/v1/targets?state=teapot&x=%2F%zz; id-1", Encoding: "gzip"}
	if d := gocmp.Diff(want, ask(t.Context(), root, req)); d != "" {
		t.Error(d)
	}
}

// Since when a member is away, and why, is told by the tier that misses it.
func TestSinceWhen(t *testing.T) {
	root := planet(t)
	err := root.relay.Status(t.Context(), targets("zone=eu,cluster=eu-2"), nil)
	e, ok := errors.AsType[*querytree.StatusError](err)
	if !ok || !e.Since.Equal(time.Unix(1e9, 0)) || !strings.Contains(e.Text, "2001-09-09") || !strings.Contains(e.Text, "connection closed") {
		t.Errorf("%+v", err)
	}
}

// Every tier holds to the list of paths, whoever asks.
func TestEveryTierChecks(t *testing.T) {
	leaf := tier(t, leafID("eu-1"), nil)
	parents := leaf.member().Child.(querytree.StatusReader)
	for _, path := range []string{"/api/v1/admin/tsdb/snapshot", "/api/v1/query", "/-/reload", "", "/api/v1/targets/"} {
		err := parents.Status(t.Context(), querytree.StatusRequest{Member: "zone=eu,cluster=eu-1", Path: path}, func(querytree.StatusAnswer) error {
			t.Errorf("%q was answered", path)
			return nil
		})
		if e, ok := errors.AsType[*querytree.StatusError](err); !ok || e.Kind != querytree.StatusNotAllowed {
			t.Errorf("%q: %v", path, err)
		}
	}
}

// Its own users may read the status of a tier that refuses it to those above.
func TestRefusedToParentsOnly(t *testing.T) {
	leaf := tier(t, leafID("eu-1"), func(c *relay.Config) { c.Refuse = true })
	if g := ask(t.Context(), leaf, targets("zone=eu,cluster=eu-1")); g.Code != http.StatusOK {
		t.Errorf("%+v", g)
	}
	if d := leaf.member().Description; !d.Has(querytree.FeatureStatus) || !d.Has(querytree.FeatureStatusRefused) {
		t.Errorf("features %v", d.Features)
	}
}

// A member that does not answer costs its request, at the tier nearest to it, and
// not the requests to others; and what it goes on doing keeps its slot.
func TestSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := tier(t, leafID("eu-1"), func(c *relay.Config) { c.MaxServed = 1 })
		free := make(chan struct{})
		slow.relay.Serve(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-free })) // heeds nothing
		zone := tier(t, zoneID("eu"), nil, slow.member(), tier(t, leafID("eu-2"), nil).member())
		root := tier(t, rootID, nil, zone.member())
		begin := time.Now()
		g := ask(t.Context(), root, targets("zone=eu,cluster=eu-1"))
		if g.Kind != querytree.StatusSlow || g.About != "zone=eu,cluster=eu-1" || g.At != g.About {
			t.Errorf("%+v", g)
		}
		// Each tier gives the next a little less, so that it can still say who was slow.
		if took := time.Since(begin); took != 8100*time.Millisecond {
			t.Errorf("took %v", took)
		}
		if g := ask(t.Context(), root, targets("zone=eu,cluster=eu-2")); g.Code != http.StatusOK {
			t.Errorf("the other leaf: %+v", g)
		}
		if g := ask(t.Context(), root, targets("zone=eu,cluster=eu-1")); g.Kind != querytree.StatusBusy {
			t.Errorf("while the first request goes on: %+v", g)
		}
		close(free)
		synctest.Wait()
		slow.relay.Serve(echo("eu-1"))
		if g := ask(t.Context(), root, targets("zone=eu,cluster=eu-1")); g.Code != http.StatusOK {
			t.Errorf("after it has ended: %+v", g)
		}
	})
}

// Who hangs up is not kept waiting, and the member is told.
func TestCanceled(t *testing.T) {
	leaf := tier(t, leafID("eu-1"), nil)
	entered, left := make(chan struct{}), make(chan struct{})
	leaf.relay.Serve(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
		close(left)
	}))
	root := tier(t, rootID, nil, tier(t, zoneID("eu"), nil, leaf.member()).member())
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-entered; cancel() }()
	if g := ask(ctx, root, targets("zone=eu,cluster=eu-1")); g.Kind != "" || g.Why != context.Canceled.Error() {
		t.Errorf("%+v", g)
	}
	<-left
}

// What a tier passes on at a time is bounded, and said.
func TestBusy(t *testing.T) {
	leaf := tier(t, leafID("eu-1"), nil)
	entered, free := make(chan struct{}), make(chan struct{})
	leaf.relay.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		<-free
		echo("eu-1").ServeHTTP(w, r)
	}))
	zone := tier(t, zoneID("eu"), func(c *relay.Config) { c.MaxPassed = 1 }, leaf.member())
	root := tier(t, rootID, nil, zone.member())
	first := make(chan got, 1)
	go func() { first <- ask(t.Context(), root, targets("zone=eu,cluster=eu-1")) }()
	<-entered
	if g := ask(t.Context(), root, targets("zone=eu,cluster=eu-1")); g.Kind != querytree.StatusBusy || g.At != "zone=eu" {
		t.Errorf("second: %+v", g)
	}
	close(free)
	if g := <-first; g.Code != http.StatusOK {
		t.Errorf("first: %+v", g)
	}
	want := `
		# HELP pando_tree_status_requests_in_flight Status requests that are being passed on or served.
		# TYPE pando_tree_status_requests_in_flight gauge
		pando_tree_status_requests_in_flight{role="passed"} 0
		# HELP pando_tree_status_requests_total Status requests that were passed on to a member below, or served by this tier itself, by outcome.
		# TYPE pando_tree_status_requests_total counter
		pando_tree_status_requests_total{outcome="answered",role="passed"} 1
		pando_tree_status_requests_total{outcome="busy",role="passed"} 1
	`
	if err := testutil.GatherAndCompare(zone.registry, strings.NewReader(want), "pando_tree_status_requests_in_flight", "pando_tree_status_requests_total"); err != nil {
		t.Error(err)
	}
}

// The bytes of all answers that a tier holds are bounded; and given back.
func TestBytesHeld(t *testing.T) {
	leaf := tier(t, leafID("eu-1"), func(c *relay.Config) { c.MaxHeld = 100 << 10 })
	leaf.relay.Serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(make([]byte, 60<<10))
	}))
	root := tier(t, rootID, nil, leaf.member())
	for range 3 {
		var inner got
		err := root.relay.Status(t.Context(), targets("zone=eu,cluster=eu-1"), func(querytree.StatusAnswer) error {
			inner = ask(t.Context(), root, targets("zone=eu,cluster=eu-1")) // while the first is held
			return nil
		})
		if err != nil || inner.Kind != querytree.StatusBusy || inner.About != "zone=eu,cluster=eu-1" {
			t.Errorf("first: %v, second: %+v", err, inner)
		}
	}
}

// Names are compared without a great cost, however long and however many.
func TestNearIsBounded(t *testing.T) {
	var members []querytree.Member
	for i := range 100 {
		members = append(members, tier(t, leafID(fmt.Sprintf("eu-%d", i)), nil).member())
	}
	root := tier(t, rootID, nil, members...)
	if g := ask(t.Context(), root, targets("zone=eu,cluster=eu")); len(g.Near) != 5 || !slices.IsSortedFunc(g.Near, cmp.Compare) {
		t.Errorf("%+v", g)
	}
	if g := ask(t.Context(), root, targets(strings.Repeat("x", 4000))); len(g.Near) != 0 || len(g.Why) > 500 || g.Kind != querytree.StatusUnknownMember {
		t.Errorf("%+v", g)
	}
	if g := ask(t.Context(), root, targets(strings.Repeat("x", 9000))); g.Kind != querytree.StatusBadRequest {
		t.Errorf("%+v", g)
	}
}
