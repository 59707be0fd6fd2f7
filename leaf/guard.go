package leaf

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/scrape"
)

// metadataPrefixes are link-local addresses, and the others at which clouds hand
// out credentials of the machine to whoever asks from it.
func metadataPrefixes() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("169.254.0.0/16"),      // link-local; metadata of most clouds
		netip.MustParsePrefix("fe80::/10"),           // link-local
		netip.MustParsePrefix("fd00:ec2::/32"),       // Amazon, pods too
		netip.MustParsePrefix("fd20:ce::254/128"),    // Google
		netip.MustParsePrefix("100.100.100.200/32"),  // Alibaba
		netip.MustParsePrefix("168.63.129.16/32"),    // Azure's wire server
		netip.MustParsePrefix("192.0.0.192/32"),      // Oracle
		netip.MustParsePrefix("64:ff9b::a9fe:0/112"), // 169.254.0.0/16 by NAT64
		netip.MustParsePrefix("2002:a9fe::/32"),      // and by 6to4
		netip.MustParsePrefix("::a9fe:0/112"),        // and in the old spelling of IPv4 in IPv6
	}
}

// RefusedAddressError says that a target is at an address that is not scraped.
type RefusedAddressError struct{ Address netip.Addr }

// Error implements error.
func (e *RefusedAddressError) Error() string {
	return fmt.Sprintf("%s is a link-local address, or one where machines keep their credentials: it is not scraped unless --scrape.allow-link-local names it", e.Address)
}

// guard is what may be connected to when targets are scraped. It looks at the
// address that a connection goes to, after names were resolved: relabeling,
// discovery, redirects and DNS can all lead to one that no check of the
// configuration sees.
type guard struct{ refused, allowed []netip.Prefix }

func newGuard(c Config) *guard {
	if !c.RefuseLinkLocal {
		return nil
	}
	return &guard{refused: metadataPrefixes(), allowed: c.AllowLinkLocal}
}

// options are for scrape.Options. They replace the dialer of targets at unix
// sockets too, which is why those are refused.
func (g *guard) options() []promconfig.HTTPClientOption {
	if g == nil {
		return nil
	}
	d := &net.Dialer{Control: g.control}
	return []promconfig.HTTPClientOption{promconfig.WithDialContextFunc(d.DialContext)}
}

// control is called before each connection, with an address that is an IP's.
func (g *guard) control(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("connect to %q: %w", address, err)
	}
	return g.check(at.Addr())
}

func (g *guard) check(ip netip.Addr) error {
	ip = ip.Unmap().WithZone("")
	in := func(p netip.Prefix) bool { return p.Contains(ip) }
	if slices.ContainsFunc(g.refused, in) && !slices.ContainsFunc(g.allowed, in) {
		return &RefusedAddressError{ip}
	}
	return nil
}

// errUnixSocket refuses what would be scraped from elsewhere than it says.
var errUnixSocket = errors.New("the label " + scrape.UnixSocketLabel + " has targets scraped at a unix socket, which is not possible while link-local addresses are refused: remove it")

// checkSockets refuses configurations that scrape unix sockets.
func (g *guard) checkSockets(conf *config.Config) error {
	if g == nil {
		return nil
	}
	jobs, err := conf.GetScrapeConfigs()
	if err != nil {
		return err
	}
	for _, job := range jobs {
		for _, r := range job.RelabelConfigs {
			if strings.Contains(r.TargetLabel+r.Replacement, scrape.UnixSocketLabel) {
				return fmt.Errorf("job %q: %w", job.JobName, errUnixSocket)
			}
		}
		for _, sd := range job.ServiceDiscoveryConfigs {
			static, _ := sd.(discovery.StaticConfig)
			for _, group := range static {
				if _, ok := group.Labels[scrape.UnixSocketLabel]; ok {
					return fmt.Errorf("job %q: %w", job.JobName, errUnixSocket)
				}
			}
		}
	}
	return nil
}
