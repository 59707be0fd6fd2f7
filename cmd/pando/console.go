package main

import (
	"log/slog"
	"net/http"

	"github.com/pandometrics/pando/ui"
)

// console returns the browser's pages, nil if the binary has none: the plain page
// that stands in for them says how to get them.
func console(logger *slog.Logger) http.Handler {
	h, err := ui.New()
	if err != nil {
		logger.Debug("no console", "err", err)
		return nil
	}
	return h
}
