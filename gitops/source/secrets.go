package source

import (
	"errors"
	"io"
	"os"
	"strings"
)

// secretLimit bounds files of credentials and keys.
const secretLimit = 1 << 20

// readFile reads a file of credentials or keys.
func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fail(ReasonCredentials, "read credentials: %w", err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(&capped{r: f, left: secretLimit, what: "file " + name})
	if err != nil {
		return nil, fail(ReasonCredentials, "read credentials %q: %w", name, err)
	}
	return data, nil
}

// readSecret reads one line. Editors and Secrets end it with a newline or not.
func readSecret(name string) (string, error) {
	data, err := readFile(name)
	if err != nil {
		return "", err
	}
	s := strings.TrimRight(string(data), "\r\n")
	if s == "" || strings.ContainsAny(s, "\r\n\x00") {
		return "", fail(ReasonCredentials, "file %q must hold one line", name)
	}
	return s, nil
}

// unwrapOwn finds an *Error of this package.
func unwrapOwn(err error) (*Error, bool) {
	var e *Error
	ok := errors.As(err, &e)
	return e, ok
}
