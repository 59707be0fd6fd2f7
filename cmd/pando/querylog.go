package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// logFile is a file that can be opened anew, after it was renamed to rotate it.
// It is safe for concurrent use; each Write is one line.
type logFile struct {
	path string

	mu   sync.Mutex
	file *os.File
}

func openLogFile(path string) (*logFile, error) {
	f, err := appendTo(path)
	if err != nil {
		return nil, err
	}
	return &logFile{path: path, file: f}, nil
}

func appendTo(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
}

// Write implements io.Writer.
func (l *logFile) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Write(b)
}

// Reopen goes on in a file of the same path. If it cannot be opened, the old one
// stays in use.
func (l *logFile) Reopen() error {
	f, err := appendTo(l.path)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.file
	l.file = f
	return old.Close()
}

// Close implements io.Closer.
func (l *logFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Close()
}

// queryLogger writes lines of JSON: the time, and what is logged of a query.
func queryLogger(l *logFile) *slog.Logger {
	return slog.New(slog.NewJSONHandler(l, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && (a.Key == slog.LevelKey || a.Key == slog.MessageKey) {
			return slog.Attr{}
		}
		return a
	}}))
}

// logQueries opens the query log, if there is to be one, and reopens it upon
// SIGHUP.
func (n *node) logQueries(path string) error {
	if path == "" {
		return nil
	}
	l, err := openLogFile(path)
	if err != nil {
		return fmt.Errorf("--query.log-file=%s: %w", path, err)
	}
	n.queries = queryLogger(l)
	n.closers = append(n.closers, l.Close)
	n.add(func(ctx context.Context) error {
		hup := make(chan os.Signal, 1)
		signal.Notify(hup, syscall.SIGHUP)
		defer signal.Stop(hup)
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-hup:
				if err := l.Reopen(); err != nil {
					n.logger.Error("query log not reopened; the old file stays in use", "path", path, "err", err)
				}
			}
		}
	})
	return nil
}
