package source_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"net"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/pandometrics/pando/gitops/gittest"
	"github.com/pandometrics/pando/gitops/source"
)

// sshKey returns a signer, and its private key in PEM.
func sshKey(t *testing.T) (ssh.Signer, string) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	return s, string(pem.EncodeToMemory(block))
}

// serveSSH serves a repository to one user, and returns the address.
func serveSSH(t *testing.T, r *gittest.Repo, host ssh.Signer, user ssh.PublicKey) string {
	t.Helper()
	conf := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if string(key.Marshal()) != string(user.Marshal()) {
			return nil, ssh.ErrNoAuth
		}
		return nil, nil
	}}
	conf.AddHostKey(host)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serveSSHConn(c, conf, r)
		}
	}()
	return l.Addr().String()
}

func serveSSHConn(c net.Conn, conf *ssh.ServerConfig, r *gittest.Repo) {
	defer func() { _ = c.Close() }()
	_, channels, requests, err := ssh.NewServerConn(c, conf)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for n := range channels {
		ch, reqs, err := n.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = ch.Close() }()
			for q := range reqs {
				ok := q.Type == "exec" && strings.HasSuffix(string(q.Payload), "git-upload-pack '/it'\\''s.git'")
				_ = q.Reply(ok, nil)
				if !ok {
					continue
				}
				cmd := exec.Command("git", "upload-pack", r.Dir)
				cmd.Stdin, cmd.Stdout = ch, ch
				_ = cmd.Run()
				return
			}
		}()
	}
}

func TestSSH(t *testing.T) {
	r := gittest.New(t)
	r.Bare(nil, "config", "uploadpack.allowReachableSHA1InWant", "false")
	first := r.Commit("n", "1")
	host, _ := sshKey(t)
	user, private := sshKey(t)
	address := serveSSH(t, r, host, user.PublicKey())
	name, port, _ := net.SplitHostPort(address)
	known := "[" + name + "]:" + port + " " + string(ssh.MarshalAuthorizedKey(host.PublicKey()))
	over := func(private, known string) *source.Source {
		return follow(t, r, func(c *source.Config) {
			c.URL, c.AllowHTTP = "ssh://git@"+address+"/it's.git", false
			c.IdentityFile, c.KnownHostsFile = secret(t, private), secret(t, known)
		})
	}
	s := over(private, known)
	for _, n := range []string{"2", "3", "4"} {
		r.Commit("n", n)
	}
	rev := fetch(t, s, source.Want{Base: first}) // two requests over one connection
	if want := r.Git("rev-parse", "HEAD"); rev.Hash != want {
		t.Fatalf("revision %s, want %s", rev.Hash, want)
	}
	// This server gives out what a reference names only: the history is deepened.
	if rev, err := s.At(t.Context(), first, ""); err != nil || rev.Hash != first {
		t.Fatalf("revision %v, error %v; want %s", rev, err, first)
	}
	_, err := s.At(t.Context(), strings.Repeat("ab", 20), "")
	refused(t, err, source.ReasonRewound, "not in the history")

	stranger, other := sshKey(t)
	_, err = over(other, known).Fetch(t.Context(), source.Want{})
	refused(t, err, source.ReasonDenied, "authenticate")
	_, err = over(private, "["+name+"]:"+port+" "+string(ssh.MarshalAuthorizedKey(stranger.PublicKey()))).Fetch(t.Context(), source.Want{})
	refused(t, err, source.ReasonDenied, "knownhosts")
	_, err = over("nonsense", known).Fetch(t.Context(), source.Want{})
	refused(t, err, source.ReasonCredentials, "private key")
}
