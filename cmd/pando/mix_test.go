package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

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
