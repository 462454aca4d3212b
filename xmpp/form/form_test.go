package form_test

import (
	"errors"
	"strings"
	"testing"

	"doorway/xmpp/form"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

func read(t testing.TB, xml string) (*form.Form, error) {
	t.Helper()
	st := stanza.New(stanza.Message, "", "", jid.JID{}, jid.JID{}, xml)
	els := st.Elements()
	if len(els) != 1 {
		t.Fatalf("%s: %d elements", xml, len(els))
	}
	return form.Parse(&els[0])
}

func asked() *form.Form {
	return form.New(form.Ask, "urn:test",
		form.Text("name", "Name", "a <b>"),
		form.Switch("open", "Open", true),
		form.Choice("who", "Who", "all", form.Option{Label: "All", Value: "all"}, form.Option{Label: "Nobody", Value: "none"}),
		form.Field{Var: "owners", Kind: form.JIDMulti, Values: []string{"a@b", "c@d"}},
		form.Field{Var: "need", Kind: form.TextSingle, Required: true, Desc: "wanted"},
	)
}

func TestRoundTrip(t *testing.T) {
	f := asked()
	f.Title, f.Instructions = "T & t", []string{"one", "two"}
	f.Reported = []form.Field{{Var: "r", Kind: form.TextSingle}}
	f.Items = [][]form.Field{{{Var: "r", Values: []string{"1"}}}, {{Var: "r", Values: []string{"2"}}}}
	got, err := read(t, f.XML())
	if err != nil {
		t.Fatal(err)
	}
	if got.XML() != f.XML() {
		t.Errorf("got  %s\nwant %s", got.XML(), f.XML())
	}
	if got.FormType() != "urn:test" || got.Title != "T & t" || len(got.Items) != 2 || len(got.Instructions) != 2 {
		t.Errorf("%+v", got)
	}
	if v, ok := got.Value("name"); v != "a <b>" || !ok {
		t.Errorf("name is %q", v)
	}
}

// TestCheck: what may be submitted, and the words when it may not.
func TestCheck(t *testing.T) {
	need := "<field var='need'><value>x</value></field>"
	typ := "<field var='FORM_TYPE'><value>urn:test</value></field>"
	for _, c := range []struct{ inner, want string }{
		{typ + need, ""},
		{typ + need + "<field var='unheard-of'><value>x</value><value>y</value></field>", ""},
		{typ + need + "<field var='open'><value>false</value></field><field var='who'><value>none</value></field>", ""},
		{typ + need + "<field var='owners'/>", ""},
		{typ + need + "<field var='owners'><value>x@y</value><value> z@y </value></field>", ""},
		{typ, "need is required"},
		{need, "not of type urn:test"},
		{typ + need + need, "need is there twice"},
		{typ + need + "<field var='open'><value>yes</value></field>", "open cannot be"},
		{typ + need + "<field var='who'><value>some</value></field>", "who cannot be"},
		{typ + need + "<field var='name'><value>1</value><value>2</value></field>", "name takes one value"},
		{typ + need + "<field var='owners'><value>@</value></field>", "owners cannot be"},
	} {
		f, err := read(t, "<x xmlns='jabber:x:data' type='submit'>"+c.inner+"</x>")
		if err != nil {
			t.Fatalf("%s: %v", c.inner, err)
		}
		err = asked().Check(f)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, form.ErrMalformed)) {
			t.Errorf("%s: %v, want %q", c.inner, err, c.want)
		}
	}
	if asked().Check(nil) == nil || asked().Check(&form.Form{Type: form.Cancel}) == nil {
		t.Error("nothing submitted is all right")
	}
}

func TestMalformed(t *testing.T) {
	for _, xml := range []string{
		"<x xmlns='jabber:x:data'/>",
		"<x xmlns='jabber:x:data' type='odd'/>",
		"<x xmlns='urn:x' type='submit'/>",
		"<x xmlns='jabber:x:data' type='submit'><field><value>x</value></field></x>",
		"<x xmlns='jabber:x:data' type='submit'>" + strings.Repeat("<field var='a'/>", 257) + "</x>",
		"<x xmlns='jabber:x:data' type='submit'><field var='a'>" + strings.Repeat("<value/>", 4097) + "</field></x>",
		"<x xmlns='jabber:x:data' type='submit'><item><field var=''/></item></x>",
	} {
		if _, err := read(t, xml); !errors.Is(err, form.ErrMalformed) {
			t.Errorf("%.80s: %v", xml, err)
		}
	}
}

// FuzzForm: no form does harm, and what is written is read again as it was.
func FuzzForm(f *testing.F) {
	f.Add(asked().XML())
	f.Add("<x xmlns='jabber:x:data' type='submit'><field var='open'><value>1</value></field></x>")
	f.Add("<x xmlns='jabber:x:data' type='result'><reported><field var='a'/></reported><item><field var='a'><value>&#10;</value></field></item></x>")
	f.Fuzz(func(t *testing.T, xml string) {
		st, err := stanza.Parse("<message>" + xml + "</message>")
		if err != nil {
			return
		}
		for _, el := range st.Elements() {
			got, err := form.Parse(&el)
			if err != nil {
				continue
			}
			_ = asked().Check(got)
			out := got.XML()
			again, err := read(t, out)
			if err != nil {
				t.Fatalf("%s: %v", out, err)
			}
			if again.XML() != out {
				t.Fatalf("%s\n%s", out, again.XML())
			}
		}
	})
}
