package stanza

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

func TestWithout(t *testing.T) {
	for _, c := range []struct{ xml, inner, payload string }{
		{"<message xmlns:p='u:p'><p:a/> <b/><p:a>x</p:a></message>", " <b/>", "b"},
		{"<message xmlns:p='u:p'><b>&amp;</b><p:a/></message>", "<b>&amp;</b>", "b"},
		{"<message xmlns:p='u:p'><p:a/><p:c/></message>", "<p:c/>", "c"},
		{"<message xmlns:p='u:p'><p:a/></message>", "", ""},
		{"<message><b/></message>", "<b/>", "b"},
	} {
		s, err := Parse(c.xml)
		if err != nil {
			t.Fatal(err)
		}
		w := s.Without(func(e *Element) bool { return e.Name == Name{Space: "u:p", Local: "a"} })
		again, err := Parse(w.String())
		if err != nil {
			t.Fatalf("%s became %s: %v", c.xml, w, err)
		}
		if w.Inner() != c.inner || w.Payload.Local != c.payload || w.Payload != again.Payload || w.Children != again.Children {
			t.Errorf("%s became %s, payload %v, %d children", c.xml, w, w.Payload, w.Children)
		}
		if same := w == s; same != (c.inner == s.Inner()) {
			t.Errorf("%s: the same stanza: %v", c.xml, same)
		}
	}
}
