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
	"sync/atomic"
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
	// fresh is how long an Overview or History is told again.
	fresh          = time.Second
	defaultTimeout = 5 * time.Second
	// asking bounds the questions for one answer together, askingWaves those for
	// waves, which come after the others.
	asking      = 30 * time.Second
	askingWaves = 10 * time.Second
	// commanding bounds a command to all loops.
	commanding = 2 * time.Minute
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

	overviews kept[Overview]
	histories kept[History]
	answered  atomic.Pointer[remote] // by whom any was answered last
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
		v.loops = append(v.loops, &remote{base: strings.TrimSuffix(u, "/"), client: cfg.Client, limit: cfg.Timeout, seen: &seen{}})
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

// Overview returns how far the newest revision is. Loops are asked a second after
// their last answers at the earliest, once for all who wait.
func (v *View) Overview(ctx context.Context) *Overview {
	return v.overviews.get(v.cfg.Now, func() *Overview { return v.ask(context.WithoutCancel(ctx)).overview() })
}

// forget has the next request see what a command did.
func (v *View) forget() {
	v.overviews.forget()
	v.histories.forget()
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

// any asks loops in turn until one answers, first the one that did so last; what
// one says against the request all would say.
func (v *View) any(ctx context.Context, ask func(context.Context, *remote) error) error {
	var loops []*remote
	last := v.answered.Load()
	if last != nil {
		loops = append(loops, last)
	}
	for _, i := range inOrder(v.loops) {
		if v.loops[i] != last {
			loops = append(loops, v.loops[i])
		}
	}
	err := errors.New("no control loop is known here: name some with --rollouts.loop")
	for _, r := range loops {
		err = ask(ctx, r)
		var said *saidError
		if err == nil || errors.As(err, &said) && said.status == http.StatusUnprocessableEntity {
			v.answered.Store(r)
			return err
		}
		if ctx.Err() != nil {
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
	ctx, cancel := context.WithTimeout(r.Context(), asking)
	defer cancel()
	if err := v.any(ctx, func(ctx context.Context, l *remote) error {
		return l.get(ctx, "/commits?limit="+strconv.Itoa(most), &got)
	}); err != nil {
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
	ctx, cancel := context.WithTimeout(r.Context(), 2*diffTimeout)
	defer cancel()
	err := v.any(ctx, func(ctx context.Context, l *remote) error {
		return l.patient(diffTimeout).get(ctx, "/diff?"+q.Encode(), &d)
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
	h := *v.history(r.Context())
	h.Events = h.Events[:min(len(h.Events), most)]
	respond(w, http.StatusOK, h)
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

// oneMeaning refuses what several loops would understand differently: each picks a
// revision, and completes the first characters of one, from what it saw itself.
func oneMeaning(revision string, c Command, loops int) error {
	switch {
	case loops == 1:
		return nil
	case revision == "" && c.Revision == "needed":
		return fmt.Errorf("%s of several clusters needs a revision", c.Name)
	case revision != "" && (len(revision) != 40 || strings.Trim(revision, "0123456789abcdef") != ""):
		return fmt.Errorf("%.60q is not the full hash of a commit: several clusters need all its 40 characters, or name one cluster", revision)
	}
	return nil
}

// Command tells loops to do something. The error says that none was told.
func (v *View) Command(ctx context.Context, name string, o Order) ([]Result, error) {
	i := slices.IndexFunc(commands(nil), func(c Command) bool { return c.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("there is no command %.40q", name)
	}
	if o.Revision == "" && len(o.Clusters) == 0 && commands(nil)[i].Revision == "needed" {
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
	if err := oneMeaning(o.Revision, commands(nil)[i], len(loops)); err != nil {
		return nil, err
	}
	out := make([]Result, len(loops))
	// Who has sent a command wants all of it, even if the page is closed meanwhile.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commanding)
	defer cancel()
	each(ctx, loops, func(ctx context.Context, i int, l *remote) {
		done, err := l.command(ctx, gitops.Command{Name: name, Revision: o.Revision, Why: o.Why})
		out[i] = Result{Cluster: cmp.Or(l.name(), l.base), Done: done}
		if err != nil {
			out[i].Error = err.Error()
		}
	})
	v.forget()
	return out, nil
}
