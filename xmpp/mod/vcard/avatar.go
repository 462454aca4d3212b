package vcard

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"doorway/xmpp/jid"
	"doorway/xmpp/pubsub"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// The nodes of XEP-0084, which are the namespaces of their items, and the
// feature of XEP-0398.
const (
	nodeData     = "urn:xmpp:avatar:data"
	nodeMeta     = "urn:xmpp:avatar:metadata"
	nsConversion = "urn:xmpp:pep-vcard-conversion:0"
)

// publish makes a vCard's photo the avatar (XEP-0398 §4.2): the data first, then
// what there is to know of it. Without a photo the avatar ends (XEP-0084 §4.5).
func publish(tx *pubsub.Tx, sha1, mime string, raw []byte) error {
	var w xmlstream.Writer
	w.Start(nodeMeta, "metadata")
	if sha1 == "" {
		return end(tx, w.String())
	}
	if mime == "" {
		mime = http.DetectContentType(raw)
	}
	w.Start("", "info", "bytes", strconv.Itoa(len(raw)), "id", sha1, "type", mime).End()
	var data xmlstream.Writer
	data.Leaf(nodeData, "data", base64.StdEncoding.EncodeToString(raw))
	for _, x := range []struct{ node, xml string }{{nodeData, data.String()}, {nodeMeta, w.String()}} {
		op := &pubsub.Op{Kind: pubsub.Published, Node: x.node, Items: []pubsub.Item{{ID: sha1, XML: x.xml}}}
		if _, there := tx.Config(x.node); !there { // as everybody may see the vCard; an old node stays as it is
			op.Require = func(c pubsub.NodeConfig) (pubsub.NodeConfig, error) {
				c.Access = pubsub.Open
				return c, nil
			}
		}
		if err := tx.Do(op); err != nil {
			return err
		}
	}
	return nil
}

// end says that there is no avatar any more, where one was said to be.
func end(tx *pubsub.Tx, nothing string) error {
	if now, err := latest(tx); err != nil || len(now) == 0 {
		return err
	}
	if err := tx.Do(&pubsub.Op{Kind: pubsub.Published, Node: nodeMeta, Items: []pubsub.Item{{ID: "none", XML: nothing}}}); err != nil {
		return err
	}
	if _, there := tx.Config(nodeData); !there {
		return nil
	}
	return tx.Do(&pubsub.Op{Kind: pubsub.Purged, Node: nodeData})
}

// element parses one element.
func element(xml string) (el stanza.Element, ok bool) {
	els, err := xmlstream.ParseTree(xml, "", "jabber:client")
	if err != nil || len(els) != 1 {
		return el, false
	}
	return els[0], true
}

// info is one form of an avatar (XEP-0084 §4.2.1).
type info struct{ id, mime, url string }

func infos(metadata string) []info {
	el, ok := element(metadata)
	if !ok || el.Name != (stanza.Name{Space: nodeMeta, Local: "metadata"}) {
		return nil
	}
	var list []info
	for i := range el.Children {
		if c := &el.Children[i]; c.Name == (stanza.Name{Space: nodeMeta, Local: "info"}) {
			list = append(list, info{c.Attr("id"), c.Attr("type"), c.Attr("url")})
		}
	}
	return list
}

// avatar sees what is asked of the metadata (XEP-0398 §4.1): it is done, and the
// vCard's photo follows.
func (m *Module) avatar(tx *pubsub.Tx, op *pubsub.Op) error {
	op.Done = true
	before, err := latest(tx)
	if err == nil {
		err = tx.Do(op)
	}
	if err != nil || op.Kind == pubsub.Created || op.Kind == pubsub.Configured {
		return err
	}
	var now []info
	if n := len(op.Items); op.Kind == pubsub.Published {
		now = infos(op.Items[n-1].XML)
	} else if now, err = latest(tx); err != nil {
		return err
	}
	if len(now) == 0 {
		return m.ended(tx, op.Kind == pubsub.Published, before)
	}
	if c, _ := tx.Config(nodeMeta); c.Access != pubsub.Open && c.Access != pubsub.Presence {
		return nil // not for everybody
	}
	for _, i := range now {
		if i.url != "" {
			continue
		}
		raw, err := data(tx, i.id)
		if err != nil {
			return err
		}
		if raw != nil {
			return m.follow(tx, i.id, i.mime, raw)
		}
	}
	return nil
}

