package leaf

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/alecthomas/units"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery"
	// What users discover targets with. Importing a discovery makes the
	// configuration file know it; all of them would double the binary.
	_ "github.com/prometheus/prometheus/discovery/dns"
	_ "github.com/prometheus/prometheus/discovery/file"
	_ "github.com/prometheus/prometheus/discovery/http"
	_ "github.com/prometheus/prometheus/discovery/kubernetes"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"
	"go.yaml.in/yaml/v2"

	"github.com/pandometrics/pando/leaf/aggregate"
)

// loadConfig reads and checks the configuration file whole, rule files
// included, so that what it returns can be applied. It touches nothing else.
func loadConfig(cfg Config, p parser.Parser, logger *slog.Logger) (*config.Config, error) {
	var (
		text []byte
		err  error
	)
	if cfg.ConfigFile != "" {
		if text, err = os.ReadFile(cfg.ConfigFile); err != nil {
			return nil, fmt.Errorf("read configuration file: %w", err)
		}
	}
	conf, err := config.Load(string(text), logger)
	if err != nil {
		return nil, fmt.Errorf("parse configuration file %q: %w", cfg.ConfigFile, err)
	}
	if cfg.ConfigFile != "" {
		conf.SetDirectory(filepath.Dir(cfg.ConfigFile))
	}
	if _, err := conf.GetScrapeConfigs(); err != nil {
		return nil, fmt.Errorf("scrape configurations of %q: %w", cfg.ConfigFile, err)
	}
	if err := newGuard(cfg).checkSockets(conf); err != nil {
		return nil, fmt.Errorf("configuration file %q: %w", cfg.ConfigFile, err)
	}
	if cfg.RulesOnly && len(conf.ScrapeConfigs)+len(conf.ScrapeConfigFiles) > 0 {
		return nil, fmt.Errorf("configuration file %q: it names something to scrape, which only leaves do; have a leaf scrape it, and keep rules and Alertmanagers here", cfg.ConfigFile)
	}
	if err := rules.ParseFiles(conf.RuleFiles, conf.GlobalConfig.MetricNameValidationScheme, p, logger); err != nil {
		return nil, fmt.Errorf("rule files of %q: %w", cfg.ConfigFile, err)
	}
	if err := mergeExternalLabels(conf, cfg.Identity.Labels); err != nil {
		return nil, fmt.Errorf("configuration file %q: %w", cfg.ConfigFile, err)
	}
	if err := settleStorage(conf, cfg, text); err != nil {
		return nil, fmt.Errorf("configuration file %q: %w", cfg.ConfigFile, err)
	}
	return conf, nil
}

// mergeExternalLabels adds the identity to the external labels, so that alerts
// carry it. They must not contradict it.
func mergeExternalLabels(conf *config.Config, id labels.Labels) error {
	b := labels.NewBuilder(conf.GlobalConfig.ExternalLabels)
	var err error
	id.Range(func(l labels.Label) {
		if v := conf.GlobalConfig.ExternalLabels.Get(l.Name); v != "" && v != l.Value && err == nil {
			err = fmt.Errorf("external label %s=%q contradicts the leaf's %s=%q: remove it from external_labels, or change the leaf's identity", l.Name, v, l.Name, l.Value)
		}
		b.Set(l.Name, l.Value)
	})
	conf.GlobalConfig.ExternalLabels = b.Labels()
	return err
}

// settleStorage completes the storage section with what the flags say.
func settleStorage(conf *config.Config, cfg Config, text []byte) error {
	ts := conf.StorageConfig.TSDBConfig
	var given struct {
		Storage struct {
			TSDB struct {
				OutOfOrder *model.Duration `yaml:"out_of_order_time_window"`
				Retention  struct {
					Time       *model.Duration   `yaml:"time"`
					Size       *units.Base2Bytes `yaml:"size"`
					Percentage *float64          `yaml:"percentage"`
				} `yaml:"retention"`
			} `yaml:"tsdb"`
		} `yaml:"storage"`
	}
	if err := yaml.Unmarshal(text, &given); err != nil {
		return fmt.Errorf("storage section: %w", err)
	}
	if given.Storage.TSDB.OutOfOrder == nil {
		ts.OutOfOrderTimeWindow = cfg.OutOfOrderWindow.Milliseconds()
	}
	retention := config.TSDBRetentionConfig{}
	if ts.Retention != nil {
		retention = *ts.Retention
	}
	if given.Storage.TSDB.Retention.Time == nil {
		retention.Time = model.Duration(cfg.Retention)
		if cfg.Retention == 0 && cfg.RetentionBytes == 0 && retention.Size == 0 && retention.Percentage == 0 {
			retention.Time = model.Duration(defaultRetention)
		}
	}
	if given.Storage.TSDB.Retention.Size == nil {
		retention.Size = units.Base2Bytes(cfg.RetentionBytes)
	}
	if retention.Time < 0 || time.Duration(retention.Time) > maxRetention {
		retention.Time = model.Duration(maxRetention)
	}
	ts.Retention = &retention
	if conf.StorageConfig.ExemplarsConfig == nil {
		conf.StorageConfig.ExemplarsConfig = &config.ExemplarsConfig{MaxExemplars: cfg.MaxExemplars}
	}
	return nil
}

