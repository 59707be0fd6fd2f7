package rollouts

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// Config says whom to ask.
type Config struct {
	// Loops are addresses of control loops, http://host:port.
	Loops []string
	// Client asks them, with what credentials they need; nil is a plain client.
	Client *http.Client
	// Timeout bounds a question to a loop. Zero means 5 seconds.
	Timeout time.Duration
	// Tree tells what the tree's metrics say; nil tells nothing.
	Tree func(ctx context.Context) (Told, error)
	// MayCommand refuses requests that may not command; nil refuses all.
	MayCommand func(r *http.Request) error
	// Now is the clock; nil is the machine's.
	Now func() time.Time
}

// maxLoops bounds how many loops are asked, parallel how many at the same time.
const (
	maxLoops = 10_000
	parallel = 256
)

// Validate says what to change.
func (c Config) Validate() error {
	if len(c.Loops) > maxLoops {
		return fmt.Errorf("rollouts: %d control loops are more than %d", len(c.Loops), maxLoops)
	}
	if c.Timeout < 0 {
		return errors.New("rollouts: the time for an answer must not be negative")
	}
	for _, text := range c.Loops {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return fmt.Errorf("rollouts: address %q of a control loop must begin with http:// or https:// and name a host", text)
		}
		if u.User != nil {
			return fmt.Errorf("rollouts: address of the control loop at %q holds a user: put that into the file that says how loops are reached", u.Host)
		}
	}
	return nil
}

// Told is what the tree's metrics say.
type Told struct {
	Clusters []ToldCluster
	Rejected []Rejection
	// Paused are the clusters that ask all to pause.
	Paused []string
	// Warnings say what of the tree did not answer.
	Warnings []string
}

// ToldCluster is what the metrics of a cluster's loop say.
type ToldCluster struct {
	Cluster, Zone, Wave, Revision string
	Since                         time.Time
}
