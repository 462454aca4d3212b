package doctor

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// name asks the DNS what clients ask: where the domain's server is (RFC 6120
// §3.2: SRV records first, then the domain's own addresses).
func name(ctx context.Context, b *Box) []Line {
	const what = "name"
	if b.Config == nil {
		return nil
	}
	domain := b.Config.Domain
	if domain == "localhost" || strings.HasSuffix(domain, ".localhost") {
		return []Line{ok(what, domain+" is this machine by definition (RFC 6761 §6.3); other machines cannot use it.")}
	}
	cure := fmt.Sprintf("Add an address record for %s to the office's name server, or tell each client the box's address as its server (\"connect host\"). The address after the @ stays the same.", domain)
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	hosts := []string{domain}
	if _, srv, err := b.Resolver.LookupSRV(ctx, "xmpp-client", "tcp", domain); err == nil && len(srv) > 0 {
		hosts = nil
		for _, s := range srv {
			hosts = append(hosts, strings.TrimSuffix(s.Target, "."))
		}
	}
	own := b.Addresses()
	var found []netip.Addr
	var lost error
	for _, h := range hosts {
		list, err := b.Resolver.LookupNetIP(ctx, "ip", h)
		if err != nil {
			lost = err
		}
		for _, a := range list {
			found = append(found, a.Unmap())
		}
	}
	switch {
	case len(found) == 0 && lost != nil:
		return []Line{warn(what, fmt.Sprintf("%s leads nowhere: %v.", domain, lost), cure)}
	case len(found) == 0:
		return []Line{warn(what, domain+" leads nowhere.", cure)}
	case !slices.ContainsFunc(found, func(a netip.Addr) bool { return slices.Contains(own, a) }):
		return []Line{warn(what, fmt.Sprintf("%s leads to %s, which is not this box (%s).", domain, join(found), join(own)), cure+" If a router passes the ports on to the box, all is well.")}
	}
	return []Line{ok(what, fmt.Sprintf("%s leads to this box (%s).", domain, join(found)))}
}

func join(list []netip.Addr) string {
	var s []string
	for _, a := range list {
		if !a.IsLinkLocalUnicast() {
			s = append(s, a.String())
		}
	}
	return strings.Join(s, ", ")
}