// latest reads the newest metadata.
func latest(tx *pubsub.Tx) ([]info, error) {
	items, err := tx.Items(nodeMeta)
	if err != nil || len(items) == 0 {
		return nil, err
	}
	return infos(items[len(items)-1].XML), nil
}

// ended takes the photo away when there is no avatar any more: because that was
// said, or because the one that was removed is the photo.
func (m *Module) ended(tx *pubsub.Tx, said bool, before []info) error {
	old, err := m.photo(tx.Owner())
	if err != nil || !said && !slices.ContainsFunc(before, func(i info) bool { return i.id == old.SHA1 }) {
		return err
	}
	return m.follow(tx, "", "", nil)
}

// data is the image of an avatar, nil when it is not there or not what its id says.
func data(tx *pubsub.Tx, id string) ([]byte, error) {
	it, err := tx.Item(nodeData, id)
	if err != nil || it == nil {
		return nil, err
	}
	el, _ := element(it.XML) // ignored: no image
	raw, err := decode(el.Text)
	if err != nil || sum(raw) != id {
		return nil, nil // ignored: likewise
	}
	return raw, nil
}

// follow gives the vCard another photo, "" for none. A vCard that is nothing but
// a photo ends with it.
func (m *Module) follow(tx *pubsub.Tx, sha1, mime string, raw []byte) error {
	user := tx.Owner()
	old, err := m.photo(user)
	if err != nil || old.SHA1 == sha1 && old.stored || sha1 == "" && !old.stored {
		return err
	}
	c, err := m.read(user)
	if err != nil {
		return err
	}
	if c.XML == "" || c.Avatar {
		if sha1 == "" {
			m.put(tx, nil, old, m.listed(user))
			return nil
		}
		c.XML, c.Avatar = "", true
	}
	m.put(tx, &card{V: 1, XML: withPhoto(c.XML, mime, raw), Avatar: c.Avatar}, old, photo{V: 1, SHA1: sha1, stored: true})
	return nil
}

// withPhoto is a vCard, "" for none yet, with another photo or none.
func withPhoto(xml, mime string, raw []byte) string {
	var w xmlstream.Writer
	head, rest := "<vCard xmlns='"+ns+"'>", ""
	if el, ok := element(xml); ok {
		head, rest = apart(xml, &el)
	}
	if len(raw) > 0 {
		w.Start("", "PHOTO")
		if mime != "" {
			w.Leaf("", "TYPE", mime)
		}
		w.Leaf("", "BINVAL", base64.StdEncoding.EncodeToString(raw)).End()
	}
	return head + rest + w.String() + "</vCard>"
}

// apart is a vCard's start tag and what is in it, but for photos.
func apart(xml string, el *stanza.Element) (head, rest string) {
	plain := "<vCard xmlns='" + ns + "'"
	if v := el.Attr("version"); v != "" {
		plain = string(xmlstream.AppendAttr([]byte(plain), "version", v))
	}
	isPhoto := func(e *stanza.Element) bool { return e.Name.Local == "PHOTO" }
	// Most are written without a prefix: what is inside stays as it is, byte by byte.
	tag, inner, ok := strings.Cut(xml, ">")
	if inner, end := strings.CutSuffix(inner, "</vCard>"); ok && end && !strings.Contains(tag, "xmlns:") && !strings.HasSuffix(tag, "/") {
		st := stanza.New(stanza.IQ, "", "", jid.JID{}, jid.JID{}, inner)
		if els := st.Elements(); len(els) == len(el.Children) {
			return plain + ">", st.Without(isPhoto).Inner()
		}
	}
	var b strings.Builder
	for i := range el.Children {
		if c := &el.Children[i]; !isPhoto(c) {
			b.WriteString(c.XML())
		}
	}
	return plain + ">", b.String()
}
