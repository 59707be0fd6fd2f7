package source

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
)

// commit is what is needed of a commit object.
type commit struct {
	hash, tree string
	parents    []string
	author     string // name <email>
	when       time.Time
	subject    string
	message    string
	// signature is armored, payload what it is about: the object without it.
	signature string
	payload   []byte
}

// readCommit parses a commit. It reads the object itself rather than a library's
// view of it: what is verified must be, byte for byte, what is used.
func (o *objects) readCommit(hash string) (*commit, error) {
	data, err := o.get(hash, plumbing.CommitObject)
	if err != nil {
		return nil, err
	}
	c := &commit{hash: hash}
	header, body, ok := bytes.Cut(data, []byte("\n\n"))
	if !ok {
		header, body = data, nil
	}
	var kept, signature []string
	signatures, in := 0, false
	for line := range strings.SplitSeq(string(header), "\n") {
		name, value, _ := strings.Cut(line, " ")
		switch {
		case in && name == "":
			signature = append(signature, value)
			continue
		case name == "gpgsig":
			in, signature = true, append(signature, value)
			signatures++
			continue
		}
		in = false
		kept = append(kept, line)
		c.field(name, value)
	}
	if c.tree == "" || signatures > 1 {
		return nil, fail(ReasonCorrupt, "commit %s has %d signatures and tree %q", short(hash), signatures, c.tree)
	}
	c.signature = strings.Join(signature, "\n")
	c.payload = append([]byte(strings.Join(kept, "\n")), data[len(header):]...)
	c.subject, c.message = subject(string(body)), message(string(body))
	return c, nil
}

func (c *commit) field(name, value string) {
	switch name {
	case "tree":
		if c.tree == "" {
			c.tree = value
		}
	case "parent":
		c.parents = append(c.parents, value)
	case "author":
		c.author, _ = signed(value)
	case "committer":
		_, c.when = signed(value)
	}
}

// signed parses NAME <EMAIL> SECONDS ZONE.
func signed(s string) (string, time.Time) {
	i := strings.LastIndexByte(s, '>')
	if i < 0 {
		return s, time.Time{}
	}
	seconds, _, _ := strings.Cut(strings.TrimSpace(s[i+1:]), " ")
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return s[:i+1], time.Time{}
	}
	return s[:i+1], time.Unix(n, 0).UTC()
}

// subject is the first line of a message, cut to a length that a status can show.
func subject(message string) string {
	s, _, _ := strings.Cut(strings.TrimSpace(message), "\n")
	s = strings.ToValidUTF8(s, "?")
	if r := []rune(s); len(r) > 100 {
		s = string(r[:100]) + "…"
	}
	return s
}

// maxMessage is the most of a message that is kept, in bytes.
const maxMessage = 8 << 10

// message is the whole of it, for people.
func message(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), maxMessage)], "?")
}

// tag is what is needed of an annotated tag.
type tag struct {
	target, name, signature string
	payload                 []byte
}

// readTag parses an annotated tag of a commit.
func (o *objects) readTag(hash string) (*tag, error) {
	data, err := o.get(hash, plumbing.TagObject)
	if err != nil {
		return nil, err
	}
	t := &tag{payload: data}
	header, _, _ := strings.Cut(string(data), "\n\n")
	kind := ""
	for line := range strings.SplitSeq(header, "\n") {
		switch name, value, _ := strings.Cut(line, " "); name {
		case "object":
			t.target = value
		case "type":
			kind = value
		case "tag":
			t.name = value
		}
	}
	if kind != "commit" {
		return nil, fail(ReasonCorrupt, "tag %q names a %s, not a commit", t.name, kind)
	}
	// As git does: the signature begins at the last line that begins one.
	start := -1
	for _, begin := range []string{"\n-----BEGIN PGP SIGNATURE-----", "\n-----BEGIN SSH SIGNATURE-----"} {
		start = max(start, bytes.LastIndex(data, []byte(begin)))
	}
	if start >= 0 {
		t.payload, t.signature = data[:start+1], string(data[start+1:])
	}
	return t, nil
}
