package source

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
)

// remote is a connection to the repository's upload-pack service. It is for one
// fetch, and not safe for concurrent use.
type remote interface {
	// advertise returns the references.
	advertise(ctx context.Context) (*packp.AdvRefs, error)
	// upload sends a request, and returns the answer, which must be closed.
	upload(ctx context.Context, request []byte) (io.ReadCloser, error)
	close()
}

// advertisementLimit bounds the list of references: about 100,000 of them.
const advertisementLimit = 8 << 20

// decodeRefs reads an advertisement.
func decodeRefs(r io.Reader) (*packp.AdvRefs, error) {
	adv := packp.NewAdvRefs()
	if err := adv.Decode(&capped{r: r, left: advertisementLimit, what: "list of references"}); err != nil {
		return nil, decoding(err, "list of references")
	}
	if f := adv.Capabilities.Get("object-format"); len(f) > 0 && f[0] != "sha1" {
		return nil, fail(ReasonProtocol, "repository names objects by %s: only sha1 repositories can be read", f[0])
	}
	return adv, nil
}

// decoding keeps an error of ours, and says what others are about.
func decoding(err error, what string) error {
	if e, ok := unwrapOwn(err); ok {
		return e
	}
	return fail(ReasonUnreachable, "read the %s: %w", what, err)
}

// capped fails once more than left bytes were read, where an io.LimitReader
// would look like the end of the data.
type capped struct {
	r    io.Reader
	left int64
	what string
}

func (c *capped) Read(p []byte) (int, error) {
	if c.left <= 0 {
		// One byte more tells the end from an overrun.
		var one [1]byte
		n, err := io.ReadFull(c.r, one[:])
		if n == 0 {
			return 0, err
		}
		return 0, fail(ReasonTooLarge, "the %s is larger than the limit", c.what)
	}
	if int64(len(p)) > c.left {
		p = p[:c.left]
	}
	n, err := c.r.Read(p)
	c.left -= int64(n)
	return n, err
}

// request asks for a commit.
type request struct {
	want  string
	have  string // "" for none
	depth int    // 0 for all of the history
	// commitsOnly leaves out trees and files, if the server can.
	commitsOnly bool
}

// encode writes the request as upload-pack reads it.
func (q request) encode(adv *packp.AdvRefs) ([]byte, error) {
	req := packp.NewUploadPackRequest()
	set := func(c capability.Capability, values ...string) error {
		if !adv.Capabilities.Supports(c) {
			return nil
		}
		return req.Capabilities.Set(c, values...)
	}
	for _, c := range []capability.Capability{capability.Sideband64k, capability.OFSDelta} {
		if err := set(c); err != nil {
			return nil, err
		}
	}
	if err := set(capability.Agent, "git/pando"); err != nil {
		return nil, err
	}
	if q.have == "" {
		// Some servers refuse those who do not say it; without haves it changes nothing.
		if err := set("multi_ack_detailed"); err != nil {
			return nil, err
		}
	}
	if q.depth > 0 && adv.Capabilities.Supports(capability.Shallow) {
		req.Depth = packp.DepthCommits(q.depth)
		if err := set(capability.Shallow); err != nil {
			return nil, err
		}
	}
	if q.commitsOnly && adv.Capabilities.Supports(capability.Filter) {
		req.Filter = packp.FilterTreeDepth(0)
		if err := set(capability.Filter); err != nil {
			return nil, err
		}
	}
	req.Wants = []plumbing.Hash{plumbing.NewHash(q.want)}
	if q.have != "" {
		req.Haves = []plumbing.Hash{plumbing.NewHash(q.have)}
	}
	var buf bytes.Buffer
	if err := req.UploadRequest.Encode(&buf); err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	if err := req.UploadHaves.Encode(&buf, false); err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	if err := pktline.NewEncoder(&buf).EncodeString("done\n"); err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	return buf.Bytes(), nil
}

// fetchPack asks for a commit and returns the pack, unopened.
func fetchPack(ctx context.Context, r remote, adv *packp.AdvRefs, q request, limit int64) ([]byte, error) {
	body, err := q.encode(adv)
	if err != nil {
		return nil, err
	}
	answer, err := r.upload(ctx, body)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Close() }()
	in := bufio.NewReader(&capped{r: answer, left: limit, what: "pack"})
	if err := skipNegotiation(in, q.depth > 0 && adv.Capabilities.Supports(capability.Shallow)); err != nil {
		return nil, decoding(err, "answer")
	}
	var pack io.Reader = in
	if adv.Capabilities.Supports(capability.Sideband64k) {
		pack = sideband.NewDemuxer(sideband.Sideband64k, in)
	}
	data, err := io.ReadAll(pack)
	if err != nil {
		return nil, decoding(err, "pack")
	}
	return data, nil
}

// skipNegotiation reads what comes before the pack: the new boundary of a
// shallow clone, and what the server has in common with us.
func skipNegotiation(in *bufio.Reader, shallow bool) error {
	for {
		line, err := readLine(in)
		switch {
		case err != nil:
			return err
		case line == "" && shallow:
			shallow = false // the flush that ends the boundary
		case line == "":
			return fail(ReasonProtocol, "the server ended its answer before the pack")
		case strings.HasPrefix(line, "shallow ") || strings.HasPrefix(line, "unshallow "):
		case strings.HasPrefix(line, "ACK ") || line == "NAK":
			// The last of them comes right before the pack: with "done" sent
			// first there is just one, but some servers send two.
			if next, err := in.Peek(7); err != nil || string(next[4:]) != "ACK" && string(next[4:]) != "NAK" {
				return nil //nolint:nilerr // an end here is an empty pack
			}
		case strings.HasPrefix(line, "ERR "):
			return serverSays(line[4:])
		default:
			return fail(ReasonProtocol, "the server answers %.40q", line)
		}
	}
}

// readLine reads one pkt-line; "" is a flush.
func readLine(in io.Reader) (string, error) {
	var head [4]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return "", err
	}
	var n int
	if _, err := fmt.Sscanf(string(head[:]), "%04x", &n); err != nil {
		return "", fail(ReasonProtocol, "the server answers %q instead of a length", head[:])
	}
	if n < 4 {
		return "", nil
	}
	buf := make([]byte, n-4) // at most 64 KiB
	if _, err := io.ReadFull(in, buf); err != nil {
		return "", err
	}
	return strings.TrimSuffix(string(buf), "\n"), nil
}

// serverSays makes an error of what the server says of a want.
func serverSays(text string) error {
	if strings.Contains(text, "not our ref") {
		return fail(ReasonNotFound, "the server does not give it out: %.200s", text)
	}
	return fail(ReasonServer, "the server says: %.200s", text)
}
