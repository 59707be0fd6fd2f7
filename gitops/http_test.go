package gitops

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/pandometrics/pando/gitops/wave"
)

// say sends a command to a loop's HTTP API, and returns the status and what it
// answers.
func (m *member) say(name, body string, change ...func(*http.Request)) (int, Said) {
	m.t.Helper()
	h := m.loop.Handler(HTTPConfig{
		MayCommand: func(r *http.Request) error {
			if r.Header.Get("X-Stranger") != "" {
				return errors.New("strangers may not")
			}
			return nil
		},
		WebhookSecret: func() ([]byte, error) { return []byte("0123456789"), nil },
	})
	q := httptest.NewRequest(http.MethodPost, Path+"/"+name, strings.NewReader(body))
	q.Header.Set("Content-Type", "application/json")
	for _, f := range change {
		f(q)
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, q)
	var s Said
	_ = json.Unmarshal(rec.Body.Bytes(), &s)
	return rec.Code, s
}

func (m *member) mustSay(name, body string) {
	m.t.Helper()
	if code, s := m.say(name, body); code != http.StatusOK || s.Done == "" {
		m.t.Fatalf("%s: HTTP status %d: %+v", name, code, s)
	}
}

// The commands do what they say, and survive a restart.
func TestCommands(t *testing.T) {
	p := newPlanet(t, "a", "b", "c")
	one := p.repo.Commit("config", "one")
	p.pass(10 * time.Minute)
	p.loops[2].mustSay("pause", `{"why":"a fair"}`)
	_ = p.loops[2].loop.Close()
	p.loops[2].open()
	two := p.repo.Commit("config", "two")
	p.pass(10 * time.Minute)
	p.runs("one", "one", "one")
	if s := p.loops[0].loop.Status(); s.State != "paused" || !strings.Contains(s.Doing, "by cluster c") {
		t.Fatalf("status %s: %q, want it paused by c", s.State, s.Doing)
	}
	p.loops[2].mustSay("promote", "{}")
	p.pass(15 * time.Second)
	p.runs("one", "one", "two")
	p.loops[2].mustSay("resume", "{}")
	p.pass(15 * time.Minute)
	p.runs("two", "two", "two")

	p.loops[1].mustSay("abort", `{"revision":"`+two[:8]+`","why":"it smells"}`)
	p.pass(time.Minute)
	p.runs("one", "one", "one")
	if s := p.loops[0].loop.Status(); !strings.Contains(s.Doing, "it smells") && !strings.Contains(s.History[len(s.History)-1].Why, "it smells") {
		t.Fatalf("status %+v does not say why", s)
	}
	p.repo.Commit("config", "three")
	p.pass(20 * time.Minute)
	p.runs("three", "three", "three")
	p.loops[0].mustSay("rollback", `{"revision":"`+one+`"}`)
	p.pass(5 * time.Minute)
	p.runs("one", "three", "three")
	p.loops[0].mustSay("resume", `{}`)
	p.pass(5 * time.Minute)
	p.runs("three", "three", "three")
	p.loops[0].mustSay("rollback", `{}`)
	p.pass(time.Minute)
	p.runs("one", "three", "three")
}

