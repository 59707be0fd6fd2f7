package treehttp

import (
	"context"
	"fmt"
	"net"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/pandometrics/pando/querytree"
)

// notingBelow notes how the giving of an answer ended.
type notingBelow struct {
	answer querytree.StatusAnswer
	ended  chan error
}

func (n notingBelow) Status(_ context.Context, _ querytree.StatusRequest, answer func(querytree.StatusAnswer) error) error {
	err := answer(n.answer)
	n.ended <- err
	return err
}

// A client that does not read what it asked for holds it, and the slot that comes
// with it, no longer than it may take: through all that wraps the connection.
func TestBelowSlowClient(t *testing.T) {
	cfg := zoneLike(t)
	below := notingBelow{querytree.StatusAnswer{Code: 200, ContentType: "text/plain", Body: make([]byte, 64<<20)}, make(chan error, 2)}
	cfg.Below = below
	h := build(t, cfg).Handler
	h.belowWrite = 100 * time.Millisecond
	srv := httptest.NewServer(h)
	defer srv.Close()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprint(conn, "GET /pando/api/v1/below/api/v1/targets?member=root HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-below.ended:
		if err == nil {
			t.Error("64 MiB were written to a client that reads nothing")
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the answer is held for a client that reads nothing")
	}
}
