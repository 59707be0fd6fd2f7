package main

import (
	"fmt"
	"net/netip"

	"github.com/alecthomas/kingpin/v2"
)

// scrapeFlags say what a leaf may connect to for scraping, when others than those
// who run it write its configuration.
type scrapeFlags struct {
	refuse bool
	allow  []string
}

func (f *scrapeFlags) register(c *kingpin.CmdClause) {
	c.Flag("scrape.refuse-link-local", "Scrape no link-local addresses, and none where clouds keep credentials of machines, whatever leads to them. Always so with --config.pull.").BoolVar(&f.refuse)
	c.Flag("scrape.allow-link-local", "Address, or network such as 169.254.20.0/24, that is scraped nevertheless. Repeatable.").PlaceHolder("ADDRESS").StringsVar(&f.allow)
}

// allowed parses the exceptions.
func (f *scrapeFlags) allowed() ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range f.allow {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			ip, ipErr := netip.ParseAddr(text)
			if ipErr != nil {
				return nil, fmt.Errorf("--scrape.allow-link-local=%s: it must be an IP address, or a network such as 169.254.20.0/24", text)
			}
			p = netip.PrefixFrom(ip.Unmap(), ip.Unmap().BitLen())
		}
		out = append(out, p)
	}
	return out, nil
}
