package planet

import (
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// Labels that say what is scraped: an address, or a socket instead.
const (
	addressLabel = "__address__"
	socketLabel  = "__unix_socket__"
)

// noSocket is told of whatever has a leaf scrape a socket of its machine.
const noSocket = "%s has a leaf connect to a socket of its machine: it cannot be set from git"

var (
	// odd is an address in a spelling that some resolvers take for an IP address.
	odd = regexp.MustCompile(`^(0[xX][0-9a-fA-F]+|[0-9]+)(\.(0[xX][0-9a-fA-F]+|[0-9]+)){0,3}\.?$`)
	// reference is what relabeling puts the parts of a match in for.
	reference = regexp.MustCompile(`\$(\w+|\{[^}]*\})`)
)

// hostOf returns the host of a target as resolvers see it.
func hostOf(target string) string {
	host, _, err := net.SplitHostPort(target)
	if err != nil {
		host = strings.Trim(target, "[]")
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// keepsCredentials reports whether clouds keep credentials at a host.
func keepsCredentials(host string) bool {
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return slices.Contains([]string{"metadata", "metadata.google.internal", "instance-data"}, host)
	}
	ip = ip.Unmap().WithZone("")
	return ip.IsLinkLocalUnicast() || slices.Contains([]string{"fd00:ec2::254", "100.100.100.200"}, ip.String())
}

// checkTarget refuses targets where clouds keep credentials.
func (a allowed) checkTarget(n *yaml.Node, target string, add adding) {
	host := hostOf(target)
	_, err := netip.ParseAddr(host)
	if keepsCredentials(host) || err != nil && odd.MatchString(host) {
		a.refuseTarget(n, host, target, add)
	}
}

func (a allowed) refuseTarget(n *yaml.Node, host, target string, add adding) {
	if !a.host(host) {
		add(n, "the target %s is where machines keep their credentials, or an address in a spelling of its own: add it to allow.hosts of planet.yaml%s, or change it", shortened(target), a.cap.also("host", a.cap.host(host)))
	}
}

// checkLabels checks the labels of static targets: one may be the address, or
// become it by a labelmap that cuts its name.
func (a allowed) checkLabels(n *yaml.Node, add adding) {
	keys(n, func(k, v *yaml.Node) {
		if strings.Contains(k.Value, addressLabel) {
			a.checkTarget(v, v.Value, add)
		}
		if strings.Contains(k.Value, socketLabel) {
			add(k, noSocket, socketLabel)
		}
	})
}

// checkRelabeling checks what a relabeling can make the address.
func (a allowed) checkRelabeling(n *yaml.Node, add adding) {
	to := text(n, "target_label")
	if strings.Contains(to, socketLabel) {
		add(n, noSocket, socketLabel)
	}
	r := field(n, "replacement")
	if r == nil {
		return
	}
	if strings.EqualFold(text(n, "action"), "labelmap") {
		if strings.Contains(r.Value, socketLabel) {
			add(r, noSocket, socketLabel)
		}
		if makesAddress(r.Value) && !a.host(addressLabel) {
			add(r, "a labelmap with the replacement %s can write %s from a label that is not checked: write a prefix that does not lead there, or add %[2]s to allow.hosts of planet.yaml%[3]s", shortened(r.Value), addressLabel, a.cap.also("host", a.cap.host(addressLabel)))
		}
		return
	}
	if !strings.Contains(to, addressLabel) && !strings.Contains(to, "$") {
		return
	}
	literal := reference.ReplaceAllString(r.Value, "")
	if literal == r.Value {
		a.checkTarget(r, r.Value, add)
		return
	}
	// What the references stand for may be nothing.
	if host := hostOf(literal); keepsCredentials(host) || strings.HasPrefix(host, "169.254.") {
		a.refuseTarget(r, host, r.Value, add)
	}
}

// makesAddress reports whether a labelmap's replacement can become the name of the
// address. A reference alone cannot, unless a label has that in its name, and
// those are checked where they are written.
func makesAddress(replacement string) bool {
	parts := reference.Split(replacement, -1)
	if len(parts) == 2 && parts[0] == "" && parts[1] == "" {
		return false
	}
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	could, err := regexp.MatchString("^(?:"+strings.Join(parts, ".*")+")$", addressLabel)
	return err != nil || could
}

// linkLocal returns the addresses of allow.hosts that leaves would otherwise refuse
// to connect to, whatever leads there. Names are no exceptions: who answers for
// one decides where it leads.
func (a allowed) linkLocal() (out []string) {
	for _, h := range a.Hosts {
		if ip, err := netip.ParseAddr(h); err == nil && keepsCredentials(h) {
			out = append(out, ip.Unmap().WithZone("").String())
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
