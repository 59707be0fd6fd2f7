package rollouts

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pandometrics/pando/gitops"
)

// Path is where the HTTP API begins:
//
//	GET  PATH                 Overview
//	GET  PATH/commits         Commits, limit=50 of them
//	GET  PATH/diff            gitops.Difference of revisions from and to, in cluster or in all
//	GET  PATH/history         History, limit=200 events
//	GET  PATH/clusters/NAME   gitops.Status of a cluster's loop
//	POST PATH/COMMAND         an Order; the answer has a Result of each loop
const Path = "/pando/api/v1/rollouts"

const (
	// fresh is how old an Overview may be.
	fresh          = time.Second
	defaultTimeout = 5 * time.Second
	// asking bounds all questions for one Overview together.
	asking = 30 * time.Second
	// diffTimeout is longer, for two revisions are fetched.
	diffTimeout = 2 * time.Minute

	defaultCommits, maxCommits = 50, 500
	defaultEvents, maxEvents   = 200, 10_000
)

// View serves the HTTP API. It is safe for concurrent use.
type View struct {
	cfg    Config
	loops  []*remote
	mux    *http.ServeMux
	origin *http.CrossOriginProtection

	mu   sync.Mutex // held while everybody is asked, so that they are asked once
	last *Overview
}

// New returns a view. It asks nobody yet.
func New(cfg Config) (*View, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Client == nil {
		cfg.Client = &http.Client{}
	}
	cfg.Timeout = cmp.Or(cfg.Timeout, defaultTimeout)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	v := &View{cfg: cfg, mux: http.NewServeMux(), origin: http.NewCrossOriginProtection()}
	for _, u := range cfg.Loops {
		v.loops = append(v.loops, &remote{base: strings.TrimSuffix(u, "/"), client: cfg.Client, limit: cfg.Timeout})
	}
	v.mux.HandleFunc("GET "+Path, v.overviewHTTP)
	v.mux.HandleFunc("GET "+Path+"/commits", v.commitsHTTP)
	v.mux.HandleFunc("GET "+Path+"/diff", v.diffHTTP)
	v.mux.HandleFunc("GET "+Path+"/history", v.historyHTTP)
	v.mux.HandleFunc("GET "+Path+"/clusters/{cluster}", v.clusterHTTP)
	v.mux.HandleFunc("POST "+Path+"/{command}", v.commandHTTP)
	return v, nil
}

// ServeHTTP implements http.Handler.
func (v *View) ServeHTTP(w http.ResponseWriter, r *http.Request) { v.mux.ServeHTTP(w, r) }

// Overview returns how far the newest revision is. It is a second old at most.
func (v *View) Overview(ctx context.Context) *Overview {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.last != nil && v.cfg.Now().Sub(v.last.Time) < fresh {
		return v.last
	}
	// Others wait for the same answer: it is not this request's alone.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), asking)
	defer cancel()
	v.last = v.ask(ctx).overview()
	return v.last
}

// forget has the next request see what a command did.
func (v *View) forget() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.last = nil
}

// may tells whether a request may command, and if not why.
func (v *View) may(r *http.Request) error {
	if v.cfg.MayCommand == nil {
		return errors.New("commands are not allowed here")
	}
	return v.cfg.MayCommand(r)
}

func respond(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client is gone, or will see that it is cut
}

func refuse(w http.ResponseWriter, status int, err error) {
	var said *saidError
	if errors.As(err, &said) {
		status = said.status
	}
	respond(w, status, gitops.Said{Error: err.Error()})
}

func (v *View) overviewHTTP(w http.ResponseWriter, r *http.Request) {
	o := *v.Overview(r.Context())
	o.Commands = commands(v.may(r))
	respond(w, http.StatusOK, o)
}

// limit reads a number of a request.
func limit(r *http.Request, standard, most int) (int, error) {
	text := r.FormValue("limit")
	if text == "" {
		return standard, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return 0, fmt.Errorf("limit must be a number from 1 to %d", most)
	}
	return n, nil
}

// any asks loops in turn until one answers; what one says against the request
// all would say.
func (v *View) any(ask func(*remote) error) error {
	err := errors.New("no control loop is known here: name some with --rollouts.loop")
	for _, r := range v.loops {
		err = ask(r)
		var said *saidError
		if err == nil || errors.As(err, &said) && said.status == http.StatusUnprocessableEntity {
			return err
		}
	}
	return err
}

func (v *View) commitsHTTP(w http.ResponseWriter, r *http.Request) {
	most, err := limit(r, defaultCommits, maxCommits)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	var got gitops.Commits
	if err := v.any(func(l *remote) error { return l.get(r.Context(), "/commits?limit="+strconv.Itoa(most), &got) }); err != nil {
		refuse(w, http.StatusBadGateway, err)
		return
	}
	o := v.Overview(r.Context())
	out := Commits{Ref: got.Ref, Truncated: got.Truncated, Commits: make([]Commit, 0, len(got.Commits))}
	for _, c := range got.Commits {
		one := Commit{Commit: c}
		o.annotate(&one)
		out.Commits = append(out.Commits, one)
	}
	respond(w, http.StatusOK, out)
}

