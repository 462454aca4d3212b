package roster

import (
	"slices"
	"testing"

	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

// FuzzRosterSet: whatever a client puts into a roster set is refused, or kept
// in a form that reads back as the same.
func FuzzRosterSet(f *testing.F) {
	for _, item := range []string{
		"<item jid='bob@office.example' name='Bob &amp; &lt;Co&gt;'><group>A</group><group> B </group></item>",
		"<item jid='bob@office.example' subscription='remove'/>",
		"<item jid='@' name=''/>", "<item/><item/>", "<r:item xmlns:r='jabber:iq:roster' jid='x.example/y'/>",
		"<item jid='b@x'><group><![CDATA[<]]></group><group/></item>", "text",
	} {
		f.Add(item)
	}
	owner := jid.MustParse("alice@office.example")
	f.Fuzz(func(t *testing.T, item string) {
		set := func(item string) (edit, error) {
			s, err := stanza.Parse("<iq type='set' id='1'><query xmlns='jabber:iq:roster'>" + item + "</query></iq>")
			if err != nil {
				t.Skip()
			}
			return parseEdit(owner, s)
		}
		e, err := set(item)
		if err != nil || e.remove {
			return
		}
		it := &entryItem{contact: e.contact, name: e.name, groups: e.groups, listed: true}
		again, err := set(string(it.appendXML(nil)))
		if err != nil || again.contact != e.contact || again.name != e.name || !slices.Equal(again.groups, e.groups) {
			t.Errorf("%q reads back as %+v, %v", it.appendXML(nil), again, err)
		}
		rec := it.record()
		back, err := rec.item(e.contact)
		if err != nil || !sameRecord(it, back) {
			t.Errorf("record %+v reads back as %+v, %v", rec, back, err)
		}
	})
}

// entryItem is item, which the fuzz function's parameter hides.
type entryItem = item

// FuzzRecords: what is read from a table never panics.
func FuzzRecords(f *testing.F) {
	f.Add([]byte(`{"v":1,"sub":"both","groups":["a"]}`))
	f.Add([]byte(`{"v":1,"stanza":"<presence type='subscribe' from='a@b' to='c@d'/>"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c := jid.MustParse("bob@office.example")
		it, err := decodeItem(c, raw)
		if err == nil && it.contact != c {
			t.Error("another contact")
		}
		if s, err := decodeRequest(raw); err == nil && withRequest(it, c, s).request == nil && (it == nil || !it.state.hasFrom()) {
			t.Error("a request was lost")
		}
	})
}
