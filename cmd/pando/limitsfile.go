package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/model"

	gitplanet "github.com/pandometrics/pando/gitops/planet"
)

// maxLimitsFile is the size of a limits file, in bytes.
const maxLimitsFile = 1 << 20

// tunable are the flags of a tier, some of which a limits file may set.
type tunable interface {
	// registerLimits registers at least those.
	registerLimits(c *kingpin.CmdClause)
	// common returns the part that all tiers have.
	common() *commonFlags
	// copied returns a copy that can be changed.
	copied() tunable
	// tuning returns what the flags say that a running tier can change.
	tuning() tuning
}

// limited has a limits file set flags of a command, where the command line does
// not, and be read again later.
func limited(c *kingpin.CmdClause, t tunable) {
	c.PreAction(func(ctx *kingpin.ParseContext) error {
		f := t.common()
		f.shown = shownFlags(c)
		if f.limitsFile != "" {
			tier, given := gitplanet.Tier(c.FullCommand()), givenFlags(ctx)
			f.retune = newRetuner(t, tier, given, (*commonFlags).bound)
			if err := setLimits(t, tier, f.limitsFile, given); err != nil {
				return err
			}
		}
		f.bound()
		return nil
	})
}

// givenFlags returns the names of the flags on the command line.
func givenFlags(ctx *kingpin.ParseContext) map[string]bool {
	given := map[string]bool{}
	for _, e := range ctx.Elements {
		if flag, ok := e.Clause.(*kingpin.FlagClause); ok {
			given[flag.Model().Name] = true
		}
	}
	return given
}

// setLimits sets the flags that a limits file names, but for those that were given
// otherwise, which stay.
func setLimits(t tunable, tier gitplanet.Tier, file string, given map[string]bool) error {
	values, err := readLimits(tier, file)
	if err != nil {
		return err
	}
	// Flags that are registered and not parsed keep what they have.
	c, f := kingpin.New("", "").Command(string(tier), ""), t.common()
	deadline := f.limits.ChildDeadline
	t.registerLimits(c)
	f.limits.ChildDeadline = deadline // which registering has set
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if given[name] {
			continue
		}
		flag := c.GetFlag(name)
		if flag == nil {
			return fmt.Errorf("--limits.file: there is no flag --%s", name)
		}
		if err := setLimit(flag.Model().Value, values[name]); err != nil {
			return fmt.Errorf("--limits.file: %s: %s: %w", file, name, err)
		}
		f.shown[name] = values[name]
	}
	return nil
}

// readLimits reads a limits file.
func readLimits(tier gitplanet.Tier, file string) (map[string]string, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("--limits.file: %w", err)
	}
	if info.Size() > maxLimitsFile {
		return nil, fmt.Errorf("--limits.file: %s has %d bytes, which is more than %d", file, info.Size(), maxLimitsFile)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("--limits.file: %w", err)
	}
	values, err := gitplanet.ParseLimits(tier, file, data)
	if err != nil {
		return nil, fmt.Errorf("--limits.file: %w", err)
	}
	return values, nil
}

// setLimit sets a flag. Durations of a file may have days, which not all flags
// know.
func setLimit(v kingpin.Value, text string) error {
	err := v.Set(text)
	if err == nil {
		return nil
	}
	if d, parseErr := model.ParseDuration(text); parseErr == nil {
		return v.Set(time.Duration(d).String())
	}
	return err
}