// Reload reads the configuration file again, and what Deps.Beside does, and applies them. If anything about
// it is wrong, the running configuration stays, whole, and the error says why.
// It is safe for concurrent use, once Run has started.
func (l *Leaf) Reload() error {
	l.reloadMu.Lock()
	defer l.reloadMu.Unlock()
	if !l.running.Load() {
		return fmt.Errorf("reload configuration: %w", notRunning{})
	}
	err := l.reload()
	l.metrics.reloaded(err, l.now())
	l.reloadOK.Store(err == nil)
	if err != nil {
		l.logger.Error("configuration not reloaded, the old one stays", "err", err)
		return fmt.Errorf("reload configuration: %w", err)
	}
	l.logger.Info("configuration reloaded", "file", l.cfg.ConfigFile)
	return nil
}

// notRunning is of a leaf that starts or stops. Who delivers configuration must
// not take it for a refusal.
type notRunning struct{}

// Error implements error.
func (notRunning) Error() string { return "the leaf is not running" }

// Temporary says that it is about the moment.
func (notRunning) Temporary() bool { return true }

func (l *Leaf) reload() error {
	var conf *config.Config
	var aggregations aggregate.Rules
	useBeside := func() {}
	revision, err := unmixed(l.cfg.ConfigFile, func() (err error) {
		if conf, err = loadConfig(l.cfg, l.parser, l.logger); err == nil {
			aggregations, err = loadAggregations(l.cfg, conf)
		}
		if err == nil && l.beside != nil {
			useBeside, err = l.beside()
		}
		return err
	})
	if err != nil {
		return err
	}
	old := l.PrometheusConfig()
	if err := l.apply(conf); err != nil {
		return errors.Join(err, l.restore(old))
	}
	if err := l.useAggregations(aggregations); err != nil {
		return errors.Join(err, l.restore(old))
	}
	useBeside()
	l.useRevision(revision)
	return nil
}

// restore applies an older configuration again. Files that it names, such as those
// of rules, may have been replaced since: it is of no revision then.
func (l *Leaf) restore(old *config.Config) error {
	l.useRevision("")
	return l.apply(old)
}

// apply makes every part use conf. The order is Prometheus': what is to receive
// targets must know the jobs before discovery sends them.
func (l *Leaf) apply(conf *config.Config) error {
	for _, section := range ineffective(conf) {
		l.logger.Warn("section of the configuration file has no effect in a leaf", "section", section.name, "instead", section.instead)
	}
	// OTLP settings and the like are read at every request.
	l.conf.Store(conf)
	l.evaluationInterval.Store(time.Duration(conf.GlobalConfig.EvaluationInterval).Milliseconds())
	for _, part := range []struct {
		name  string
		apply func(*config.Config) error
	}{
		{"storage", l.applyStorage},
		{"scraping", l.scraper.ApplyConfig},
		{"scrape discovery", l.applyScrapeDiscovery},
		{"notifications", l.notifier.ApplyConfig},
		{"alertmanager discovery", l.applyNotifyDiscovery},
		{"rules", l.applyRules},
	} {
		if err := part.apply(conf); err != nil {
			return fmt.Errorf("apply configuration to %s: %w", part.name, err)
		}
	}
	return nil
}

func (l *Leaf) applyStorage(conf *config.Config) error {
	l.accept(outOfOrder(conf))
	return l.store.ApplyConfig(conf)
}

// accept must be called before the head accepts samples of an out-of-order window.
func (l *Leaf) accept(window time.Duration) {
	if l.late.widen(window) {
		l.indexing.widen(l.store)
	}
}

// outOfOrder returns the out-of-order window of a configuration.
func outOfOrder(conf *config.Config) time.Duration {
	return time.Duration(conf.StorageConfig.TSDBConfig.OutOfOrderTimeWindow) * time.Millisecond
}

// finalDelay is the age from which on no sample is expected any more.
func (l *Leaf) finalDelay() time.Duration {
	delay := l.cfg.FinalDelay
	if l.cfg.AggregateFile != "" {
		delay += aggregate.MaxDelay // what is aggregated comes so much later
	}
	return max(delay, outOfOrder(l.PrometheusConfig()))
}

func (l *Leaf) applyScrapeDiscovery(conf *config.Config) error {
	jobs, err := conf.GetScrapeConfigs()
	if err != nil {
		return err
	}
	c := map[string]discovery.Configs{}
	for _, job := range jobs {
		c[job.JobName] = job.ServiceDiscoveryConfigs
	}
	return l.scrapeDiscovery.ApplyConfig(c)
}

func (l *Leaf) applyNotifyDiscovery(conf *config.Config) error {
	c := map[string]discovery.Configs{}
	for name, am := range conf.AlertingConfig.AlertmanagerConfigs.ToMap() {
		c[name] = am.ServiceDiscoveryConfigs
	}
	return l.notifyDiscovery.ApplyConfig(c)
}

func (l *Leaf) applyRules(conf *config.Config) error {
	var files []string
	for _, pattern := range conf.RuleFiles {
		matched, err := filepath.Glob(pattern)
		if err != nil {
			return fmt.Errorf("rule files %q: %w", pattern, err)
		}
		files = append(files, matched...)
	}
	err := l.rules.Update(time.Duration(conf.GlobalConfig.EvaluationInterval), files,
		conf.GlobalConfig.ExternalLabels, l.externalURL.String(), nil)
	if err == nil {
		l.nameRecorded()
	}
	return err
}
