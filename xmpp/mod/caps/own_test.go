package caps_test

import (
	"strings"
	"testing"

	"doorway/xmpp"
	"doorway/xmpp/form"
	"doorway/xmpp/mod/caps"
	"doorway/xmpp/router"
	"doorway/xmpp/routertest"
)

// TestOwnForms: the server's own hash is that of what it says, with its forms
// (XEP-0115 §5.1, XEP-0128), and follows when they change.
func TestOwnForms(t *testing.T) {
	addresses := []string{"xmpp:b@x", "xmpp:a@x"}
	o := routertest.Open(t, router.Config{}, caps.New("urn:doorway", 0), routertest.Module(func(h xmpp.Host) {
		h.Feature(xmpp.ToHost, "urn:one")
		h.Identity(xmpp.ToHost, xmpp.Identity{Category: "server", Type: "im", Name: "doorway"})
		h.Form(xmpp.ToHost, func() *form.Form {
			if addresses == nil {
				return nil
			}
			return form.New(form.Result, "http://jabber.org/network/serverinfo", form.Field{Var: "support-addresses"},
				form.Field{Var: "admin-addresses", Kind: form.ListMulti, Values: addresses})
		})
	}))
	a := o.Login("alice@" + routertest.Domain + "/x")
	seen := map[string]bool{}
	for _, now := range [][]string{addresses, {"xmpp:c@x"}, nil} {
		addresses = now
		_, rest, _ := strings.Cut(o.Router.StreamFeatures()[0].Offer(nil), "ver='")
		ver, _, _ := strings.Cut(rest, "'")
		if seen[ver] || ver == "" {
			t.Errorf("%q: the hash is %q again", now, ver)
		}
		seen[ver] = true
		got := a.Ask("get", routertest.Domain, "<query xmlns='http://jabber.org/protocol/disco#info' node='urn:doorway#"+ver+"'/>")
		inner := strings.TrimSuffix(got[strings.Index(got, ">")+1:], "</query>")
		if strings.Contains(inner, "serverinfo") != (now != nil) || caps.Ver(inner) != ver {
			t.Errorf("%q: the hash %s is not that of %s", now, ver, got)
		}
	}
}
