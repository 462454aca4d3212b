package presence

import (
	"testing"

	"doorway/xmpp/stanza"
)

// FuzzCheck: no presence makes check panic, and a refused one has no priority.
func FuzzCheck(f *testing.F) {
	for _, inner := range []string{"", "<show>away</show><priority>-1</priority>", "<priority>999</priority>",
		"<show><x/></show>", "<priority xmlns='urn:x'>x</priority>", "<p:show xmlns:p='jabber:client'>dnd</p:show>"} {
		f.Add(inner)
	}
	f.Fuzz(func(t *testing.T, inner string) {
		st, err := stanza.Parse("<presence>" + inner + "</presence>")
		if err != nil {
			t.Skip()
		}
		if priority, err := check(st); err != nil && priority != 0 {
			t.Error("refused with a priority")
		}
	})
}
