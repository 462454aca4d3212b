package xmlstream

import "bytes"

// Namespaces bound from the start (Namespaces in XML 1.0 §3).
const (
	xmlSpace   = "http://www.w3.org/XML/1998/namespace"
	xmlnsSpace = "http://www.w3.org/2000/xmlns/"
)

// binding is a namespace declaration; prefix "" is the default namespace.
type binding struct{ prefix, uri string }

// root is what the stream's root declared.
type root struct {
	qname   string
	name    Name
	content string    // default namespace
	decls   []binding // prefixes
}

// head is what is known of the element's own start tag.
type head struct {
	name     Name
	prefix   string
	space    string // default namespace in force inside
	binds    int    // declarations of the start tag
	payload  Name
	children int
}

// interner keeps the few names that streams repeat, so that a name costs no
// allocation. It is bounded: one entry for each slot.
type interner [128]string

func (t *interner) get(b []byte) string {
	n := len(b)
	if n == 0 {
		return ""
	}
	if n > 64 {
		return string(b)
	}
	h := uint(n)*37 + uint(b[0]) + uint(b[n/2])*5 + uint(b[n-1])*11 + uint(b[n*3/4])*17
	e := &t[h%uint(len(t))]
	if *e != string(b) {
		*e = string(b)
	}
	return *e
}

// contentSpace reports the namespaces between which stanzas are re-rooted
// (RFC 6120 §4.8.2, XEP-0114 §3).
func contentSpace(ns string) bool {
	return ns == "jabber:client" || ns == "jabber:server" || ns == "jabber:component:accept"
}

// attrValue is the value as the application sees it.
func (s *scanner) attrValue(el []byte, a *attr) []byte {
	v := a.value.of(el)
	if !a.escaped {
		return v
	}
	n := len(s.scratch)
	s.scratch = appendUnescaped(s.scratch, v, true)
	return s.scratch[n:]
}

// lookup finds what a prefix is bound to.
func (s *scanner) lookup(prefix []byte) (string, bool) {
	for i := len(s.binds) - 1; i >= 0; i-- {
		if b := &s.binds[i]; b.prefix == string(prefix) {
			return b.uri, true
		}
	}
	if len(prefix) == 0 {
		return s.root.content, true
	}
	for i := range s.root.decls {
		if d := &s.root.decls[i]; d.prefix == string(prefix) {
			s.used |= 1 << min(i, 63)
			return d.uri, true
		}
	}
	return xmlSpace, string(prefix) == "xml"
}

// split separates prefix and local part of a name.
func split(name []byte, colon int32) (prefix, local []byte) {
	if colon == 0 {
		return nil, name
	}
	return name[:colon], name[colon+1:]
}

// startTag checks the namespaces of the start tag just read and opens the
// element. done is true when it is complete with that.
func (s *scanner) startTag(el []byte, empty bool) (done bool, err error) {
	depth, binds := len(s.stack), len(s.binds)
	ownDefault := false
	if len(s.attrs) > 0 {
		if ownDefault, err = s.checkAttrs(el); err != nil {
			return false, err
		}
	}
	if depth < 2 || s.tagCol != 0 || s.tree != nil {
		prefix, local := split(s.tag.of(el), s.tagCol)
		space, ok := s.lookup(prefix)
		if !ok || string(prefix) == "xmlns" {
			return false, fault(notWellFormed, "a prefix that is not declared")
		}
		switch depth {
		case 0:
			if !s.rootTag && space != "" && space == s.root.name.Space && string(local) == s.root.name.Local {
				return false, fault(invalidXML, "a stream inside the stream")
			}
			s.innerFrom, s.innerTo, s.empty = s.pos, s.pos, empty
			s.top(el, prefix, Name{space, s.names.get(local)})
		case 1:
			if s.head.children++; s.head.children == 1 {
				s.head.payload = Name{space, s.names.get(local)}
			}
			if !ownDefault && s.rerooting() {
				s.reroot = append(s.reroot, int(s.tag.to))
			}
		}
		if s.tree != nil {
			s.tree.start(s, el, Name{space, s.names.get(local)}, binds, empty)
		}
		if s.rootTag {
			return true, nil
		}
	}
	if empty {
		s.binds = s.binds[:binds]
		return depth == 0, nil
	}
	s.stack = append(s.stack, frame{name: s.tag, binds: int32(binds)})
	return false, nil
}

// checkAttrs refuses attributes that come twice and takes the namespace
// declarations.
func (s *scanner) checkAttrs(el []byte) (ownDefault bool, err error) {
	prefixed := false
	for i := range s.attrs {
		a := &s.attrs[i]
		name := a.name.of(el)
		for j := range s.attrs[:i] {
			if other := s.attrs[j].name.of(el); len(other) == len(name) && bytes.Equal(other, name) {
				return false, fault(notWellFormed, "an attribute twice")
			}
		}
		switch {
		case !a.declares:
			prefixed = prefixed || a.colon != 0
		case a.colon == 0:
			ownDefault = true
			err = s.declare(el, a, nil)
		default:
			err = s.declare(el, a, name[a.colon+1:])
		}
		if err != nil {
			return false, err
		}
	}
	if prefixed {
		err = s.checkPrefixed(el)
	}
	return ownDefault, err
}