func TestCommandsRefused(t *testing.T) {
	p := newPlanet(t, "a")
	a := p.loops[0]
	p.repo.Commit("config", "one")
	p.pass(5 * time.Minute)
	for _, c := range []struct {
		name, body string
		change     func(*http.Request)
		code       int
		says       string
	}{
		{"pause", "{}", func(q *http.Request) { q.Header.Set("X-Stranger", "1") }, 403, "strangers"},
		{"pause", "{}", func(q *http.Request) { q.Header.Set("Content-Type", "text/plain") }, 415, "JSON"},
		{"pause", `{"what":1}`, nil, 400, "unknown field"},
		{"pause", strings.Repeat(" ", 100<<10), nil, 400, "too large"},
		{"explode", "{}", nil, 422, "no such command"},
		{"promote", "{}", nil, 422, "no newer revision"},
		{"rollback", "{}", nil, 422, "no earlier revision"},
		{"abort", `{"revision":"zzzz"}`, nil, 422, "not the hash"},
		{"abort", `{"revision":"abcd"}`, nil, 422, "0 revisions are known"},
	} {
		change := c.change
		if change == nil {
			change = func(*http.Request) {}
		}
		if code, s := a.say(c.name, c.body, change); code != c.code || !strings.Contains(s.Error, c.says) {
			t.Errorf("%s %.40s: HTTP status %d, %q; want %d, %q", c.name, c.body, code, s.Error, c.code, c.says)
		}
	}
	rec := httptest.NewRecorder()
	a.loop.Handler(HTTPConfig{}).ServeHTTP(rec, httptest.NewRequest(http.MethodPost, Path+"/pause", nil))
	if rec.Code != http.StatusForbidden || a.loop.Status().Paused {
		t.Fatalf("a handler without permissions answers %d", rec.Code)
	}
}

// Webhooks are believed only with the secret, and make the loop look at once.
func TestWebhook(t *testing.T) {
	p := newPlanet(t, "a")
	a := p.loops[0]
	p.repo.Commit("config", "one")
	p.pass(2 * time.Minute)
	a.loop.fetchAt = p.now.Add(time.Hour)
	body := `{"ref":"refs/heads/main"}`
	sign := func(secret string) string {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(body))
		return hex.EncodeToString(mac.Sum(nil))
	}
	header := func(name, value string) func(*http.Request) {
		return func(q *http.Request) { q.Header.Set(name, value) }
	}
	for _, c := range []struct {
		name, value string
		code        int
	}{
		{"X-Hub-Signature-256", "sha256=" + sign("0123456789"), 202},
		{"X-Gitea-Signature", sign("0123456789"), 202},
		{"X-Gitlab-Token", "0123456789", 202},
		{"X-Hub-Signature-256", "sha256=" + sign("guess"), 403},
		{"X-Hub-Signature-256", "sha256=", 403},
		{"X-Hub-Signature-256", "nonsense", 403},
		{"X-Gitlab-Token", "guess", 403},
		{"X-Other", "x", 403},
	} {
		before := p.repo.Requests.Load()
		if code, s := a.say("webhook", body, header(c.name, c.value)); code != c.code {
			t.Errorf("%s: %s: HTTP status %d %+v, want %d", c.name, c.value, code, s, c.code)
		}
		p.now = p.now.Add(5 * time.Second)
		a.loop.fetchAt = p.now.Add(time.Hour)
		a.loop.turn(t.Context())
		if looked := p.repo.Requests.Load() > before; looked != (c.code == 202) {
			t.Errorf("%s: %s: it looked at the repository: %v", c.name, c.value, looked)
		}
	}
	rec := httptest.NewRecorder()
	a.loop.Handler(HTTPConfig{}).ServeHTTP(rec, httptest.NewRequest(http.MethodPost, Path+"/webhook", nil))
	if rec.Code != http.StatusNotFound {
		t.Fatalf("webhooks without a secret: HTTP status %d", rec.Code)
	}
}

