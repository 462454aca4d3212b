package bookmarks

import (
	"strings"
	"testing"

	"doorway/xmpp/pubsub"
)

// FuzzList: any old list becomes bookmarks that read back as they were written,
// and as the same old list.
func FuzzList(f *testing.F) {
	for _, seed := range []string{
		"<conference jid='a@b' name='&lt;' autojoin='1'><nick>n</nick><password>p</password><x xmlns='urn:x'/></conference><url name='u'/>",
		"<p:conference xmlns:p='storage:bookmarks' jid='a@b/c'/><conference jid='a@b'/><conference jid='b'/><conference/>",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, inner string) {
		el, err := element("<storage xmlns='" + legacy + "'>" + inner + "</storage>")
		if err != nil {
			t.Skip()
		}
		list, others := parseLegacy(el)
		var items []pubsub.Item
		for _, e := range list {
			xml := e.XML()
			b, ok := parse(xml)
			if !ok || !b.equal(e.bookmark) {
				t.Errorf("%s\nbecomes %s", inner, xml)
			}
			items = append(items, pubsub.Item{ID: e.room, XML: xml})
		}
		xml := storage(items, others)
		el, err = element(xml)
		if err != nil {
			t.Fatalf("%s\nbecomes %s: %v", inner, xml, err)
		}
		again, rest := parseLegacy(el)
		if len(again) != len(list) || len(strings.TrimSpace(rest)) != len(strings.TrimSpace(others)) && storage(items, rest) != storage(items, others) {
			t.Errorf("%s\nbecomes %s", inner, xml)
		}
		for i := range again {
			if again[i].room != list[i].room || !again[i].equal(list[i].bookmark) {
				t.Errorf("%s\nbecomes %s", inner, xml)
			}
		}
	})
}
