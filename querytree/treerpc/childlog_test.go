package treerpc

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
)

// logged is a log that may be read while it is written.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// with returns the lines that contain all of the words.
func (l *logged) with(words ...string) (lines []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
next:
	for line := range strings.Lines(l.text.String()) {
		for _, w := range words {
			if !strings.Contains(line, w) {
				continue next
			}
		}
		lines = append(lines, line)
	}
	return lines
}

// The parent's log has the name and the address of a child that comes, and why
// it went, in a line each.
func TestChildIsLogged(t *testing.T) {
	registry, text := newFakeRegistry(), &logged{}
	addr, _ := startServer(t, nil, ServerConfig{Registry: registry, Logger: slog.New(slog.NewTextHandler(text, nil))})
	_, stopLink := startLink(t, LinkConfig{Child: &fakeChild{description: leafDescription()}, Parents: []string{addr}})
	s := receive(t, "session", registry.sessions)
	eventually(t, "a line for the child", func() bool { return len(text.with("child connected")) > 0 })
	stopLink()
	receive(t, "close", s.closed)
	name := leafDescription().Name()
	for _, event := range []string{"child connected", "child disconnected"} {
		if lines := text.with(event, name, "remote=127.0.0.1:"); len(lines) != 1 {
			t.Errorf("%s: %q", event, lines)
		}
	}
	if len(text.with("child disconnected", "err=")) != 1 || len(text.with("child")) != 2 {
		t.Errorf("log: %s", text.with())
	}
}
