package kubetest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Pando returns the path of a static pando: that of PANDO_BINARY, or one built
// from this checkout when the first test needs it. In its container it is /pando.
func Pando(tb testing.TB) string {
	tb.Helper()
	path, err := pando()
	if err != nil {
		tb.Fatal(err)
	}
	return path
}

var scratch = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "pando-kubetest-") })

var pando = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("PANDO_BINARY"); path != "" {
		return filepath.Abs(path)
	}
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	dir, err := scratch()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "pando")
	cmd := exec.Command("go", "build", "-o", path, "./cmd/pando")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build pando: %w\n%s", err, out)
	}
	return path, nil
})

// removeBuilt removes what was built for the tests.
func removeBuilt() {
	if dir, err := scratch(); err == nil {
		_ = os.RemoveAll(dir)
	}
}
