package kubetest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// insideVar tells the test binary, run again, that it is in its own network.
const insideVar = "PANDO_KUBETEST_INSIDE"

// Main runs the tests of a package in a network of their own, and returns their
// exit code.
func Main(m *testing.M) int {
	if os.Getenv(insideVar) == "" {
		return runInside()
	}
	if err := loopback(); err != nil {
		fmt.Fprintln(os.Stderr, "kubetest: network of the tests:", err)
		return 1
	}
	code := m.Run()
	removeBuilt()
	return code
}

// runInside runs this very program again in namespaces of its own.
func runInside() int {
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, "kubetest:", err)
		return 1
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), insideVar+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	if err := cmd.Start(); err != nil {
		fmt.Fprintf(os.Stderr, "kubetest: run the tests in a network of their own: %v; run them as root, or allow user namespaces\n", err)
		return 1
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT)
	go func() {
		for s := range signals {
			_ = cmd.Process.Signal(s)
		}
	}()
	var exit *exec.ExitError
	switch err := cmd.Wait(); {
	case errors.As(err, &exit) && exit.ExitCode() > 0:
		return exit.ExitCode()
	case err != nil:
		fmt.Fprintln(os.Stderr, "kubetest:", err)
		return 1
	}
	return 0
}

// loopback makes all addresses of pods local: on the loopback device, an address
// stands for all of its network.
func loopback() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	up, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	up.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, up); err != nil {
		return fmt.Errorf("bring lo up: %w", err)
	}
	for _, a := range []struct {
		request uint
		ip      net.IP
	}{{unix.SIOCSIFADDR, net.IPv4(10, 77, 0, 1)}, {unix.SIOCSIFNETMASK, net.IPv4(255, 255, 0, 0)}} {
		r, err := unix.NewIfreq("lo:0")
		if err != nil {
			return err
		}
		if err := r.SetInet4Addr(a.ip.To4()); err != nil {
			return err
		}
		if err := unix.IoctlIfreq(s, a.request, r); err != nil {
			return fmt.Errorf("address %s of lo: %w", a.ip, err)
		}
	}
	return nil
}
