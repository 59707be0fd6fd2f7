package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
)

// A child must not be forgotten before points of rollups are made without it.
func TestForgottenAfterTheHold(t *testing.T) {
	for _, c := range []struct {
		file         string
		forget, hold time.Duration
		refused      bool
	}{
		{"rollups.yml", 24 * time.Hour, 24 * time.Hour, true},
		{"rollups.yml", time.Hour, 24 * time.Hour, true},
		{"rollups.yml", 25 * time.Hour, 24 * time.Hour, false},
		{"rollups.yml", 0, 24 * time.Hour, false},
		{"rollups.yml", time.Hour, 0, true}, // which is the default
		{"rollups.yml", 25 * time.Hour, 0, false},
		{"", time.Hour, 24 * time.Hour, false},
	} {
		f := mixFlags{childrenFlags: childrenFlags{forgetAfter: c.forget}, rollupFlags: rollupFlags{file: c.file, hold: model.Duration(c.hold)}}
		if err := f.checkHold(); (err != nil) != c.refused {
			t.Errorf("rules in %q, forgotten after %v, held for %v: %v", c.file, c.forget, c.hold, err)
		}
	}
}

// SIGHUP is no error where there is nothing to reload, and the log says what it
// does.
func TestHangupWithoutConfiguration(t *testing.T) {
	var log bytes.Buffer
	n := &node{logger: slog.New(slog.NewTextHandler(&log, nil)), webConfig: "web.yml"}
	if err := n.tellHangup("root", "queries.log")(); err != nil {
		t.Error(err)
	}
	for _, want := range []string{"level=INFO", "there is no configuration file", "reopened=--query.log-file", "read_with_each_request=--web.config.file"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %q in %s", want, log.String())
		}
	}
}
