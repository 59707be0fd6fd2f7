package e2e_test

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

var (
	planetUp     = regexp.MustCompile(`The planet is up: (http://\S+)`)
	planetSample = regexp.MustCompile(`(?m)^  (\S*pando\S* (?:query|tree).*)$`)
)

// startDev starts pando dev and waits until it says that the planet is up.
func startDev(t *testing.T, dir string, flags ...string) *process {
	t.Helper()
	p := launch(t, "dev", pando(t), append([]string{"dev", "--zones=1", "--leaves=2", "--series=600", "--scrape-interval=1s", "--data-dir=" + dir, "--web.listen-address=" + anyPort}, flags...)...)
	eventually(t, 60*time.Second, func() error {
		out := p.out.String()
		if m := planetUp.FindStringSubmatch(out); m != nil && strings.Contains(out, "ctrl-C") {
			p.http = m[1]
			return nil
		}
		return errors.New("the planet is not up")
	})
	return p
}

// pando dev comes up with a planet to ask: its examples work as printed, this
// machine's own metrics are there. It ends upon ctrl-C, and resumes.
func TestProcessDev(t *testing.T) {
	processes(t)
	dir := t.TempDir()
	dev := startDev(t, dir)
	shell := tool(t, "bash")
	begun := time.Now()
	var examples []string
	for _, m := range planetSample.FindAllStringSubmatch(dev.out.String(), -1) {
		examples = append(examples, m[1])
	}
	if len(examples) < 5 {
		t.Fatalf("%d examples are printed", len(examples))
	}
	for _, example := range examples {
		eventually(t, 60*time.Second, func() error {
			r := run(t, shell, "-c", example)
			if r.code != 0 {
				return fmt.Errorf("%s: exit code %d, %s%s", example, r.code, r.out, r.errOut)
			}
			// absent() alone answers nothing when all is well.
			if !strings.Contains(example, "absent(") && len(strings.Split(strings.TrimSpace(r.out), "\n")) < 2 {
				return fmt.Errorf("%s: no answer: %s%s", example, r.out, r.errOut)
			}
			return nil
		})
	}
	becomes(t, 60*time.Second, dev.http, `count(count by (zone) (up))`, 1)
	becomes(t, 60*time.Second, dev.http, `count(count by (cluster) (up))`, 2)
	eventually(t, 60*time.Second, func() error {
		n, err := number(dev.http, `count({__name__=~"node_.+"})`)
		if err == nil && n < 10 {
			err = fmt.Errorf("%v host metrics", n)
		}
		return err
	})
	stopped := time.Now()
	old := fmt.Sprintf(`count_over_time(node_memory_MemTotal_bytes[%ds] @ %s)`, int(stopped.Sub(begun).Seconds())+1, seconds(stopped))
	before, err := number(dev.http, `sum(`+old+`)`)
	if err != nil {
		t.Fatal(err)
	}
	dev.stop(syscall.SIGINT, 15*time.Second)

	dev = startDev(t, dir)
	eventually(t, 60*time.Second, func() error {
		after, err := number(dev.http, `sum(`+old+`)`)
		if err == nil && after < before {
			err = fmt.Errorf("%v old samples, want %v", after, before)
		}
		return err
	})
	// And it goes on.
	eventually(t, 60*time.Second, func() error {
		n, err := number(dev.http, `max(timestamp(node_memory_MemTotal_bytes))`)
		if err == nil && n <= float64(stopped.Unix()) {
			err = fmt.Errorf("newest sample is of %v", n)
		}
		return err
	})
	dev.stop(syscall.SIGINT, 15*time.Second)
}
