package xmlstream

import "strings"

// Tree is a small parsed element; strings are unescaped.
type Tree struct {
	Name     Name
	Attrs    []TreeAttr
	Children []Tree
	Text     string // the concatenated character data directly inside

	raw     string // as written
	nameEnd int    // of its start tag, in raw
	outer   *scope // declarations in force around it and inside: the same without its own
	inside  *scope
}

// scope is what one element declares, and what is in force around it.
type scope struct {
	outer *scope
	space string // default namespace in force
	own   bool   // declared here
	decls []decl
}

// XML returns the element as it was written, with the declarations it had
// inherited and uses added, so that it means the same inside any stanza. It is "" for a
// Tree that was not parsed.
func (t *Tree) XML() string {
	if t.outer == nil {
		return ""
	}
	var add []byte
	declared := make(map[string]bool)
	if t.inside != t.outer {
		for _, d := range t.inside.decls {
			declared[d.prefix] = true
		}
	}
	if !contentSpace(t.outer.space) && (t.inside == t.outer || !t.inside.own) {
		add = AppendAttr(add, "xmlns", t.outer.space)
	}
	for s := t.outer; s != nil; s = s.outer {
		for _, d := range s.decls {
			if !declared[d.prefix] && strings.Contains(t.raw, d.prefix+":") {
				add = appendDecl(add, d.prefix, d.uri)
			}
			declared[d.prefix] = true
		}
	}
	if len(add) == 0 {
		return t.raw
	}
	return t.raw[:t.nameEnd] + string(add) + t.raw[t.nameEnd:]
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
