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

// readLimits sets the flags that the limits file names. What was given on the
// command line stays.
func (f *commonFlags) readLimits(c *kingpin.CmdClause, ctx *kingpin.ParseContext) error {
	if f.limitsFile == "" {
		return nil
	}
	info, err := os.Stat(f.limitsFile)
	if err != nil {
		return fmt.Errorf("--limits.file: %w", err)
	}
	if info.Size() > maxLimitsFile {
		return fmt.Errorf("--limits.file: %s has %d bytes, which is more than %d", f.limitsFile, info.Size(), maxLimitsFile)
	}
	data, err := os.ReadFile(f.limitsFile)
	if err != nil {
		return fmt.Errorf("--limits.file: %w", err)
	}
	values, err := gitplanet.ParseLimits(gitplanet.Tier(c.FullCommand()), f.limitsFile, data)
	if err != nil {
		return fmt.Errorf("--limits.file: %w", err)
	}
	given := map[string]bool{}
	for _, e := range ctx.Elements {
		if flag, ok := e.Clause.(*kingpin.FlagClause); ok {
			given[flag.Model().Name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if given[name] {
			continue
		}
		flag := c.GetFlag(name)
		if flag == nil {
			return fmt.Errorf("--limits.file: there is no flag --%s", name)
		}
		if err := setLimit(flag.Model().Value, values[name]); err != nil {
			return fmt.Errorf("--limits.file: %s: %w", name, err)
		}
		f.shown[name] = values[name]
	}
	return nil
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
