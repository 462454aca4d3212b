package config

import (
	"net/url"
	"slices"
)

// Contact is the section [contact]: whom to turn to, as URIs (XEP-0157).
type Contact struct {
	Abuse    []string `toml:"abuse"`   // empty: the admins
	Admin    []string `toml:"admin"`   // empty: the admins
	Support  []string `toml:"support"` // empty: the admins
	Feedback []string `toml:"feedback"`
	Sales    []string `toml:"sales"`
	Security []string `toml:"security"`
	Status   []string `toml:"status"`
}

// contact holds that each address is a URI that a client can open.
func (v *validator) contact() {
	c := &v.c.Contact
	for _, role := range []struct {
		name string
		uris []string
	}{
		{"abuse", c.Abuse}, {"admin", c.Admin}, {"support", c.Support}, {"feedback", c.Feedback},
		{"sales", c.Sales}, {"security", c.Security}, {"status", c.Status},
	} {
		for _, s := range role.uris {
			u, err := url.Parse(s)
			if err != nil || !slices.Contains([]string{"mailto", "xmpp", "http", "https", "tel", "sip", "sips"}, u.Scheme) || u.Opaque == "" && u.Host == "" {
				v.fault("contact."+role.name, `%q is no address of a kind that clients open: write e.g. "mailto:help@%s", "xmpp:alice@%s" or "https://…"`, s, v.c.Domain, v.c.Domain)
			}
		}
	}
}
