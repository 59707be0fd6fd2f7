package rollouts

import (
	"time"

	"github.com/pandometrics/pando/gitops"
)

// Overview is how far the newest revision is, and why.
type Overview struct {
	Time time.Time `json:"time"`
	// Ref is the reference that is followed.
	Ref string `json:"ref,omitempty"`
	// State is one word, Doing a sentence.
	State string `json:"state"`
	Doing string `json:"doing"`
	// Target is the newest valid revision, Running counts clusters by revision.
	Target  string         `json:"target,omitempty"`
	Running map[string]int `json:"running"`
	Waves   []Wave         `json:"waves"`
	// Refused are revisions that cannot be used.
	Refused  []Refusal   `json:"refused,omitempty"`
	Rejected []Rejection `json:"rejected,omitempty"`
	Paused   []string    `json:"paused,omitempty"`
	Commands []Command   `json:"commands"`
	Warnings []string    `json:"warnings,omitempty"`

	good map[string][]string // clusters, by the revisions that proved themselves there
}

// The states of an Overview and of a Wave; not all are of both.
const (
	Idle        = "idle"
	Waiting     = "waiting"
	RollingOut  = "rolling-out"
	RollingBack = "rolling-back"
	Paused      = "paused"
	Rejected    = "rejected"
	Refused     = "refused"
	Failing     = "failing"
	Unknown     = "unknown"
	Done        = "done"
	Baking      = "baking"
)

// Wave is a set of clusters that take a revision together.
type Wave struct {
	Name     string    `json:"name"`
	State    string    `json:"state"`
	Bake     float64   `json:"bakeSeconds"`
	Bakes    *Bake     `json:"bake,omitempty"`
	Gates    []Gate    `json:"gates"`
	Clusters []Cluster `json:"clusters"`
}

// Bake is the time in which a wave has to show that a revision is good.
type Bake struct {
	Revision string    `json:"revision"`
	Since    time.Time `json:"since"`
	Until    time.Time `json:"until"`
}

// Gate is the last answer to a gate, of whichever cluster asked last.
type Gate struct {
	gitops.GateStatus
	Cluster string `json:"cluster,omitempty"`
}

// What is known of a cluster's loop.
const (
	Answers = "answers"
	Silent  = "silent"
)

// Cluster is what a cluster runs, and what its loop does.
type Cluster struct {
	Cluster string `json:"cluster"`
	Zone    string `json:"zone,omitempty"`
	// Loop is Answers, Silent or Unknown; of the latter two there is only what the
	// metrics tell.
	Loop  string `json:"loop"`
	Error string `json:"error,omitempty"`

	State        string            `json:"state,omitempty"`
	Doing        string            `json:"doing,omitempty"`
	Until        time.Time         `json:"until,omitzero"`
	Running      string            `json:"running,omitempty"`
	RunningAt    time.Time         `json:"runningAt,omitzero"`
	Pending      string            `json:"pending,omitempty"`
	PendingSince time.Time         `json:"pendingSince,omitzero"`
	Good         []string          `json:"good,omitempty"`
	Paused       bool              `json:"paused,omitempty"`
	Promoted     string            `json:"promoted,omitempty"`
	Pinned       string            `json:"pinned,omitempty"`
	Problems     map[string]string `json:"problems,omitempty"`
}

// Refusal is a revision that cannot be used, and by whom that is said.
type Refusal struct {
	Revision string    `json:"revision,omitempty"`
	Reason   string    `json:"reason"`
	Message  string    `json:"message"`
	At       time.Time `json:"at"`
	Clusters []string  `json:"clusters"`
}

// Rejection is a revision that a cluster does not want, and why.
type Rejection struct {
	Revision string    `json:"revision"`
	Cluster  string    `json:"cluster"`
	Why      string    `json:"why"`
	At       time.Time `json:"at,omitzero"`
}

// Command is what may be told to loops.
type Command struct {
	Name  string `json:"name"`
	About string `json:"about"`
	// Revision is none, optional or needed, in a command to several clusters.
	Revision string `json:"revision"`
	// Needs is the permission, Allowed whether the caller has it, Why why not.
	Needs   string `json:"needs"`
	Allowed bool   `json:"allowed"`
	Why     string `json:"why,omitempty"`
}

// operate is the permission to command loops.
const operate = "operate"

// commands lists what there is; refused says why the caller may do none of it.
func commands(refused error) []Command {
	out := []Command{
		{Name: gitops.CommandPause, Revision: "none", About: "Let no cluster advance, until it is resumed. Returning to good revisions goes on."},
		{Name: gitops.CommandResume, Revision: "none", About: "End what pause, rollback and promote began."},
		{Name: gitops.CommandPromote, Revision: "needed", About: "Let clusters take a revision now, without waiting for their turn and for gates."},
		{Name: gitops.CommandAbort, Revision: "needed", About: "Reject a revision: every cluster that runs it returns to its last good one, and none takes it again."},
		{Name: gitops.CommandRollback, Revision: "needed", About: "Return clusters to an earlier revision, and pause the others until they are resumed."},
	}
	for i := range out {
		out[i].Needs, out[i].Allowed = operate, refused == nil
		if refused != nil {
			out[i].Why = refused.Error()
		}
	}
	return out
}

// Commits are those of the repository, with what became of them.
type Commits struct {
	Ref       string   `json:"ref"`
	Commits   []Commit `json:"commits"`
	Truncated bool     `json:"truncated"`
}

// Commit is one of the repository.
type Commit struct {
	gitops.Commit
	State  string `json:"state"`
	Newest bool   `json:"newest,omitempty"`
	// Clusters run it; in Good it proved itself.
	Clusters []string    `json:"clusters,omitempty"`
	Good     []string    `json:"good,omitempty"`
	Rejected []Rejection `json:"rejected,omitempty"`
	Refused  *Refusal    `json:"refused,omitempty"`
}

// Event is a line of a cluster's history.
type Event struct {
	At       time.Time `json:"at"`
	Cluster  string    `json:"cluster"`
	Revision string    `json:"revision,omitempty"`
	What     string    `json:"what"`
	Why      string    `json:"why,omitempty"`
}

// History is what loops did, newest first.
type History struct {
	Events   []Event  `json:"events"`
	Warnings []string `json:"warnings,omitempty"`
}

// Order is what is told to loops: of the clusters named, or of all.
type Order struct {
	Revision string   `json:"revision,omitempty"`
	Clusters []string `json:"clusters,omitempty"`
	Why      string   `json:"why,omitempty"`
}

// Result is what one loop says to a command.
type Result struct {
	Cluster string `json:"cluster"`
	Done    string `json:"done,omitempty"`
	Error   string `json:"error,omitempty"`
}