// declare binds a namespace (Namespaces in XML 1.0 §3, §6.1).
func (s *scanner) declare(el []byte, a *attr, prefix []byte) error {
	uri := s.names.get(s.attrValue(el, a))
	switch {
	case string(prefix) == "xmlns", uri == xmlnsSpace, (string(prefix) == "xml") != (uri == xmlSpace):
		return fault(notWellFormed, "a reserved prefix or namespace bound anew")
	case prefix != nil && uri == "":
		return fault(notWellFormed, "a prefix bound to nothing")
	case string(prefix) == "xml":
		return nil
	}
	s.binds = append(s.binds, binding{s.names.get(prefix), uri})
	return nil
}

// checkPrefixed looks for unbound prefixes and for attributes that are the
// same by expanded name (Namespaces in XML 1.0 §6.3).
func (s *scanner) checkPrefixed(el []byte) error {
	for i := range s.attrs {
		a := &s.attrs[i]
		if a.colon == 0 || a.declares {
			continue
		}
		prefix, local := split(a.name.of(el), a.colon)
		uri, ok := s.lookup(prefix)
		if !ok {
			return fault(notWellFormed, "a prefix that is not declared")
		}
		for j := range s.attrs[:i] {
			b := &s.attrs[j]
			p, l := split(b.name.of(el), b.colon)
			if b.colon == 0 || b.declares || !bytes.Equal(l, local) {
				continue
			}
			if u, _ := s.lookup(p); u == uri {
				return fault(notWellFormed, "an attribute twice")
			}
		}
	}
	return nil
}

// top keeps what the token tells of its own start tag.
func (s *scanner) top(el, prefix []byte, name Name) {
	for i := range s.attrs {
		a := &s.attrs[i]
		if a.declares {
			continue
		}
		p, local := split(a.name.of(el), a.colon)
		space := ""
		if p != nil {
			space, _ = s.lookup(p)
		}
		s.out = append(s.out, Attr{Name: Name{space, s.names.get(local)}})
		s.topAttrs = append(s.topAttrs, *a)
	}
	s.used = 0 // the start tag is not passed on, only what is inside
	space, _ := s.lookup(nil)
	s.head = head{name: name, prefix: s.names.get(prefix), space: space, binds: len(s.binds)}
}

// rerooting reports that children inherit a namespace that the new parent
// will not give them.
func (s *scanner) rerooting() bool {
	return s.head.space != s.root.content && !contentSpace(s.head.space)
}

// token fills in the result; el is the element, complete.
func (s *scanner) token(el []byte, t *Token) {
	h := &s.head
	for i := range s.out { // only now do the bytes stay where they are
		s.out[i].Value = s.attrValue(el, &s.topAttrs[i])
	}
	t.Kind, t.Name, t.Prefix, t.Content = Element, h.name, h.prefix, s.root.content
	t.Payload, t.Children = h.payload, h.children
	t.Attrs, t.Raw = s.out, el[:s.pos]
	if s.empty {
		s.innerTo = s.innerFrom
	}
	t.Inner = el[s.innerFrom:s.innerTo]
	if len(s.reroot) > 0 {
		t.Inner = s.rerooted(el)
	}
	if h.binds > 0 || s.used != 0 {
		t.Decls = s.declarations()
	}
}

// rerooted gives the children that inherit the element's default namespace a
// declaration of their own.
func (s *scanner) rerooted(el []byte) []byte {
	n, from := len(s.scratch), s.innerFrom
	for _, at := range s.reroot {
		s.scratch = append(s.scratch, el[from:at]...)
		s.scratch = append(s.scratch, " xmlns='"...)
		s.scratch = appendEscaped(s.scratch, s.head.space, true)
		s.scratch = append(s.scratch, '\'')
		from = at
	}
	s.scratch = append(s.scratch, el[from:s.innerTo]...)
	return s.scratch[n:]
}

// declarations are the prefixes that Inner may use: all of the start tag, and
// those of the root that were used.
func (s *scanner) declarations() []byte {
	n := len(s.scratch)
	for _, b := range s.binds[:s.head.binds] {
		s.scratch = appendDecl(s.scratch, b)
	}
	for i, d := range s.root.decls {
		if s.used&(1<<min(i, 63)) != 0 {
			s.scratch = appendDecl(s.scratch, d)
		}
	}
	return s.scratch[n:]
}

func appendDecl(dst []byte, b binding) []byte {
	if b.prefix == "" {
		return dst
	}
	dst = append(append(append(dst, " xmlns:"...), b.prefix...), '=', '\'')
	return append(appendEscaped(dst, b.uri, true), '\'')
}

// newRoot keeps what the root's start tag declares.
func (s *scanner) newRoot(el []byte) *root {
	rt := &root{qname: string(s.tag.of(el)), name: s.head.name, content: s.head.space}
	for _, b := range s.binds {
		if b.prefix != "" {
			rt.decls = append(rt.decls, b)
		}
	}
	return rt
}
