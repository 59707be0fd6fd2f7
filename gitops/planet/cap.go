package planet

import (
	"fmt"
	"slices"
)

// Cap is what a repository may name at most, whatever it allows itself: who runs
// the control loop says so, and whoever may commit cannot change it. Each list is
// in the form of planet.yaml's allow; nil does not cap, an empty list caps to
// nothing.
type Cap struct {
	// Files, Hosts and Discovery cap those of allow.
	Files, Hosts, Discovery []string
	// Secrets are names of Secrets that workloads may mount.
	Secrets []string
}

func (c *Cap) file(name string) bool {
	return c == nil || c.Files == nil || coversFile(c.Files, name)
}

func (c *Cap) host(name string) bool {
	return c == nil || c.Hosts == nil || coversHost(c.Hosts, name)
}

func (c *Cap) finds(kind string) bool {
	return c == nil || c.Discovery == nil || slices.Contains(c.Discovery, kind)
}

func (c *Cap) secret(name string) bool {
	return c == nil || c.Secrets == nil || slices.Contains(c.Secrets, name)
}

// also says, where the cap is in the way, what else has to be changed.
func (c *Cap) also(kind string, allowed bool) string {
	if allowed {
		return ""
	}
	return fmt.Sprintf(" and to the control loop's --allow.%s", kind)
}

// secrets checks which Secrets workloads of clusters mount.
func (c *checker) secrets(only string) {
	if c.cap == nil || c.cap.Secrets == nil {
		return
	}
	check := func(name, where string) {
		if !c.cap.secret(name) && c.once("secret", name) {
			c.r.failf(at(c.p.deploy), "deploy: %s mounts the Secret %s, which the control loop does not let it (its --allow.secret): use another, or have it allowed there", where, shortened(name))
		}
	}
	for _, cl := range c.p.clusters {
		if only != "" && cl.Name != only {
			continue
		}
		d := c.p.deployOf(cl)
		if d == nil {
			continue
		}
		for _, w := range d.Workloads {
			for _, s := range w.Secrets {
				check(s.Name, w.Name)
			}
			if w.TLS != nil {
				check(w.TLS.Secret, w.Name)
			}
		}
	}
}
