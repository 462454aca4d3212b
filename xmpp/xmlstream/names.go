package xmlstream

import "bytes"

// Namespaces bound from the start (Namespaces in XML 1.0 §3).
const (
	xmlSpace   = "http://www.w3.org/XML/1998/namespace"
	xmlnsSpace = "http://www.w3.org/2000/xmlns/"
)

// binding is a namespace declaration of the element; prefix is empty for the
// default namespace.
type binding struct {
	prefix, value span
	uri           string // the value as a string, once it was asked for
}

// decl is a prefix declaration of the stream's root.
type decl struct{ prefix, uri string }

// root is what the stream's root declared.
type root struct {
	qname   string
	name    Name
	content string // default namespace
	decls   []decl
}

// head is what is known of the element's own start tag.
type head struct {
	name     Name
	prefix   string
	space    string // default namespace in force inside
	binds    int    // declarations of the start tag
	payload  Name
	children int
	reroots  bool // children inherit a namespace that a new parent will not give them
}

// interner keeps the few names that streams repeat, so that a name costs no
// allocation. It is bounded: one entry for each slot.
type interner [128]string

func (t *interner) get(b []byte) string {
	n := len(b)
	switch n {
	case 0:
		return ""
	case 2: // the commonest without a look at the table
		switch string(b) {
		case "to":
			return "to"
		case "id":
			return "id"
		case "iq":
			return "iq"
		}
	case 4:
		switch string(b) {
		case "type":
			return "type"
		case "from":
			return "from"
		case "body":
			return "body"
		case "lang":
			return "lang"
		}
	case 7:
		if string(b) == "message" {
			return "message"
		}
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

// uri is the namespace that a declaration binds.
func (s *scanner) uri(el []byte, b *binding) string {
	if b.uri == "" {
		b.uri = s.names.get(b.value.of(el))
	}
	return b.uri
}

// lookup finds what a prefix is bound to.
func (s *scanner) lookup(el, prefix []byte) (string, bool) {
	for i := len(s.binds) - 1; i >= 0; i-- {
		if b := &s.binds[i]; int(b.prefix.to-b.prefix.from) == len(prefix) && bytes.Equal(b.prefix.of(el), prefix) {
			return s.uri(el, b), true
		}
	}
	switch string(prefix) {
	case "":
		return s.root.content, true
	case "xml":
		return xmlSpace, true
	}
	for i := range s.root.decls {
		if d := &s.root.decls[i]; d.prefix == string(prefix) {
			s.used |= 1 << min(i, 63)
			return d.uri, true
		}
	}
	return "", false
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
	binds, ownDefault := len(s.binds), false
	if len(s.attrs) > 0 {
		if ownDefault, err = s.checkAttrs(el); err != nil {
			return false, err
		}
	}
	return s.opened(el, binds, ownDefault, empty)
}

// opened opens the element, whose attributes are in order. binds is how many
// declarations were in force before it.
func (s *scanner) opened(el []byte, binds int, ownDefault, empty bool) (done bool, err error) {
	depth := len(s.stack)
	if depth == 1 {
		s.head.children++
		if s.head.reroots && !ownDefault {
			if s.reroot = append(s.reroot, int(s.tag.to)); len(s.reroot)*len(s.head.space) > s.lim.Bytes {
				return false, fault(policyViolation, "a long namespace that too many elements inherit")
			}
		}
	}
	// Most names need no namespace: nobody asks, and only prefixes can be wrong.
	if s.tagCol != 0 || depth == 0 || depth == 1 && s.head.children == 1 || s.tree != nil {
		if err := s.named(el, depth, binds, empty); err != nil || s.rootTag {
			return err == nil, err
		}
	}
	if empty {
		s.binds = s.binds[:binds]
		return depth == 0, nil
	}
	f := more(&s.stack)
	f.name.from, f.name.to, f.binds = s.tag.from, s.tag.to, int32(binds)
	return false, nil
}

// named resolves the name of the start tag and keeps it where it is wanted.
// binds is how many declarations were in force before it.
func (s *scanner) named(el []byte, depth, binds int, empty bool) error {
	prefix, local := split(s.tag.of(el), s.tagCol)
	space, ok := s.lookup(el, prefix)
	if !ok || string(prefix) == "xmlns" {
		return fault(notWellFormed, "a prefix that is not declared")
	}
	switch {
	case depth == 0:
		if !s.rootTag && space != "" && space == s.root.name.Space && string(local) == s.root.name.Local {
			return fault(invalidXML, "a stream inside the stream")
		}
		s.innerFrom, s.innerTo, s.empty = s.pos, s.pos, empty
		s.top(el, prefix, Name{space, s.names.get(local)})
	case depth == 1 && s.head.children == 1:
		s.head.payload.Space, s.head.payload.Local = space, s.names.get(local)
	}
	if s.tree != nil {
		s.tree.start(s, el, Name{space, s.names.get(local)}, binds, empty)
	}
	return nil
}

// checkAttrs refuses attributes that come twice and takes the namespace
// declarations.
func (s *scanner) checkAttrs(el []byte) (ownDefault bool, err error) {
	prefixed := false
	seen := uint64(0) // a bit for each first letter and length
	for i := range s.attrs {
		a := &s.attrs[i]
		name := a.name.of(el)
		bit := uint64(1) << ((uint(name[0])*7 + uint(len(name))) % 64)
		if seen&bit != 0 && repeated(el, s.attrs[:i], a) {
			return false, fault(notWellFormed, "an attribute twice")
		}
		seen |= bit
		if !a.declares {
			prefixed = prefixed || a.colon != 0
			continue
		}
		ownDefault = ownDefault || a.colon == 0
		if err := s.declare(el, a); err != nil {
			return false, err
		}
	}
	if prefixed {
		err = s.checkPrefixed(el)
	}
	return ownDefault, err
}

// repeated reports an earlier attribute of the same name.
func repeated(el []byte, earlier []attr, a *attr) bool {
	name := a.name.of(el)
	for i := range earlier {
		if bytes.Equal(earlier[i].name.of(el), name) {
			return true
		}
	}
	return false
}

// maxBindings is how many declarations may be in force at once, so that a
// lookup stays cheap. Honest stanzas have a handful.
const maxBindings = 128

// declare binds a namespace (Namespaces in XML 1.0 §3, §6.1); name is the
// attribute's.
func (s *scanner) declare(el []byte, a *attr) error {
	if len(s.binds) >= maxBindings {
		return fault(policyViolation, "too many namespace declarations")
	}
	b := more(&s.binds)
	b.prefix, b.uri = span{}, ""
	if a.colon != 0 {
		b.prefix.from, b.prefix.to = a.name.from+a.colon+1, a.name.to
	}
	b.value.from, b.value.to = a.value.from, a.value.to
	value := a.value.of(el)
	if a.escaped {
		b.uri = string(appendUnescaped(nil, value, true))
		value = []byte(b.uri)
	}
	prefix := b.prefix.of(el)
	switch {
	case string(prefix) == "xmlns", string(value) == xmlnsSpace, (string(prefix) == "xml") != (string(value) == xmlSpace):
		return fault(notWellFormed, "a reserved prefix or namespace bound anew")
	case len(prefix) != 0 && len(value) == 0:
		return fault(notWellFormed, "a prefix bound to nothing")
	case string(prefix) == "xml":
		s.binds = s.binds[:len(s.binds)-1] // in force anyway
	}
	return nil
}

// checkPrefixed looks for unbound prefixes and for attributes that are the
// same by expanded name (Namespaces in XML 1.0 §6.3).
func (s *scanner) checkPrefixed(el []byte) error {
	for i := range s.attrs {
		a := &s.attrs[i]
		if a.space = ""; a.colon == 0 || a.declares {
			continue
		}
		prefix, local := split(a.name.of(el), a.colon)
		var ok bool
		if a.space, ok = s.lookup(el, prefix); !ok {
			return fault(notWellFormed, "a prefix that is not declared")
		}
		for j := range s.attrs[:i] {
			b := &s.attrs[j]
			if _, l := split(b.name.of(el), b.colon); b.space == a.space && bytes.Equal(l, local) {
				return fault(notWellFormed, "an attribute twice")
			}
		}
	}
	return nil
}

// top keeps what the token tells of its own start tag. The attributes' bytes
// may still move: token makes them.
func (s *scanner) top(el, prefix []byte, name Name) {
	s.attrs, s.topAttrs = s.topAttrs, s.attrs
	s.used = 0 // the start tag is not passed on, only what is inside
	space := name.Space
	h := &s.head
	if len(prefix) > 0 {
		space, _ = s.lookup(el, nil)
		h.prefix = s.names.get(prefix)
	}
	h.name.Space, h.name.Local = name.Space, name.Local
	h.space, h.binds = space, len(s.binds)
	h.reroots = space != s.root.content && !contentSpace(space)
}

// token fills in the result; el is the element, complete. The caller copies
// the token at once, for which the processor waits until what was stored last
// has settled: so the attributes, which take longest, come last.
func (s *scanner) token(el []byte, t *Token) {
	h := &s.head
	t.Raw = el[:s.pos]
	if s.empty {
		s.innerTo = s.innerFrom
	}
	t.Inner = el[s.innerFrom:s.innerTo]
	if len(s.reroot) > 0 {
		t.Inner = s.rerooted(el)
	}
	if h.binds > 0 || s.used != 0 {
		t.Decls = s.declarations(el)
	}
	t.Kind, t.Prefix, t.Content = Element, h.prefix, s.root.content
	t.Name.Space, t.Name.Local = h.name.Space, h.name.Local
	t.Payload.Space, t.Payload.Local, t.Children = h.payload.Space, h.payload.Local, h.children
	t.Attrs = s.tokenAttrs(el)
}

// tokenAttrs are the attributes of the start tag without declarations.
func (s *scanner) tokenAttrs(el []byte) []Attr {
	before := len(s.out)
	s.out = s.out[:0]
	for i := range s.topAttrs {
		a := &s.topAttrs[i]
		if a.declares {
			continue
		}
		o := more(&s.out)
		if a.colon == 0 {
			o.Name.Space, o.Name.Local = "", s.names.get(el[a.name.from:a.name.to])
		} else {
			o.Name.Space, o.Name.Local = a.space, s.names.get(el[a.name.from+a.colon+1:a.name.to])
		}
		o.Value = el[a.value.from:a.value.to]
		if a.escaped {
			n := len(s.scratch)
			s.scratch = appendUnescaped(s.scratch, o.Value, true)
			o.Value = s.scratch[n:]
		}
	}
	if n := len(s.out); n < before {
		clear(s.out[n:before]) // an earlier token's: they hold its buffer
	}
	return s.out
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
func (s *scanner) declarations(el []byte) []byte {
	n := len(s.scratch)
	own := s.binds[:s.head.binds] // out of force by now, but not overwritten
	for i := range own {
		if b := &own[i]; b.prefix != (span{}) {
			s.scratch = appendDecl(s.scratch, string(b.prefix.of(el)), s.uri(el, b))
		}
	}
	for i, d := range s.root.decls {
		if s.used&(1<<min(i, 63)) != 0 {
			s.scratch = appendDecl(s.scratch, d.prefix, d.uri)
		}
	}
	return s.scratch[n:]
}

func appendDecl(dst []byte, prefix, uri string) []byte {
	dst = append(append(append(dst, " xmlns:"...), prefix...), '=', '\'')
	return append(appendEscaped(dst, uri, true), '\'')
}

// newRoot keeps what the root's start tag declares.
func (s *scanner) newRoot(el []byte) *root {
	rt := &root{qname: string(s.tag.of(el)), name: s.head.name, content: s.head.space}
	for i := range s.binds {
		if b := &s.binds[i]; b.prefix != (span{}) {
			rt.decls = append(rt.decls, decl{string(b.prefix.of(el)), s.uri(el, b)})
		}
	}
	return rt
}
