package bookmarks

import (
	"errors"
	"slices"
	"sort"
	"strings"

	"doorway/xmpp/form"
	"doorway/xmpp/jid"
	"doorway/xmpp/pubsub"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// bookmark is what is known of a room.
type bookmark struct {
	name           string
	autojoin       bool
	nick, password string
	extensions     []part // what stands in <extensions/>, or beside nick and password in the old form
	more           []part // other elements of the new form
}

// part is an element that is kept as it was written.
type part struct {
	name stanza.Name
	xml  string
}

// entry is a bookmark of an old list.
type entry struct {
	room string
	bookmark
}

func element(xml string) (*stanza.Element, error) {
	els, err := xmlstream.ParseTree(xml, "", "jabber:client")
	if err != nil || len(els) != 1 {
		return nil, errors.New("not one element")
	}
	return &els[0], nil
}

// parse reads an item of the node (XEP-0402 §2).
func parse(xml string) (b bookmark, ok bool) {
	el, err := element(xml)
	if err != nil || el.Name != (stanza.Name{Space: node, Local: "conference"}) {
		return b, false
	}
	b.head(el)
	for i := range el.Children {
		c := &el.Children[i]
		switch {
		case c.Name == stanza.Name{Space: node, Local: "nick"}:
			b.nick = c.Text
		case c.Name == stanza.Name{Space: node, Local: "password"}:
			b.password = c.Text
		case c.Name == stanza.Name{Space: node, Local: "extensions"}:
			for k := range c.Children {
				b.extensions = append(b.extensions, part{c.Children[k].Name, c.Children[k].XML()})
			}
		default:
			b.more = append(b.more, part{c.Name, c.XML()})
		}
	}
	return b, true
}

func (b *bookmark) head(el *stanza.Element) {
	b.name = el.Attr("name")
	b.autojoin, _ = form.Bool(el.Attr("autojoin")) // ignored: anything else is false
}

// parseLegacy reads an old list (XEP-0048 §2): its rooms, and the rest as it
// was written.
func parseLegacy(el *stanza.Element) (list []entry, others string) {
	var rest strings.Builder
	for i := range el.Children {
		c := &el.Children[i]
		room, err := jid.Parse(c.Attr("jid"))
		if c.Name != (stanza.Name{Space: legacy, Local: "conference"}) || err != nil || room.Local() == "" {
			rest.WriteString(c.XML())
			continue
		}
		e := entry{room: room.Bare().String()}
		e.head(c)
		for k := range c.Children {
			switch x := &c.Children[k]; x.Name {
			case stanza.Name{Space: legacy, Local: "nick"}:
				e.nick = x.Text
			case stanza.Name{Space: legacy, Local: "password"}:
				e.password = x.Text
			default:
				e.extensions = append(e.extensions, part{x.Name, x.XML()})
			}
		}
		list = append(list, e)
	}
	return list, rest.String()
}

// keep takes over what an old client could not know of: extensions that it does
// not mention.
func (b *bookmark) keep(old bookmark) {
	b.more = old.more
	for _, p := range old.extensions {
		if !slices.ContainsFunc(b.extensions, func(x part) bool { return x.name == p.name }) {
			b.extensions = append(b.extensions, p)
		}
	}
}

func (b bookmark) equal(o bookmark) bool {
	sorted := func(l []part) []part {
		l = slices.Clone(l)
		sort.Slice(l, func(i, j int) bool { return l[i].xml < l[j].xml })
		return l
	}
	return b.name == o.name && b.autojoin == o.autojoin && b.nick == o.nick && b.password == o.password &&
		slices.Equal(sorted(b.extensions), sorted(o.extensions)) && slices.Equal(sorted(b.more), sorted(o.more))
}

// XML writes the bookmark as an item of the node.
func (b bookmark) XML() string {
	var w xmlstream.Writer
	b.write(&w, node, "")
	if len(b.extensions) > 0 {
		w.Start("", "extensions")
		raw(&w, b.extensions)
		w.End()
	}
	raw(&w, b.more)
	return w.String()
}

// write begins <conference/>.
func (b *bookmark) write(w *xmlstream.Writer, space, room string) {
	autojoin := ""
	if b.autojoin {
		autojoin = "true"
	}
	w.Start(space, "conference", "jid", room, "name", b.name, "autojoin", autojoin)
	if b.nick != "" {
		w.Leaf("", "nick", b.nick)
	}
	if b.password != "" {
		w.Leaf("", "password", b.password)
	}
}

func raw(w *xmlstream.Writer, parts []part) {
	for _, p := range parts {
		w.Raw(p.xml)
	}
}

// storage writes all items as an old list, with what else was in it.
func storage(items []pubsub.Item, others string) string {
	var w xmlstream.Writer
	w.Start(legacy, "storage")
	for i := range items {
		if b, ok := parse(items[i].XML); ok {
			b.write(&w, legacy, items[i].ID)
			raw(&w, b.extensions)
			w.End()
		}
	}
	return w.Raw(others).String()
}
