package source_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/fluxcd/pkg/git/signature"
	"golang.org/x/crypto/ssh"

	"github.com/pandometrics/pando/gitops/gittest"
	"github.com/pandometrics/pando/gitops/source"
)

// signer signs, and has a public key.
type signer struct {
	signature.Signer
	public string
}

func sshSigner(t *testing.T) signer {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	s, err := signature.NewSSHSigner(pem.EncodeToMemory(block), nil)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return signer{s, string(ssh.MarshalAuthorizedKey(key))}
}

func pgpSigner(t *testing.T) signer {
	t.Helper()
	e, err := openpgp.NewEntity("Ada", "", "ada@example.org", nil)
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	w, err := armor.Encode(&buf, openpgp.PublicKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Serialize(w); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := signature.NewOpenPGPSigner(e)
	if err != nil {
		t.Fatal(err)
	}
	return signer{s, buf.String()}
}

func sign(t *testing.T, s signer, text string) string {
	t.Helper()
	out, err := s.Sign(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimRight(string(out), "\n")
}

// signedCommit makes main name a commit of the work tree's files, signed.
func signedCommit(t *testing.T, r *gittest.Repo, s signer) string {
	t.Helper()
	raw := r.Git("cat-file", "commit", r.Commit("n", fmt.Sprint(r.Requests.Load(), len(s.public))))
	header, body, _ := strings.Cut(raw, "\n\n")
	text := header + "\n\n" + body + "\n"
	sig := strings.ReplaceAll(sign(t, s, text), "\n", "\n ")
	return store(r, header+"\ngpgsig "+sig+"\n\n"+body+"\n")
}

func store(r *gittest.Repo, commit string) string {
	hash := r.Bare([]byte(commit), "hash-object", "-t", "commit", "-w", "--stdin")
	r.Bare(nil, "update-ref", "refs/heads/main", hash)
	return hash
}

// Only what is signed by one of the keys is let through.
func TestSignatures(t *testing.T) {
	for name, make := range map[string]func(*testing.T) signer{"ssh": sshSigner, "pgp": pgpSigner} {
		t.Run(name, func(t *testing.T) {
			r := gittest.New(t)
			ada, eve := make(t), make(t)
			s := follow(t, r, func(c *source.Config) {
				if name == "ssh" {
					c.SSHKeyFiles = []string{secret(t, ada.public)}
				} else {
					c.PGPKeyFiles = []string{secret(t, ada.public)}
				}
			})
			good := signedCommit(t, r, ada)
			if rev := fetch(t, s, source.Want{}); rev.Hash != good || rev.Signer == "" {
				t.Fatalf("revision %s signed by %q, want %s with a signer", rev.Hash, rev.Signer, good)
			}
			raw := r.Bare(nil, "cat-file", "commit", good) + "\n"

			r.Bare(nil, "update-ref", "refs/heads/main", r.Git("rev-parse", "HEAD"))
			_, err := s.Fetch(t.Context(), source.Want{})
			refused(t, err, source.ReasonUnsigned, "sign it")

			signedCommit(t, r, eve)
			_, err = s.Fetch(t.Context(), source.Want{})
			refused(t, err, source.ReasonUntrusted, "none of the configured keys")

			// A signature of Ada's, below another commit.
			store(r, strings.Replace(raw, "change", "forged", 1))
			_, err = s.Fetch(t.Context(), source.Want{})
			refused(t, err, source.ReasonUntrusted, "none of the configured keys")

			store(r, strings.Replace(raw, "gpgsig ", "gpgsig x\ngpgsig ", 1))
			_, err = s.Fetch(t.Context(), source.Want{})
			refused(t, err, source.ReasonCorrupt, "2 signatures")
		})
	}
}

// A signature of a kind for which there is no key is none.
func TestSignatureOfOtherKind(t *testing.T) {
	r := gittest.New(t)
	s := follow(t, r, func(c *source.Config) { c.SSHKeyFiles = []string{secret(t, sshSigner(t).public)} })
	signedCommit(t, r, pgpSigner(t))
	_, err := s.Fetch(t.Context(), source.Want{})
	refused(t, err, source.ReasonUntrusted, "no key of that kind")
	s = follow(t, r, func(c *source.Config) { c.SSHKeyFiles = []string{secret(t, "nonsense")} })
	_, err = s.Fetch(t.Context(), source.Want{})
	refused(t, err, source.ReasonCredentials, "no public ssh keys")
}

// Tags are verified where the configuration says so.
func TestSignedTags(t *testing.T) {
	r := gittest.New(t)
	ada, eve := sshSigner(t), sshSigner(t)
	hash := r.Commit("n", "1")
	makeTag := func(by *signer) {
		text := "object " + hash + "\ntype commit\ntag v1\ntagger Ada <ada@example.org> 1700000000 +0000\n\nrelease\n"
		if by != nil {
			text += sign(t, *by, text) + "\n"
		}
		r.Bare(nil, "update-ref", "refs/tags/v1", r.Bare([]byte(text), "hash-object", "-t", "tag", "-w", "--stdin"))
	}
	s := follow(t, r, func(c *source.Config) {
		c.Branch, c.Tag, c.Verify, c.SSHKeyFiles = "", "v1", source.VerifyTag, []string{secret(t, ada.public)}
	})
	makeTag(&ada)
	if rev := fetch(t, s, source.Want{}); rev.Hash != hash || rev.Signer == "" {
		t.Fatalf("revision %s signed by %q, want %s with a signer", rev.Hash, rev.Signer, hash)
	}
	makeTag(&eve)
	_, err := s.Fetch(t.Context(), source.Want{})
	refused(t, err, source.ReasonUntrusted, "none of the configured keys")
	makeTag(nil)
	_, err = s.Fetch(t.Context(), source.Want{})
	refused(t, err, source.ReasonUnsigned, "no signature")
	r.Bare(nil, "update-ref", "refs/tags/v1", hash)
	_, err = s.Fetch(t.Context(), source.Want{})
	refused(t, err, source.ReasonUnsigned, "annotated")
}
