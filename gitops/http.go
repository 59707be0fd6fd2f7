package gitops

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// Path is where a loop's HTTP API begins:
//
//	GET  PATH           Status as JSON; with brief=1 without waves and history
//	GET  PATH/commits   Commits, limit=50 of them
//	GET  PATH/diff      Difference of revisions from and to, in cluster or in all
//	POST PATH/pause     and the other commands, with a Command as JSON
//	POST PATH/webhook   look at the repository now
const Path = "/pando/api/v1/config"

// HTTPConfig says what a loop's HTTP API allows.
type HTTPConfig struct {
	// MayCommand refuses requests that may not command; nil refuses all.
	MayCommand func(r *http.Request) error
	// WebhookSecret returns the secret that webhooks are signed with, read anew
	// for each; nil switches webhooks off.
	WebhookSecret func() ([]byte, error)
}

// Handler returns the loop's HTTP API.
func (l *Loop) Handler(cfg HTTPConfig) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+Path, l.status)
	mux.HandleFunc("GET "+Path+"/commits", l.listCommits)
	mux.HandleFunc("GET "+Path+"/diff", l.compare)
	mux.HandleFunc("POST "+Path+"/webhook", func(w http.ResponseWriter, r *http.Request) { l.webhook(cfg, w, r) })
	mux.HandleFunc("POST "+Path+"/{command}", func(w http.ResponseWriter, r *http.Request) { l.command(cfg, w, r) })
	return mux
}

func (l *Loop) status(w http.ResponseWriter, r *http.Request) {
	s := l.Status()
	if r.FormValue("brief") != "" {
		s = s.Brief()
	}
	respond(w, http.StatusOK, s)
}

// defaultCommits are listed if the request does not say how many.
const defaultCommits = 50

func (l *Loop) listCommits(w http.ResponseWriter, r *http.Request) {
	most := defaultCommits
	if text := r.FormValue("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxCommits {
			respond(w, http.StatusBadRequest, Said{Error: fmt.Sprintf("limit must be a number from 1 to %d", maxCommits)})
			return
		}
		most = n
	}
	c, err := l.Commits(r.Context(), most)
	if err != nil {
		respond(w, http.StatusServiceUnavailable, Said{Error: err.Error()})
		return
	}
	respond(w, http.StatusOK, c)
}

func (l *Loop) compare(w http.ResponseWriter, r *http.Request) {
	d, err := l.Diff(r.Context(), r.FormValue("from"), r.FormValue("to"), r.FormValue("cluster"))
	if err != nil {
		respond(w, http.StatusUnprocessableEntity, Said{Error: err.Error()})
		return
	}
	respond(w, http.StatusOK, d)
}

func respond(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client is gone, or will see that it is cut
}

// Said is the answer to a command.
type Said struct {
	// Done says what follows, Error why nothing does.
	Done  string `json:"done,omitempty"`
	Error string `json:"error,omitempty"`
}

func (l *Loop) command(cfg HTTPConfig, w http.ResponseWriter, r *http.Request) {
	err := errors.New("commands are not allowed here")
	if cfg.MayCommand != nil {
		err = cfg.MayCommand(r)
	}
	if err != nil {
		respond(w, http.StatusForbidden, Said{Error: err.Error()})
		return
	}
	// A form of another site cannot send this type, so a browser cannot be made
	// to command with its user's password.
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		respond(w, http.StatusUnsupportedMediaType, Said{Error: "send JSON, with its content type"})
		return
	}
	var c Command
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		respond(w, http.StatusBadRequest, Said{Error: "read command: " + err.Error()})
		return
	}
	c.Name = r.PathValue("command")
	said, err := l.Do(r.Context(), c)
	if err != nil {
		respond(w, http.StatusUnprocessableEntity, Said{Error: err.Error()})
		return
	}
	respond(w, http.StatusOK, Said{Done: said})
}

// webhookLimit is what GitHub sends at most.
const webhookLimit = 25 << 20

// webhook looks at the repository now. What was sent is not believed, beyond
// that it came from who knows the secret.
func (l *Loop) webhook(cfg HTTPConfig, w http.ResponseWriter, r *http.Request) {
	if cfg.WebhookSecret == nil {
		respond(w, http.StatusNotFound, Said{Error: "webhooks are switched off: no secret is configured"})
		return
	}
	secret, err := cfg.WebhookSecret()
	if err == nil && len(secret) < 8 {
		err = errors.New("the secret is shorter than 8 bytes")
	}
	if err != nil {
		l.logger.Error("webhook not verified", "err", err)
		respond(w, http.StatusInternalServerError, Said{Error: "the secret cannot be read"})
		return
	}
	if err := verifyWebhook(secret, r.Header, http.MaxBytesReader(w, r.Body, webhookLimit)); err != nil {
		l.metrics.webhooks.WithLabelValues("refused").Inc()
		respond(w, http.StatusForbidden, Said{Error: err.Error()})
		return
	}
	l.metrics.webhooks.WithLabelValues("accepted").Inc()
	l.Hurry()
	respond(w, http.StatusAccepted, Said{Done: "looks at the repository"})
}

// verifyWebhook checks a signature as GitHub, Gitea and Forgejo make it, or the
// secret itself as GitLab sends it.
func verifyWebhook(secret []byte, h http.Header, body io.Reader) error {
	mac := hmac.New(sha256.New, secret)
	if _, err := io.Copy(mac, body); err != nil {
		return fmt.Errorf("read webhook: %w", err)
	}
	given := strings.TrimPrefix(h.Get("X-Hub-Signature-256"), "sha256=")
	if given == "" {
		given = h.Get("X-Gitea-Signature")
	}
	if given != "" {
		sum, err := hex.DecodeString(given)
		if err != nil || !hmac.Equal(sum, mac.Sum(nil)) {
			return errors.New("the signature is not of this body and the secret")
		}
		return nil
	}
	if token := h.Get("X-Gitlab-Token"); token != "" {
		a, b := sha256.Sum256([]byte(token)), sha256.Sum256(secret) // of equal length
		if subtle.ConstantTimeCompare(a[:], b[:]) != 1 {
			return errors.New("the token is not the secret")
		}
		return nil
	}
	return errors.New("there is no signature: configure the secret where webhooks are sent from")
}

// Hurry makes the loop look at the repository now, but not more often than once
// a second.
func (l *Loop) Hurry() {
	l.mu.Lock()
	l.view.hurry = true
	l.mu.Unlock()
	l.poke()
}
