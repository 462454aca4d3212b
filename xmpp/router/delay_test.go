package router

import (
	"reflect"
	"testing"

	"doorway/xmpp/xmlstream"
)

// FuzzCutChildren: of any content a strict reader accepts, dropping nothing
// changes nothing, and dropping one child leaves exactly the others.
func FuzzCutChildren(f *testing.F) {
	for _, s := range []string{
		"", "text", "<a/>", "<a/>x<b>y</b>", `<a b="/>"><c d='>'/></a> <e/>`, "<a><![CDATA[</a><b/>]]></a><c/>", "<![CDATA[<a/>]]><b/>",
		"<a ></a ><p:b xmlns:p='x:y' p:q='z'/>", "<a/><a></a><a/>",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, inner string) {
		none := cutChildren(inner, func(int) bool { return false })
		all, err := xmlstream.ParseTree(inner, "", "jabber:client")
		if err != nil {
			return
		}
		if none != inner {
			t.Fatalf("%q became %q", inner, none)
		}
		for i := range all {
			rest, err := xmlstream.ParseTree(cutChildren(inner, func(n int) bool { return n == i }), "", "jabber:client")
			if err != nil {
				t.Fatalf("%q without child %d: %v", inner, i, err)
			}
			want := append(append([]xmlstream.Tree{}, all[:i]...), all[i+1:]...)
			if len(rest) != len(want) || len(want) > 0 && !reflect.DeepEqual(rest, want) {
				t.Fatalf("%q without child %d is %v, want %v", inner, i, rest, want)
			}
		}
	})
}
