package gitops

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/pandometrics/pando/gitops/source"
	"github.com/pandometrics/pando/gitops/wave"
)

// Config says for which cluster a loop is, and how often it looks.
type Config struct {
	// Cluster is the name of the loop's cluster in the planet.
	Cluster string
	// StateDir is a folder for the loop alone. What is in it survives restarts.
	StateDir string
	// Interval is the time between two looks at the repository, give or take a
	// fifth, and between two looks at the fleet while nothing happens.
	Interval time.Duration
	// RolloutInterval is the time between two looks at the fleet while this
	// cluster is part of a rollout, or its turn is near.
	RolloutInterval time.Duration
	// ConfirmTimeout is how long a workload may take to load what was delivered
	// before it counts as refused, and how long a gate may fail meanwhile.
	ConfirmTimeout time.Duration
	// ProgressTimeout is how long it may take instead while it says, by a
	// ProgressError, that it is on its way.
	ProgressTimeout time.Duration
	// SilenceTimeout is how long a workload may not be asked while what it runs has
	// not proved itself, before that counts against it.
	SilenceTimeout time.Duration
}

// DefaultConfig lacks the cluster and the folder.
func DefaultConfig() Config {
	return Config{Interval: time.Minute, RolloutInterval: 15 * time.Second, ConfirmTimeout: time.Minute, ProgressTimeout: 30 * time.Minute, SilenceTimeout: 5 * time.Minute}
}

// Validate says what to change.
func (c Config) Validate() error {
	if c.Cluster == "" {
		return errors.New("a control loop needs the name of its cluster")
	}
	if c.StateDir == "" {
		return errors.New("a control loop needs a folder for its state")
	}
	for name, d := range map[string]time.Duration{"interval": c.Interval, "rollout interval": c.RolloutInterval, "time to confirm": c.ConfirmTimeout, "time to make progress": c.ProgressTimeout, "time of silence": c.SilenceTimeout} {
		if d < time.Second || d > 24*time.Hour {
			return fmt.Errorf("control loop: %s %s must be between a second and a day", name, d)
		}
	}
	return nil
}

// Source is where revisions come from: a source.Source.
type Source interface {
	// Fetch returns the newest revision, or source.ErrUnchanged.
	Fetch(ctx context.Context, want source.Want) (*source.Revision, error)
	// At returns one of the past.
	At(ctx context.Context, hash, base string) (*source.Revision, error)
}

// Fleet tells who runs which revision, and whether gates hold: a Root.
type Fleet interface {
	// Fleet returns what all clusters tell, or an error: never a part of it.
	Fleet(ctx context.Context) (*wave.Fleet, error)
	// Gate asks one gate. An error comes with wave.Unknown, and with what a part of
	// the tree says if that is heard.
	Gate(ctx context.Context, g wave.Gate) (GateAnswer, error)
}

// Hearsay is implemented by a Fleet that can tell what a part of the tree says
// when the whole cannot be had: rejections, and what a cluster in which nothing ever
// ran begins with. An error means that nothing was heard.
type Hearsay interface {
	Heard(ctx context.Context) (*wave.Fleet, error)
}

// Deps are what a loop works with. Source, Renderer, Deliverer, Confirmer and
// Fleet are needed.
type Deps struct {
	Source    Source
	Renderer  Renderer
	Deliverer Deliverer
	Confirmer Confirmer
	Fleet     Fleet
	// Differ tells what differs between revisions; without it nothing is told.
	Differ Differ

	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Tracer     trace.TracerProvider
	Now        func() time.Time
	// Jitter returns a number from 0 to 1.
	Jitter func() float64
}

func (d Deps) withDefaults() (Deps, error) {
	if d.Source == nil || d.Renderer == nil || d.Deliverer == nil || d.Confirmer == nil || d.Fleet == nil {
		return d, errors.New("a control loop needs a source, a renderer, a deliverer, a confirmer and a fleet")
	}
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	if d.Registerer == nil {
		d.Registerer = prometheus.NewRegistry()
	}
	if d.Tracer == nil {
		d.Tracer = noop.NewTracerProvider()
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Jitter == nil {
		d.Jitter = rand.Float64
	}
	return d, nil
}
