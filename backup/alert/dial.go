package alert

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/AutumnsGrove/Patina/backup"
)

// Allow names what may be reached although it is private: an operator's word.
type Allow struct {
	Hosts    []string // lower case
	Networks []netip.Prefix
}

// ParseAllow reads a list of host names, addresses and networks, separated by
// commas or spaces. Errors: ErrInvalid.
func ParseAllow(s string) (Allow, error) {
	var a Allow
	for _, part := range strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' }) {
		if p, err := netip.ParsePrefix(part); err == nil {
			a.Networks = append(a.Networks, p.Masked())
			continue
		}
		if addr, err := netip.ParseAddr(strings.Trim(part, "[]")); err == nil {
			a.Networks = append(a.Networks, netip.PrefixFrom(addr, addr.BitLen()))
			continue
		}
		if strings.ContainsAny(part, "/:*@") {
			return a, backup.Errorf(backup.ErrInvalid, "%q is neither a host nor a network such as 10.0.0.0/8", part)
		}
		a.Hosts = append(a.Hosts, strings.ToLower(strings.TrimSuffix(part, ".")))
	}
	return a, nil
}

// host tells whether a name was allowed, whatever it resolves to.
func (a Allow) host(name string) bool {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	for _, h := range a.Hosts {
		if h == name {
			return true
		}
	}
	if addr, err := netip.ParseAddr(name); err == nil {
		return a.address(addr)
	}
	return false
}

func (a Allow) address(addr netip.Addr) bool {
	for _, p := range a.Networks {
		if p.Contains(addr) || p.Contains(addr.Unmap()) {
			return true
		}
	}
	return false
}

// inward are the networks that no webhook may reach: this host, the networks
// around it, and where clouds keep their metadata.
var inward = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
	"192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32",
	"::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
)

// nat64 holds IPv4 addresses in its last four bytes.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

// Inward tells whether an address is one that a webhook must not reach.
func Inward(addr netip.Addr) bool {
	addr = addr.WithZone("").Unmap()
	if !addr.IsValid() {
		return true
	}
	if nat64.Contains(addr) {
		b := addr.As16()
		addr = netip.AddrFrom4([4]byte(b[12:]))
	}
	for _, p := range inward {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// errInward says that an address was refused at dial.
var errInward = errors.New("the address is private, or of this host")

// transport makes connections that look at the address they are about to be
// made to: whatever a name resolves to at that moment.
func transport(allow Allow) *http.Transport {
	guarded := &net.Dialer{Timeout: 5 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil || Inward(at.Addr()) && !allow.address(at.Addr()) {
			return errInward
		}
		return nil
	}}
	free := &net.Dialer{Timeout: 5 * time.Second}
	return &http.Transport{
		Proxy: nil, // a proxy would dial for us, unguarded
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if host, _, err := net.SplitHostPort(address); err == nil && allow.host(host) {
				return free.DialContext(ctx, network, address)
			}
			return guarded.DialContext(ctx, network, address)
		},
		TLSHandshakeTimeout: 5 * time.Second, ResponseHeaderTimeout: 10 * time.Second, MaxResponseHeaderBytes: 64 << 10,
		DisableKeepAlives: true, ForceAttemptHTTP2: true,
	}
}

// hostIsInward tells of an address that is written out, or of a name that can
// only mean this host. Other names are looked at when they are dialled.
func hostIsInward(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if addr, err := netip.ParseAddr(host); err == nil {
		return Inward(addr)
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}
