package source

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"
)

// Config says what is fetched and what of it is trusted. Files that it names
// are read anew by each fetch, so that credentials can be rotated.
type Config struct {
	// URL is https://host/path or ssh://user@host/path. It must not hold a
	// password.
	URL string
	// Branch, Tag and Semver: exactly one of them. Semver is a range such as
	// ">=1.2.0 <2"; of the tags in it the highest is taken.
	Branch, Tag, Semver string

	// UsernameFile and PasswordFile hold basic credentials for https.
	UsernameFile, PasswordFile string
	// BearerTokenFile holds a token for https.
	BearerTokenFile string
	// CAFile, CertFile and KeyFile are PEM files for https.
	CAFile, CertFile, KeyFile string
	// IdentityFile holds the private key for ssh, PassphraseFile its passphrase,
	// KnownHostsFile the host's keys, in OpenSSH's format.
	IdentityFile, PassphraseFile, KnownHostsFile string
	// AllowHTTP permits plain http, credentials included. For tests and for
	// loopback only.
	AllowHTTP bool

	// SSHKeyFiles hold public keys of those who may sign, as authorized_keys;
	// PGPKeyFiles armored key rings. If there are none, signatures are not
	// asked for.
	SSHKeyFiles, PGPKeyFiles []string
	// Verify says which signatures are asked for: those of "commit" (the
	// default), "tag" or "both".
	Verify string

	// Limits bound what a fetch may cost. What is 0 has its default.
	Limits Limits
}

// Limits bound what one fetch may cost, and what a revision may hold.
type Limits struct {
	// Download is the most bytes that one answer of the server may have.
	Download int64
	// Total is the most bytes that all objects of an answer may inflate to.
	Total int64
	// File is the most bytes of one file.
	File int64
	// Files is the most files of a revision; four times as many objects may
	// come in an answer.
	Files int
	// Depth is the most folders above a file.
	Depth int
	// Timeout bounds a whole fetch.
	Timeout time.Duration
}

// DefaultLimits are ample for a planet of 1,000 clusters.
func DefaultLimits() Limits {
	return Limits{Download: 32 << 20, Total: 64 << 20, File: 4 << 20, Files: 20_000, Depth: 16, Timeout: time.Minute}
}

func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	l.Download, l.Total, l.File = orDefault(l.Download, d.Download), orDefault(l.Total, d.Total), orDefault(l.File, d.File)
	l.Files, l.Depth, l.Timeout = orDefault(l.Files, d.Files), orDefault(l.Depth, d.Depth), orDefault(l.Timeout, d.Timeout)
	return l
}

func orDefault[T int | int64 | time.Duration](v, d T) T {
	if v <= 0 {
		return d
	}
	return v
}

// The values of Config.Verify.
const (
	VerifyCommit = "commit"
	VerifyTag    = "tag"
	VerifyBoth   = "both"
)

// Validate says what is wrong with the configuration, and what to change. It
// opens no file.
func (c Config) Validate() error {
	u, err := url.Parse(c.URL)
	if err != nil {
		return errors.New("git URL cannot be parsed: use https://host/path or ssh://git@host/path") // the error of Parse would repeat it, password included
	}
	return errors.Join(c.validateURL(u), c.validateRef(), c.validateKeys())
}

func (c Config) validateURL(u *url.URL) error {
	if _, has := u.User.Password(); has {
		return fmt.Errorf("git URL of host %q holds a password: put it in a file and name that", u.Host)
	}
	if u.Host == "" || strings.Trim(u.Path, "/") == "" {
		return errors.New("git URL lacks a host or a path: use https://host/path or ssh://git@host/path")
	}
	switch u.Scheme {
	case "https":
	case "http":
		if !c.AllowHTTP {
			return fmt.Errorf("git URL of host %q is plain http: use https or ssh, or allow plain http explicitly", u.Host)
		}
	case "ssh":
		if c.IdentityFile == "" || c.KnownHostsFile == "" {
			return errors.New("git over ssh needs a file with the private key, and one with the known hosts")
		}
	default:
		return fmt.Errorf("git URL has scheme %q: use https:// or ssh://", u.Scheme)
	}
	if u.Scheme != "ssh" && u.User != nil {
		return errors.New("git URL holds a user: put it in a file and name that")
	}
	if c.BearerTokenFile != "" && (c.UsernameFile != "" || c.PasswordFile != "") {
		return errors.New("git takes a bearer token or a user with a password, not both")
	}
	if (c.UsernameFile == "") != (c.PasswordFile == "") || (c.CertFile == "") != (c.KeyFile == "") {
		return errors.New("git needs both of a user and a password, and both of a client certificate and its key")
	}
	return nil
}

func (c Config) validateRef() error {
	n := 0
	for _, s := range []string{c.Branch, c.Tag, c.Semver} {
		if s != "" {
			n++
		}
	}
	if n != 1 {
		return errors.New("name exactly one of a branch, a tag and a range of versions to follow")
	}
	if name := c.Branch + c.Tag; c.Semver == "" && (strings.ContainsAny(name, " ~^:?*[\\\x7f") || strings.Contains(name, "..") || strings.HasPrefix(name, "-")) {
		return fmt.Errorf("%q is not the name of a branch or a tag", name)
	}
	if c.Semver != "" {
		if _, err := semver.NewConstraint(c.Semver); err != nil {
			return fmt.Errorf("range of versions %q: %w", c.Semver, err)
		}
	}
	return nil
}

func (c Config) validateKeys() error {
	keys := len(c.SSHKeyFiles)+len(c.PGPKeyFiles) > 0
	switch c.Verify {
	case "", VerifyCommit:
	case VerifyTag, VerifyBoth:
		if c.Branch != "" {
			return fmt.Errorf("signatures of %q are asked for, but a branch is followed: follow a tag or a range of versions, or verify commits", c.Verify)
		}
	default:
		return fmt.Errorf("verify %q is none of commit, tag and both", c.Verify)
	}
	if c.Verify != "" && !keys {
		return errors.New("signatures are to be verified, but no keys of signers are given")
	}
	return nil
}