// From a webhook to a loaded revision it takes no interval.
func TestRunHurries(t *testing.T) {
	p := newPlanet(t, "a")
	a := p.loops[0]
	a.loop.deps.Now, a.loop.sleep = time.Now, sleep
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	p.repo.Commit("config", "one")
	go func() { done <- a.loop.Run(ctx) }()
	wait := func(text string) {
		t.Helper()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for range tick.C {
			if a.workload.runs() == text {
				return
			}
			if t.Context().Err() != nil {
				t.Fatal("it never runs " + text)
			}
		}
	}
	wait("one")
	p.repo.Commit("config", "two")
	a.loop.Hurry()
	wait("two")
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestMetrics(t *testing.T) {
	p := newPlanet(t, "a")
	a := p.loops[0]
	rev := p.repo.Commit("config", "one")
	p.pass(5 * time.Minute)
	bad := strings.Repeat("ab", 20)
	a.mustSay("abort", `{"revision":"`+bad+`"}`)
	want := `
# HELP pando_config_loaded_timestamp_seconds When the cluster's workload confirmed to run the revision.
# TYPE pando_config_loaded_timestamp_seconds gauge
pando_config_loaded_timestamp_seconds{revision="` + rev + `",wave="w0"} 1.7672256e+09
# HELP pando_config_paused Whether the cluster asks the whole fleet to pause.
# TYPE pando_config_paused gauge
pando_config_paused 0
# HELP pando_config_rejected_timestamp_seconds When the cluster rejected the revision; no cluster takes it, and those that run it return to the last good one.
# TYPE pando_config_rejected_timestamp_seconds gauge
pando_config_rejected_timestamp_seconds{revision="` + bad + `",why="aborted by command"} 1.7672259e+09
`
	if err := testutil.GatherAndCompare(a.reg, strings.NewReader(want), MetricLoaded, MetricPaused, MetricRejected); err != nil {
		t.Error(err)
	}
	problems, err := testutil.GatherAndLint(a.reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
}

// The root is believed only if it answers in full.
func TestRoot(t *testing.T) {
	status, body, strict := 200, "", "false"
	part := "" // what is said to a gate that is asked of a part
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.FormValue("query") == "up" && q.FormValue("partial_response") == "true" {
			_, _ = w.Write([]byte(part))
			return
		}
		if q.FormValue("partial_response") != strict || q.FormValue("query") == "" {
			t.Errorf("asked with %v, want partial_response=%s", q.Form, strict)
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	defer srv.Close()
	r, err := NewRoot(srv.URL+"/", nil, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	vector := func(samples string) string {
		return `{"status":"success","data":{"resultType":"vector","result":[` + samples + `]}}`
	}
	g := wave.Gate{Name: "up", Expr: "up"}
	for _, c := range []struct {
		name, body string
		status     int
		want       wave.Verdict
	}{
		{"all non-zero", vector(`{"metric":{},"value":[1,"1"]},{"metric":{"a":"b"},"value":[1,"-2"]}`), 200, wave.Holds},
		{"one zero", vector(`{"metric":{},"value":[1,"1"]},{"metric":{"a":"b"},"value":[1,"0"]}`), 200, wave.Fails},
		{"not a number", vector(`{"metric":{},"value":[1,"NaN"]}`), 200, wave.Fails},
		{"empty", vector(""), 200, wave.Fails},
		{"scalar", `{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}`, 200, wave.Holds},
		{"scalar zero", `{"status":"success","data":{"resultType":"scalar","result":[1,"0"]}}`, 200, wave.Fails},
		{"matrix", `{"status":"success","data":{"resultType":"matrix","result":[]}}`, 200, wave.Unknown},
		{"partial", `{"status":"success","warnings":["zone eu is missing"],"data":{"resultType":"vector","result":[{"metric":{},"value":[1,"1"]}]}}`, 200, wave.Unknown},
		{"error", `{"status":"error","error":"strict: zone eu is missing"}`, 503, wave.Unknown},
		{"success with an odd status", vector(`{"metric":{},"value":[1,"1"]}`), 206, wave.Unknown},
		{"cut", vector(`{"metric":{},"value":[1,"1"]}`)[:40], 200, wave.Unknown},
		{"html", "<html>", 200, wave.Unknown},
	} {
		status, body = c.status, c.body
		a, err := r.Gate(t.Context(), g)
		if a.Verdict != c.want || (err != nil) != (c.want == wave.Unknown) {
			t.Errorf("%s: answer %+v, error %v; want verdict %v", c.name, a, err, c.want)
		}
	}
	// Of a part it is told which clusters fail, and nothing of what names none.
	status, body = 503, `{"status":"error","error":"strict: zone eu is missing"}`
	part = `{"status":"success","warnings":["zone eu is missing"],"data":{"resultType":"vector","result":[
		{"metric":{"cluster":"a"},"value":[1,"1"]},{"metric":{"cluster":"b"},"value":[1,"0"]},{"metric":{},"value":[1,"0"]},{"metric":{"cluster":"c"},"value":[1,"NaN"]}]}}`
	a, err := r.Gate(t.Context(), g)
	if diff := cmp.Diff(GateAnswer{Failing: []string{"b", "c"}}, a); diff != "" || err == nil {
		t.Errorf("the answer of a part: %s %v", diff, err)
	}
	// Of several samples the one is told that decides.
	status, body = 200, vector(`{"metric":{"cluster":"a"},"value":[1,"-2"]},{"metric":{"cluster":"b"},"value":[1,"0"]}`)
	a, err = r.Gate(t.Context(), g)
	if diff := cmp.Diff(GateAnswer{Verdict: wave.Fails, Samples: 2, Labels: map[string]string{"cluster": "b"}}, a); diff != "" || err != nil {
		t.Errorf("the sample that fails: %s %v", diff, err)
	}
	status, body = 200, vector(`
		{"metric":{"__name__":"pando_config_loaded_timestamp_seconds","cluster":"a","revision":"r1"},"value":[1,"5"]},
		{"metric":{"__name__":"pando_config_loaded_timestamp_seconds","cluster":"b","revision":"r1"},"value":[1,"5"]},
		{"metric":{"__name__":"pando_config_loaded_timestamp_seconds","cluster":"b","revision":"r2"},"value":[1,"6"]},
		{"metric":{"__name__":"pando_config_rejected_timestamp_seconds","cluster":"b","revision":"r3","why":"gate"},"value":[1,"6"]},
		{"metric":{"__name__":"pando_config_revision_info","cluster":"a","revision":"r2","state":"pending"},"value":[1,"1"]},
		{"metric":{"__name__":"pando_config_revision_info","cluster":"b","revision":"r4","state":"newest"},"value":[1,"1"]},
		{"metric":{"__name__":"pando_config_paused","cluster":"a"},"value":[1,"0"]},
		{"metric":{"__name__":"pando_config_paused","cluster":"d"},"value":[1,"1"]},
		{"metric":{"__name__":"pando_config_paused","cluster":"c"},"value":[1,"1"]}`)
	f, err := r.Fleet(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := &wave.Fleet{Clusters: map[string]string{"a": "r1", "b": ""}, Moving: map[string]string{"a": "r2"}, Rejected: map[string]string{"r3": "by cluster b: gate"}, Paused: "c, d"}
	if diff := cmp.Diff(want, f); diff != "" {
		t.Error(diff)
	}
	strict = "true" // what a part says is heard when asked for
	body = `{"status":"success","warnings":["zone us is missing"],"data":{"resultType":"vector","result":[
		{"metric":{"__name__":"pando_config_loaded_timestamp_seconds","cluster":"a","revision":"r1"},"value":[1,"5"]}]}}`
	if f, err := r.Heard(t.Context()); err != nil || f.Clusters["a"] != "r1" {
		t.Errorf("heard %+v, error %v", f, err)
	}
	strict = "false"
	if f, err := r.Fleet(t.Context()); err == nil {
		t.Errorf("fleet %+v of a partial answer", f)
	}
	body = vector(`{"metric":{"__name__":"pando_config_paused"},"value":[1,"0"]}`)
	if f, err := r.Fleet(t.Context()); err == nil {
		t.Errorf("fleet %+v of a cluster without a name", f)
	}
	srv.Close()
	if f, err := r.Fleet(t.Context()); err == nil {
		t.Errorf("fleet %+v of a root that is down", f)
	}
	for _, bad := range []string{"", "root:9090", "ftp://x", "http://"} {
		if _, err := NewRoot(bad, nil, 0); err == nil {
			t.Errorf("URL %q is accepted", bad)
		}
	}
}
