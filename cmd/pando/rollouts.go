package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/alecthomas/kingpin/v2"
	promconfig "github.com/prometheus/common/config"

	"github.com/pandometrics/pando/gitops/rollouts"
	"github.com/pandometrics/pando/querytree"
)

// rolloutFlags say which control loops the root asks.
type rolloutFlags struct {
	loops      []string
	httpConfig string
	timeout    time.Duration
	commands   []string
	// named: only the users of commands may command. Otherwise, in pando dev, this
	// machine may.
	named bool
}

func (f *rolloutFlags) register(c *kingpin.CmdClause) {
	c.Flag("rollouts.loop", "Address of a cluster's control loop, for /pando/api/v1/rollouts: what it does is told there, and commands are passed on. Repeatable.").PlaceHolder("URL").StringsVar(&f.loops)
	c.Flag("rollouts.http-config-file", "File that says how to reach control loops, as promtool's: TLS, credentials, proxy, headers.").PlaceHolder("FILE").StringVar(&f.httpConfig)
	c.Flag("rollouts.timeout", "Longest time for a question to a control loop.").Default("5s").DurationVar(&f.timeout)
	c.Flag("rollouts.commands", "User of --web.config.file who may command the control loops of all clusters here, with the credentials of --rollouts.http-config-file; * is every user whose password is checked. Repeatable; without it nobody may.").PlaceHolder("USER").StringsVar(&f.commands)
	f.named = true
}

// mount adds the view of all loops to what the root serves.
func (f *rolloutFlags) mount(tier http.Handler, kind string, told liveDelivery, authenticated bool) (http.Handler, error) {
	if kind != querytree.TierRoot {
		return tier, nil
	}
	may, err := f.mayCommand(authenticated)
	if err != nil {
		return nil, err
	}
	cfg := rollouts.Config{Loops: f.loops, Timeout: f.timeout, Tree: told.tree, MayCommand: may}
	if f.httpConfig != "" {
		hc, _, err := promconfig.LoadHTTPConfigFile(f.httpConfig)
		if err != nil {
			return nil, fmt.Errorf("--rollouts.http-config-file=%s: %w", f.httpConfig, err)
		}
		if cfg.Client, err = promconfig.NewClientFromConfig(*hc, "rollouts", promconfig.WithUserAgent("pando/"+buildVersion())); err != nil {
			return nil, fmt.Errorf("--rollouts.http-config-file=%s: %w", f.httpConfig, err)
		}
	}
	v, err := rollouts.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("--rollouts.loop: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle(rollouts.Path, v)
	mux.Handle(rollouts.Path+"/", v)
	mux.Handle("/", tier)
	return mux, nil
}

// mayCommand allows commands to the users that are named. Others may query the root,
// but the root's credentials at the loops are not theirs.
func (f *rolloutFlags) mayCommand(authenticated bool) (func(*http.Request) error, error) {
	switch {
	case !f.named:
		return mayCommand(false), nil
	case slices.Contains(f.commands, ""):
		return nil, errors.New("--rollouts.commands must name a user, or be *")
	case len(f.commands) > 0 && !authenticated:
		return nil, fmt.Errorf("--rollouts.commands=%s: nobody's password is checked: name users in basic_auth_users of --web.config.file", f.commands[0])
	}
	return func(r *http.Request) error {
		// The password was checked before the request came here.
		user, _, ok := r.BasicAuth()
		switch {
		case len(f.commands) == 0:
			return errors.New("this root takes no commands: name who may command with --rollouts.commands, or command the control loop of the cluster")
		case ok && (slices.Contains(f.commands, "*") || slices.Contains(f.commands, user)):
			return nil
		}
		return fmt.Errorf("user %.60q may not command here: --rollouts.commands names who may", user)
	}, nil
}

// tree tells what the tree's metrics say of control loops.
func (d liveDelivery) tree(ctx context.Context) (rollouts.Told, error) {
	list, err := d.Config(ctx)
	out := rollouts.Told{Paused: list.Paused, Warnings: list.Warnings}
	for _, c := range list.Clusters {
		out.Clusters = append(out.Clusters, rollouts.ToldCluster{Cluster: c.Cluster, Zone: c.Zone, Wave: c.Wave, Revision: c.Revision, Since: unixTime(c.Since)})
	}
	for _, r := range list.Rejected {
		out.Rejected = append(out.Rejected, rollouts.Rejection{Revision: r.Revision, Cluster: r.Cluster, Why: r.Why, At: unixTime(r.Since)})
	}
	return out, err
}

func unixTime(seconds float64) time.Time { return time.UnixMilli(int64(seconds * 1000)).UTC() }
