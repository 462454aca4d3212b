package xmlstream

import "strings"

// builder gathers a Tree from what the scanner reads.
type builder struct {
	src  string // the bytes being scanned
	base scope
	open []building
	done Tree
}

// building is an open element.
type building struct {
	Tree
	from int    // where it starts
	text []byte // its character data, when that came in several pieces
}

// start opens an element; outer is how many declarations were in force before it.
func (b *builder) start(s *scanner, el []byte, name Name, outer int, empty bool) {
	t := building{from: int(s.tag.from) - 1}
	t.Name = name
	t.nameEnd = int(s.tag.to) - t.from
	t.outer = &b.base
	if n := len(b.open); n > 0 {
		t.outer = b.open[n-1].inside
	}
	t.inside = t.outer
	if len(s.binds) > outer {
		t.inside = s.newScope(el, outer, t.outer)
	}
	for i := range s.attrs {
		a := &s.attrs[i]
		if a.declares {
			continue
		}
		if t.Attrs == nil {
			t.Attrs = make([]TreeAttr, 0, len(s.attrs)-i)
		}
		ta := TreeAttr{Name: Name{Local: b.src[a.name.from:a.name.to]}}
		if a.colon != 0 {
			ta.Name = Name{a.space, ta.Name.Local[a.colon+1:]}
		}
		if a.escaped {
			ta.Value = string(appendUnescaped(nil, a.value.of(el), true))
		} else {
			ta.Value = b.src[a.value.from:a.value.to]
		}
		t.Attrs = append(t.Attrs, ta)
	}
	b.open = append(b.open, t)
	if empty {
		b.end(s.pos)
	}
}

// newScope is what the declarations from outer on bind.
func (s *scanner) newScope(el []byte, outer int, around *scope) *scope {
	sc := &scope{outer: around, space: around.space}
	for i := range s.binds[outer:] {
		d := &s.binds[outer+i]
		if d.prefix == (span{}) {
			sc.space, sc.own = s.uri(el, d), true
		} else {
			sc.decls = append(sc.decls, decl{string(d.prefix.of(el)), s.uri(el, d)})
		}
	}
	return sc
}

// text adds character data, el[from:to] of the element.
func (b *builder) text(el []byte, from, to int, cdata bool) {
	t := &b.open[len(b.open)-1]
	s := b.src[from:to]
	if cdata && strings.IndexByte(s, '\r') >= 0 {
		s = strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
	} else if !cdata && strings.ContainsAny(s, "&\r") {
		s = string(appendUnescaped(nil, el[from:to], false))
	}
	switch {
	case t.text != nil:
		t.text = append(t.text, s...)
	case t.Text == "":
		t.Text = s
	case s != "":
		t.text = append(append(t.text, t.Text...), s...)
	}
}

// end closes the innermost element; to is where its end tag ends.
func (b *builder) end(to int) {
	n := len(b.open) - 1
	t := &b.open[n]
	t.raw = b.src[t.from:to]
	if t.text != nil {
		t.Text = string(t.text)
	}
	if n == 0 {
		b.done = t.Tree
	} else {
		p := &b.open[n-1]
		p.Children = append(p.Children, t.Tree)
	}
	b.open[n] = building{}
	b.open = b.open[:n]
}