func (v *View) diffHTTP(w http.ResponseWriter, r *http.Request) {
	q := url.Values{"from": {r.FormValue("from")}, "to": {r.FormValue("to")}, "cluster": {r.FormValue("cluster")}}
	var d gitops.Difference
	err := v.any(func(l *remote) error {
		patient := remote{base: l.base, client: l.client, limit: diffTimeout}
		return patient.get(r.Context(), "/diff?"+q.Encode(), &d)
	})
	if err != nil {
		refuse(w, http.StatusBadGateway, err)
		return
	}
	respond(w, http.StatusOK, d)
}

func (v *View) historyHTTP(w http.ResponseWriter, r *http.Request) {
	most, err := limit(r, defaultEvents, maxEvents)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	out := History{Events: []Event{}}
	var mu sync.Mutex
	each(v.loops, func(_ int, l *remote) {
		s, err := l.status(r.Context(), false)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			out.Warnings = append(out.Warnings, fmt.Sprintf("the control loop %s does not answer: %v", cmp.Or(l.name(), l.base), err))
			return
		}
		for _, e := range s.History {
			out.Events = append(out.Events, Event{e.At, s.Cluster, e.Revision, e.What, e.Why})
		}
	})
	slices.SortStableFunc(out.Events, func(a, b Event) int { return cmp.Or(b.At.Compare(a.At), cmp.Compare(a.Cluster, b.Cluster)) })
	out.Events = out.Events[:min(len(out.Events), most)]
	slices.Sort(out.Warnings)
	respond(w, http.StatusOK, out)
}

// loopOf finds the loop of a cluster, by what loops said last.
func (v *View) loopOf(ctx context.Context, cluster string) (*remote, error) {
	find := func() *remote {
		if i := slices.IndexFunc(v.loops, func(r *remote) bool { return r.name() == cluster }); i >= 0 {
			return v.loops[i]
		}
		return nil
	}
	if r := find(); r != nil {
		return r, nil
	}
	v.Overview(ctx) // learns who is who
	if r := find(); r != nil {
		return r, nil
	}
	return nil, fmt.Errorf("the control loop of cluster %q is not known here, or did not answer yet: name it with --rollouts.loop", cluster)
}

func (v *View) clusterHTTP(w http.ResponseWriter, r *http.Request) {
	l, err := v.loopOf(r.Context(), r.PathValue("cluster"))
	if err != nil {
		refuse(w, http.StatusNotFound, err)
		return
	}
	s, err := l.status(r.Context(), false)
	if err != nil {
		refuse(w, http.StatusBadGateway, err)
		return
	}
	respond(w, http.StatusOK, s)
}

// maxOrder bounds what is read of a command.
const maxOrder = 1 << 20

func (v *View) commandHTTP(w http.ResponseWriter, r *http.Request) {
	err := v.may(r)
	if err == nil {
		err = v.origin.Check(r)
	}
	if err != nil {
		refuse(w, http.StatusForbidden, err)
		return
	}
	// A form of another site cannot send this type, so a browser cannot be made
	// to command with its user's password.
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		refuse(w, http.StatusUnsupportedMediaType, errors.New("send JSON, with its content type"))
		return
	}
	var o Order
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxOrder))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&o); err != nil {
		refuse(w, http.StatusBadRequest, fmt.Errorf("read command: %w", err))
		return
	}
	results, err := v.Command(r.Context(), r.PathValue("command"), o)
	if err != nil {
		refuse(w, http.StatusUnprocessableEntity, err)
		return
	}
	status := http.StatusUnprocessableEntity
	if slices.ContainsFunc(results, func(r Result) bool { return r.Error == "" }) {
		status = http.StatusOK
	}
	respond(w, status, struct {
		Results []Result `json:"results"`
	}{results})
}

// Command tells loops to do something. The error says that none was told.
func (v *View) Command(ctx context.Context, name string, o Order) ([]Result, error) {
	i := slices.IndexFunc(commands(nil), func(c Command) bool { return c.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("there is no command %.40q", name)
	}
	if o.Revision == "" && len(o.Clusters) == 0 && commands(nil)[i].Revision == "needed" {
		// What is obvious for one cluster is another revision for the next.
		return nil, fmt.Errorf("%s of all clusters needs a revision", name)
	}
	loops := v.loops
	if len(o.Clusters) > 0 {
		loops = nil
	}
	for _, c := range o.Clusters {
		l, err := v.loopOf(ctx, c)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(loops, l) {
			loops = append(loops, l)
		}
	}
	if len(loops) == 0 {
		return nil, errors.New("no control loop is known here: name some with --rollouts.loop")
	}
	out := make([]Result, len(loops))
	// Who has sent a command wants all of it, even if the page is closed meanwhile.
	ctx = context.WithoutCancel(ctx)
	each(loops, func(i int, l *remote) {
		done, err := l.command(ctx, gitops.Command{Name: name, Revision: o.Revision, Why: o.Why})
		out[i] = Result{Cluster: cmp.Or(l.name(), l.base), Done: done}
		if err != nil {
			out[i].Error = err.Error()
		}
	})
	v.forget()
	return out, nil
}
