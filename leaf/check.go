package leaf

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/rulefmt"

	"github.com/pandometrics/pando/querytree"
)

// CheckConfig checks a configuration file, and the rule files that it names, as
// a leaf would before using it, and sums up what is in it. The error is the one
// that the leaf would refuse it with.
func CheckConfig(file string) (summary string, err error) {
	cfg := DefaultConfig()
	cfg.ConfigFile = file
	p := querytree.NewParser()
	conf, err := loadConfig(cfg, p, slog.New(slog.DiscardHandler))
	if err != nil {
		return "", err
	}
	scrapes, err := conf.GetScrapeConfigs()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s is valid: %d scrape configs", file, len(scrapes))
	for _, section := range ineffective(conf) {
		fmt.Fprintf(&b, "\nwarning: %s has no effect in Pando: %s", section.name, section.instead)
	}
	for _, pattern := range conf.RuleFiles {
		files, err := filepath.Glob(pattern)
		if err != nil {
			return "", fmt.Errorf("rule files %q: %w", pattern, err)
		}
		if len(files) == 0 {
			fmt.Fprintf(&b, "\nwarning: no rule file matches %q", pattern)
		}
		for _, f := range files {
			groups, errs := rulefmt.ParseFile(f, false, conf.GlobalConfig.MetricNameValidationScheme, p, slog.New(slog.DiscardHandler))
			if len(errs) > 0 {
				return "", fmt.Errorf("rule file %q: %w", f, errs[0])
			}
			n := 0
			for _, g := range groups.Groups {
				n += len(g.Rules)
			}
			fmt.Fprintf(&b, "\n%s: %d groups, %d rules", f, len(groups.Groups), n)
		}
	}
	b.WriteByte('\n')
	return b.String(), nil
}

// section is a part of a configuration file.
type section struct {
	name string
	// instead says what to use.
	instead string
}

// ineffective returns the sections of a configuration file that Prometheus heeds
// and a leaf does not.
func ineffective(conf *config.Config) []section {
	var out []section
	for _, s := range []struct {
		set bool
		section
	}{
		{len(conf.RemoteWriteConfigs) > 0, section{"remote_write", "series are asked of the leaf, through its zone and root"}},
		{len(conf.RemoteReadConfigs) > 0, section{"remote_read", "a leaf answers from its own storage; make the other one a leaf too"}},
		{conf.TracingConfig.Endpoint != "", section{"tracing", "use --tracing.endpoint"}},
		{conf.GlobalConfig.QueryLogFile != "", section{"global.query_log_file", "use --query.log-file"}},
		{conf.Runtime.GoGC != config.DefaultRuntimeConfig.GoGC, section{"runtime.gogc", "set GOGC in the environment"}},
		{conf.Runtime.LogLevel != config.DefaultRuntimeConfig.LogLevel, section{"runtime.log_level", "use --log.level"}},
	} {
		if s.set {
			out = append(out, s.section)
		}
	}
	return out
}
