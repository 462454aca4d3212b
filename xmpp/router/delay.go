package router

import (
	"strings"
	"time"

	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

const delaySpace = "urn:xmpp:delay" // XEP-0203

// ours reports a <delay/> that says the server made it.
func (r *Router) ours(e *stanza.Element) bool {
	if e.Name.Space != delaySpace || e.Name.Local != "delay" {
		return false
	}
	from, err := jid.Parse(e.Attr("from"))
	return err == nil && from.Domain() == r.conf.Domain && from.Local() == ""
}

// mayBeDelayed is a cheap look that spares nearly every stanza the parsing.
func mayBeDelayed(st *stanza.Stanza) bool {
	return strings.Contains(st.Inner(), delaySpace) || strings.Contains(st.Decls(), delaySpace)
}

// withoutClaims strips delay stamps that a client made in the server's name
// (XEP-0203 §5: only the server may say so).
func (r *Router) withoutClaims(st *stanza.Stanza) *stanza.Stanza {
	if !mayBeDelayed(st) {
		return st
	}
	return st.Without(r.ours)
}

// delayed adds the server's delay stamp, unless the stanza has one (XEP-0198
// §5, XEP-0203).
func (r *Router) delayed(st *stanza.Stanza, since time.Time) *stanza.Stanza {
	if mayBeDelayed(st) {
		els := st.Elements()
		for i := range els {
			if r.ours(&els[i]) {
				return st
			}
		}
	}
	return st.WithAppended("<delay xmlns='" + delaySpace + "' from='" + r.conf.Domain + "' stamp='" +
		since.UTC().Format(time.RFC3339) + "'/>")
}

// Delayed says in a message how long it has been waiting for the client
// (XEP-0203), unless it says so already. Other stanzas stay as they are.
func (s *Session) Delayed(st *stanza.Stanza, since time.Time) *stanza.Stanza {
	if st.Kind != stanza.Message || st.Type == stanza.TypeError {
		return st
	}
	return s.r.delayed(st, since)
}
