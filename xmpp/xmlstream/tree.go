package xmlstream

import (
	"bytes"
	"strings"
)

// Tree is a small parsed element; strings are unescaped.
type Tree struct {
	Name     Name
	Attrs    []TreeAttr
	Children []Tree
	Text     string // the concatenated character data directly inside

	raw      string // as written
	nameEnd  int    // of its start tag, in raw
	inherits bool   // space is the default namespace it inherits
	space    string
	prefixes string // declarations of prefixes it inherits
}

// XML returns the element as it was written, with the declarations it had
// inherited added, so that it means the same inside any stanza. It is "" for a
// Tree that was not parsed.
func (t *Tree) XML() string {
	decl := t.prefixes
	if t.inherits {
		decl = " xmlns='" + string(appendEscaped(nil, t.space, true)) + "'" + decl
	}
	if decl == "" {
		return t.raw
	}
	return t.raw[:t.nameEnd] + decl + t.raw[t.nameEnd:]
}

// TreeAttr is an attribute of a Tree.
type TreeAttr struct {
	Name  Name
	Value string
}

// Attr returns the value of the un-namespaced attribute, "" when absent.
func (t *Tree) Attr(local string) string {
	for i := range t.Attrs {
		if a := &t.Attrs[i]; a.Name.Local == local && a.Name.Space == "" {
			return a.Value
		}
	}
	return ""
}

// Child returns the first child with that name, nil when absent; space "" matches the parent's own namespace.
func (t *Tree) Child(space, local string) *Tree {
	if space == "" {
		space = t.Name.Space
	}
	for i := range t.Children {
		if c := &t.Children[i]; c.Name.Local == local && c.Name.Space == space {
			return c
		}
	}
	return nil
}

// ChildText returns the text of the first child with that name, "" when absent.
func (t *Tree) ChildText(space, local string) string {
	if c := t.Child(space, local); c != nil {
		return c.Text
	}
	return ""
}

// Parse reads one complete element (a WebSocket frame, a stored stanza).
// content is the default namespace the bytes stand in, e.g. jabber:client.
// White space around it is allowed, an XML declaration is not. The token
// refers to b and stays valid as long as b does not change.
func Parse(b []byte, content string, lim Limits) (Token, error) {
	from := 0
	for from < len(b) && class[b[from]]&whiteSpace != 0 {
		from++
	}
	s := scanners.Get().(*scanner)
	defer scanners.Put(s)
	s.reset(lim.withDefaults(), &root{content: content})
	el := b[from:]
	if err := s.whole(el); err != nil {
		if e, ok := err.(*SyntaxError); ok {
			e.Offset = int64(from + s.pos)
		}
		return Token{}, err
	}
	var t Token
	s.token(el, &t)
	s.out, s.scratch = nil, nil // the token keeps them
	return t, nil
}

// whole reads an element that must end with el.
func (s *scanner) whole(el []byte) error {
	if len(el) == 0 || el[0] != '<' {
		return fault(notWellFormed, "no element")
	}
	if len(el) > s.lim.Bytes {
		return fault(policyViolation, "an element that is too large")
	}
	done, err := s.scan(el)
	if err != nil {
		return err
	}
	if !done {
		return fault(notWellFormed, "an element without end")
	}
	for _, c := range el[s.pos:] {
		if class[c]&whiteSpace == 0 {
			return fault(notWellFormed, "something after the element")
		}
	}
	return nil
}

// ParseTree parses the inner bytes of an element into its children. content
// is the namespace of un-prefixed names without an xmlns of their own; decls
// are prefix declarations in force.
func ParseTree(inner, decls, content string) ([]Tree, error) {
	if inner == "" {
		return nil, nil
	}
	const open, end = "<x", "</x>"
	src := open + decls + ">" + inner + end
	s := scanners.Get().(*scanner)
	defer scanners.Put(s)
	s.reset(trustedLimits, &root{content: content})
	s.tree = &builder{src: src}
	defer func() { s.tree = nil }()
	if err := s.whole([]byte(src)); err != nil {
		if e, ok := err.(*SyntaxError); ok {
			e.Offset = int64(max(0, s.pos-len(src)+len(inner)+len(end)))
		}
		return nil, err
	}
	return s.tree.done.Children, nil
}

// builder gathers a Tree from what the scanner reads.
type builder struct {
	src  string // the bytes being scanned
	at   []int  // where the open elements start
	open []Tree
	done Tree
}

// start opens an element; outer is how many declarations were in force before it.
func (b *builder) start(s *scanner, el []byte, name Name, outer int, empty bool) {
	from := int(s.tag.from) - 1
	t := Tree{Name: name, nameEnd: int(s.tag.to) - from}
	t.inherit(s, el, outer)
	for i := range s.attrs {
		a := &s.attrs[i]
		if a.declares {
			continue
		}
		p, local := split(a.name.of(el), a.colon)
		if t.Attrs == nil {
			t.Attrs = make([]TreeAttr, 0, len(s.attrs)-i)
		}
		ta := TreeAttr{Name: Name{Local: b.sub(a.name.to-int32(len(local)), a.name.to)}}
		if p != nil {
			ta.Name.Space, _ = s.lookup(el, p)
		}
		if a.escaped {
			ta.Value = string(appendUnescaped(nil, a.value.of(el), true))
		} else {
			ta.Value = b.sub(a.value.from, a.value.to)
		}
		t.Attrs = append(t.Attrs, ta)
	}
	b.open, b.at = append(b.open, t), append(b.at, from)
	if empty {
		b.end(s.pos)
	}
}

// inherit notes the declarations that the element needs but does not have.
func (t *Tree) inherit(s *scanner, el []byte, outer int) {
	declared := func(in []binding, prefix []byte) bool {
		for i := range in {
			if bytes.Equal(in[i].prefix.of(el), prefix) {
				return true
			}
		}
		return false
	}
	if !declared(s.binds[outer:], nil) {
		t.space, _ = s.lookup(el, nil)
		t.inherits = !contentSpace(t.space)
	}
	for i := range s.binds[:outer] {
		b := &s.binds[i]
		if prefix := b.prefix.of(el); len(prefix) > 0 && !declared(s.binds[i+1:], prefix) {
			t.prefixes += string(appendDecl(nil, string(prefix), s.uri(el, b)))
		}
	}
}

func (b *builder) sub(from, to int32) string { return b.src[from:to] }

// text adds character data, el[from:to] of the element.
func (b *builder) text(el []byte, from, to int, cdata bool) {
	t := &b.open[len(b.open)-1]
	s := b.src[from:to]
	if cdata && strings.IndexByte(s, '\r') >= 0 {
		s = strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
	} else if !cdata && strings.ContainsAny(s, "&\r") {
		s = string(appendUnescaped(nil, el[from:to], false))
	}
	if t.Text == "" {
		t.Text = s
	} else {
		t.Text += s
	}
}

// end closes the innermost element; to is where its end tag ends.
func (b *builder) end(to int) {
	n := len(b.open) - 1
	t := b.open[n]
	t.raw = b.src[b.at[n]:to]
	b.open, b.at = b.open[:n], b.at[:n]
	if n == 0 {
		b.done = t
		return
	}
	p := &b.open[n-1]
	p.Children = append(p.Children, t)
}
