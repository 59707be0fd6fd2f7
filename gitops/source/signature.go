package source

import (
	"github.com/fluxcd/pkg/git"
	"github.com/fluxcd/pkg/git/signature"
)

// keys are those of the people who may sign.
type keys struct{ ssh, pgp []string }

func readKeys(c Config) (keys, error) {
	var k keys
	for _, part := range []struct {
		files []string
		to    *[]string
	}{{c.SSHKeyFiles, &k.ssh}, {c.PGPKeyFiles, &k.pgp}} {
		for _, name := range part.files {
			data, err := readFile(name)
			if err != nil {
				return keys{}, err
			}
			*part.to = append(*part.to, string(data))
		}
	}
	for i, s := range k.ssh {
		if parsed, err := signature.ParseAuthorizedKeys(s); err != nil || len(parsed) == 0 {
			return keys{}, fail(ReasonCredentials, "file %q holds no public ssh keys: %v", c.SSHKeyFiles[i], err)
		}
	}
	return k, nil
}

// verify checks a signature, and returns the name of the key: the fingerprint
// of an ssh key, the id of a PGP key. what is said in errors.
func (k keys) verify(what, sig string, payload []byte) (string, error) {
	c := git.Commit{Signature: sig, Encoded: payload}
	var (
		signer string
		err    error
	)
	switch {
	case sig == "":
		return "", fail(ReasonUnsigned, "%s has no signature, and keys of signers are configured: sign it", what)
	case c.IsSSHSigned() && len(k.ssh) > 0:
		signer, err = c.VerifySSH(k.ssh...)
	case c.IsPGPSigned() && len(k.pgp) > 0:
		signer, err = c.VerifyPGP(k.pgp...)
	default:
		return "", fail(ReasonUntrusted, "%s has a signature of kind %s, and there is no key of that kind", what, c.SignatureType())
	}
	if err != nil {
		return "", fail(ReasonUntrusted, "%s is signed by none of the configured keys: %w", what, err)
	}
	return signer, nil
}

// check verifies what the configuration asks for. Without keys, nothing is.
func (s *Source) check(k keys, c *commit, t *tag) (string, error) {
	if len(k.ssh)+len(k.pgp) == 0 {
		return "", nil
	}
	var signer string
	var err error
	if s.cfg.Verify != VerifyTag {
		if signer, err = k.verify("the commit", c.signature, c.payload); err != nil {
			return "", err
		}
	}
	if s.cfg.Verify == VerifyTag || s.cfg.Verify == VerifyBoth {
		if t == nil {
			return "", fail(ReasonUnsigned, "the tag is not an annotated one, which could be signed: use git tag -s")
		}
		if signer, err = k.verify("tag "+t.name, t.signature, t.payload); err != nil {
			return "", err
		}
	}
	return signer, nil
}
