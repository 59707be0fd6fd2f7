package source

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"

	"github.com/fluxcd/pkg/git"
	"github.com/fluxcd/pkg/ssh/knownhosts"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"golang.org/x/crypto/ssh"
)

// sshRemote speaks git's protocol over ssh. Nothing of the host's ssh
// configuration or agent is used.
type sshRemote struct {
	conn   *ssh.Client
	path   string
	cancel func() bool

	session *ssh.Session // that has advertised, and waits for a request
	in      io.WriteCloser
	out     io.Reader
}

func newSSHRemote(ctx context.Context, c Config, u *url.URL) (*sshRemote, error) {
	conf, err := sshConfig(c, u)
	if err != nil {
		return nil, err
	}
	address := u.Host
	if u.Port() == "" {
		address = net.JoinHostPort(u.Hostname(), "22")
	}
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fail(ReasonUnreachable, "dial the server: %w", err)
	}
	// The ssh library knows no context: closing the connection ends its waits.
	cancel := context.AfterFunc(ctx, func() { _ = raw.Close() })
	conn, channels, requests, err := ssh.NewClientConn(raw, address, conf)
	if err != nil {
		cancel()
		_ = raw.Close()
		return nil, handshake(ctx, err)
	}
	return &sshRemote{conn: ssh.NewClient(conn, channels, requests), path: u.Path, cancel: cancel}, nil
}

func handshake(ctx context.Context, err error) error {
	if ctx.Err() == nil && (strings.Contains(err.Error(), "knownhosts") || strings.Contains(err.Error(), "unable to authenticate")) {
		return fail(ReasonDenied, "ssh: %w", err)
	}
	return fail(ReasonUnreachable, "ssh: %w", err)
}

func sshConfig(c Config, u *url.URL) (*ssh.ClientConfig, error) {
	key, err := readFile(c.IdentityFile)
	if err != nil {
		return nil, err
	}
	var signer ssh.Signer
	if c.PassphraseFile != "" {
		var pass string
		if pass, err = readSecret(c.PassphraseFile); err != nil {
			return nil, err
		}
		signer, err = ssh.ParsePrivateKeyWithPassphrase(key, []byte(pass))
	} else {
		signer, err = ssh.ParsePrivateKey(key)
	}
	if err != nil {
		return nil, fail(ReasonCredentials, "private key %q: %w", c.IdentityFile, err)
	}
	known, err := readFile(c.KnownHostsFile)
	if err != nil {
		return nil, err
	}
	check, algorithms, err := knownhosts.New(known)
	if err != nil {
		return nil, fail(ReasonCredentials, "known hosts %q: %w", c.KnownHostsFile, err)
	}
	user := u.User.Username()
	if user == "" {
		user = git.DefaultPublicKeyAuthUser
	}
	return &ssh.ClientConfig{
		User: user, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyCallback: check, HostKeyAlgorithms: strongest(algorithms),
	}, nil
}

// strongest asks for RSA keys with signatures other than SHA-1.
func strongest(algorithms []string) []string {
	var out []string
	for _, a := range algorithms {
		if a == ssh.KeyAlgoRSA {
			out = append(out, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
			continue
		}
		out = append(out, a)
	}
	return out
}

// start begins an upload-pack, which advertises at once.
func (r *sshRemote) start() (*packp.AdvRefs, error) {
	s, err := r.conn.NewSession()
	if err != nil {
		return nil, fail(ReasonUnreachable, "ssh: open session: %w", err)
	}
	r.end()
	r.session = s
	if r.in, err = s.StdinPipe(); err != nil {
		return nil, fmt.Errorf("ssh: %w", err)
	}
	if r.out, err = s.StdoutPipe(); err != nil {
		return nil, fmt.Errorf("ssh: %w", err)
	}
	if err := s.Start("git-upload-pack " + shellQuoted(r.path)); err != nil {
		return nil, fail(ReasonUnreachable, "ssh: start git-upload-pack: %w", err)
	}
	return decodeRefs(r.out)
}

// shellQuoted quotes as git does: the server's shell may see it.
func shellQuoted(s string) string {
	return "'" + strings.NewReplacer("'", `'\''`, "!", `'\!'`).Replace(s) + "'"
}

func (r *sshRemote) advertise(context.Context) (*packp.AdvRefs, error) { return r.start() }

func (r *sshRemote) upload(_ context.Context, request []byte) (io.ReadCloser, error) {
	if r.session == nil { // the one before was used up
		if _, err := r.start(); err != nil {
			return nil, err
		}
	}
	if _, err := r.in.Write(request); err != nil {
		return nil, fail(ReasonUnreachable, "ssh: ask the server: %w", err)
	}
	_ = r.in.Close()
	return sessionReader{r.out, r}, nil
}

// sessionReader ends the session that it reads from.
type sessionReader struct {
	io.Reader
	remote *sshRemote
}

func (s sessionReader) Close() error { s.remote.end(); return nil }

func (r *sshRemote) end() {
	if r.session != nil {
		_ = r.session.Close()
	}
	r.session = nil
}

func (r *sshRemote) close() {
	r.end()
	r.cancel()
	_ = r.conn.Close()
}
