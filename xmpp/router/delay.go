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
	els := st.Elements()
	claim := false
	for i := range els {
		claim = claim || r.ours(&els[i])
	}
	if !claim {
		return st
	}
	return st.WithInner(cutChildren(st.Inner(), func(i int) bool { return i < len(els) && r.ours(&els[i]) }))
}

// delayed adds the server's delay stamp, unless the stanza has one (XEP-0198
// §5, XEP-0203).
func (r *Router) delayed(st *stanza.Stanza) *stanza.Stanza {
	if mayBeDelayed(st) {
		els := st.Elements()
		for i := range els {
			if r.ours(&els[i]) {
				return st
			}
		}
	}
	return st.WithAppended("<delay xmlns='" + delaySpace + "' from='" + r.conf.Domain + "' stamp='" +
		r.conf.Now().UTC().Format(time.RFC3339) + "'/>")
}

// cutChildren leaves out the top-level elements that drop names by their
// number. inner comes from a strict reader: well-formed, without comments,
// processing instructions or a DTD.
func cutChildren(inner string, drop func(i int) bool) string {
	var b strings.Builder
	kept, depth, child, start := 0, 0, 0, 0
	for i := 0; i < len(inner); {
		if inner[i] != '<' {
			i++
			continue
		}
		if rest, ok := strings.CutPrefix(inner[i:], "<![CDATA["); ok {
			end := strings.Index(rest, "]]>")
			if end < 0 {
				return inner
			}
			i += len("<![CDATA[") + end + len("]]>")
			continue
		}
		end := tagEnd(inner, i)
		if end < 0 {
			return inner
		}
		if depth == 0 {
			start = i
		}
		switch {
		case inner[i+1] == '/':
			depth--
		case inner[end-2] != '/':
			depth++
		}
		i = end
		if depth == 0 {
			if drop(child) {
				b.WriteString(inner[kept:start])
				kept = i
			}
			child++
		}
	}
	b.WriteString(inner[kept:])
	return b.String()
}

// tagEnd returns the offset behind the > of the tag that starts at i, -1
// without one; a > may stand inside a quoted value.
func tagEnd(s string, i int) int {
	var quote byte
	for i++; i < len(s); i++ {
		switch c := s[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '>':
			return i + 1
		}
	}
	return -1
}
