package mam_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"doorway/xmpp/routertest"
)

func TestPages(t *testing.T) {
	h := open(t, nil)
	a, b := h.Login(alice+"/desk", "<presence/>"), h.Login(bob+"/desk", "<presence/>")
	h.fill(a, b)
	id := h.query(a, "").ids
	if !slices.IsSorted(id) || len(id) != 10 {
		t.Fatalf("ids %v", id)
	}
	for _, c := range []struct {
		query, bodies string
		complete      bool
	}{
		{"", "0 1 2 3 4 5 6 7 8 9", true},
		{page("<max>3</max>"), "0 1 2", false},
		{page("<max>10</max>"), "0 1 2 3 4 5 6 7 8 9", true},
		{page("<max>100000</max>"), "0 1 2 3 4 5 6 7 8 9", true},
		{page("<max>3</max><after>" + id[2] + "</after>"), "3 4 5", false},
		{page("<max>3</max><after>" + id[6] + "</after>"), "7 8 9", true},
		{page("<max>3</max><after>" + id[9] + "</after>"), "", true},
		{page("<max>3</max><before/>"), "7 8 9", false},
		{page("<max>3</max><before>" + id[7] + "</before>"), "4 5 6", false},
		{page("<max>3</max><before>" + id[2] + "</before>"), "0 1", true},
		{page("<max>2</max><after>" + id[2] + "</after><before>" + id[7] + "</before>"), "5 6", false},
		{page("<max>3</max><before/>") + "<flip-page/>", "9 8 7", false},
		{page("<max>3</max>") + "<flip-page/>", "2 1 0", false},
		{form("after-id", id[2], "before-id", id[6]), "3 4 5", true},
		{form("after-id", id[2]) + page("<max>2</max>"), "3 4", false},
		{form("after-id", id[2]) + page("<max>2</max><before/>"), "8 9", false},
		{form("ids", id[7]+" "+id[1]+" "+id[7]), "1 7", true},
		{form("ids", id[7]+" "+id[1]) + page("<max>1</max>"), "1", false},
		{form("ids", id[7]+" "+id[1]) + page("<max>1</max><before/>"), "7", false},
		{form("ids", id[7]+" "+id[1], "after-id", id[3]), "7", true},
		{form("start", "2026-05-01T12:00:03Z", "end", "2026-05-01T12:00:05Z"), "2 3 4", true},
		{form("start", "2026-05-01T14:00:08.5+02:00"), "8 9", true},
		{form("end", "2026-05-01T12:00:01.999Z"), "0", true},
		{form("start", "2030-01-01T00:00:00Z"), "", true},
		{form("end", "1960-01-01T00:00:00Z"), "", true},
		{form("start", "2026-05-01T12:00:05Z", "end", "2026-05-01T12:00:03Z"), "", true},
		{form("include-groupchat", "false"), "0 1 2 3 4 5 6 7 8 9", true},
		{form("with", "", "start", "", "after-id", ""), "0 1 2 3 4 5 6 7 8 9", true},
		{form("with", "carol@office.example"), "", true},
		{form("with", bob, "after-id", id[4]) + page("<max>2</max>"), "5 6", false},
		{form("with", bob+"/desk"), "1 3 5 7 9", true},
		{form("with", "BOB@office.example/desk", "ids", id[1]+" "+id[2]), "1", true},
	} {
		f := h.query(a, c.query)
		if f.bodies != c.bodies || f.complete != c.complete {
			t.Errorf("%s:\n found %q complete %v, want %q %v", c.query, f.bodies, f.complete, c.bodies, c.complete)
		}
		// First and last are those of the page in its order, flipped or not.
		if len(f.ids) > 0 {
			slices.Sort(f.ids)
			m := firstID.FindStringSubmatch(f.fin)
			if m == nil || m[1] != f.ids[0] || m[2] != f.ids[len(f.ids)-1] {
				t.Errorf("%s: %s", c.query, f.fin)
			}
		}
	}
	if f := h.query(a, page("<max>0</max>")); f.fin != "<fin xmlns='urn:xmpp:mam:2'><set xmlns='http://jabber.org/protocol/rsm'><count>10</count></set></fin>" {
		t.Errorf("counted: %s", f.fin)
	}
	if f := h.query(a, form("with", bob+"/desk")+page("<max>0</max>")); !strings.Contains(f.fin, "<count>5</count>") {
		t.Errorf("counted: %s", f.fin)
	}
}

// TestPageBounds: a page has at most 250 messages, and fewer when they are large.
func TestPageBounds(t *testing.T) {
	h := open(t, nil)
	a := h.Login(alice + "/desk")
	for i := range 260 {
		a.Say(fmt.Sprintf("<message type='chat' to='%s'><body>%d</body></message>", phone, i))
	}
	if f := h.query(a, page("<max>300</max>")); len(f.ids) != 250 || f.complete {
		t.Errorf("%d results, complete %v", len(f.ids), f.complete)
	}
	if f := h.query(a, ""); len(f.ids) != 250 || f.complete {
		t.Errorf("%d results, complete %v", len(f.ids), f.complete)
	}
	large := strings.Repeat("x", 30<<10)
	for range 5 {
		a.Say("<message type='chat' to='" + phone + "'><body>" + large + "</body></message>")
	}
	f := h.query(a, page("<before/>"))
	if len(f.ids) != 3 || f.complete {
		t.Fatalf("%d large results, complete %v", len(f.ids), f.complete)
	}
	if g := h.query(a, page("<before>"+f.ids[0]+"</before>")); len(g.ids) < 2 || g.complete || g.ids[len(g.ids)-1] >= f.ids[0] {
		t.Errorf("%d large results before that", len(g.ids))
	}
}

func TestFaults(t *testing.T) {
	h := open(t, nil)
	a, b := h.Login(alice+"/desk", "<presence/>"), h.Login(bob+"/desk", "<presence/>")
	h.fill(a, b)
	b.Say("<message type='chat' to='" + phone + "'><body>bob's</body></message>")
	foreign := h.query(b, form("with", phone)).ids[0]
	for inner, want := range map[string]string{
		form("start", "yesterday"):            "bad-request",
		form("end", "2026-13-01T00:00:00Z"):   "bad-request",
		form("start", "2026-05-01"):           "bad-request",
		form("with", "@"):                     "bad-request",
		form("with", bob+" "+alice):           "bad-request",
		form("with", bob, "with", bob):        "bad-request",
		form("include-groupchat", "perhaps"):  "bad-request",
		form("unheard-of", "x"):               "feature-not-implemented",
		form("{urn:x}text", "x", "with", bob): "feature-not-implemented",
		"<x xmlns='jabber:x:data'/>":          "bad-request",
		"<x xmlns='jabber:x:data' type='form'><field var='FORM_TYPE'><value>urn:xmpp:mam:2</value></field></x>":   "bad-request",
		"<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>urn:xmpp:mam:1</value></field></x>": "bad-request",
		"<x xmlns='jabber:x:data' type='submit'><field var='with'><value>a@b</value></field></x>":                 "bad-request",
		"<x xmlns='jabber:x:data' type='submit'><field><value>a@b</value></field></x>":                            "bad-request",
		form("after-id", "nonsense"):              "item-not-found",
		form("before-id", "0000000000000000"):     "item-not-found",
		form("ids", foreign):                      "item-not-found",
		form("after-id", foreign):                 "item-not-found",
		page("<after>" + foreign + "</after>"):    "item-not-found",
		page("<before>ffffffffffffffff</before>"): "item-not-found",
		page("<max>many</max>"):                   "bad-request",
		page("<max>-5</max>"):                     "bad-request",
		page("<index>2</index>"):                  "feature-not-implemented",
	} {
		if got := a.Ask("set", "", "<query xmlns='urn:xmpp:mam:2'>"+inner+"</query>"); got != want {
			t.Errorf("%s: %s, want %s", inner, got, want)
		}
		a.Want("nothing but the error")
	}
	if got := a.Ask("set", "", "<query xmlns='urn:xmpp:mam:2' queryid='"+strings.Repeat("q", 2000)+"'/>"); got != "bad-request" {
		t.Errorf("a long id of a query: %s", got)
	}
	for _, to := range []string{bob, "nobody@office.example"} {
		for _, c := range [][2]string{{"set", "query"}, {"get", "query"}, {"get", "metadata"}, {"get", "prefs"}, {"set", "prefs"}} {
			if got := a.Ask(c[0], to, "<"+c[1]+" xmlns='urn:xmpp:mam:2'/>"); got != "forbidden" {
				t.Errorf("%s %s of %s: %s", c[0], c[1], to, got)
			}
		}
	}
	if got := a.Ask("set", alice, "<metadata xmlns='urn:xmpp:mam:2'/>"); got != "feature-not-implemented" {
		t.Errorf("set metadata: %s", got)
	}
	if got := a.Ask("set", routertest.Domain, "<query xmlns='urn:xmpp:mam:2'/>"); got != "service-unavailable" {
		t.Errorf("the server's own archive: %s", got)
	}
}

func TestMetadataAndForm(t *testing.T) {
	h := open(t, nil)
	a, b := h.Login(alice+"/desk", "<presence/>"), h.Login(bob+"/desk", "<presence/>")
	if got := a.Ask("get", "", "<metadata xmlns='urn:xmpp:mam:2'/>"); got != "<metadata xmlns='urn:xmpp:mam:2'/>" {
		t.Errorf("of nothing: %s", got)
	}
	h.fill(a, b)
	id := h.query(a, "").ids
	want := "<metadata xmlns='urn:xmpp:mam:2'><start id='" + id[0] + "' timestamp='2026-05-01T12:00:01.000000Z'/><end id='" + id[9] + "' timestamp='2026-05-01T12:00:10.000000Z'/></metadata>"
	if got := a.Ask("get", alice, "<metadata xmlns='urn:xmpp:mam:2'/>"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	got := a.Ask("get", "", "<query xmlns='urn:xmpp:mam:2'/>")
	for _, field := range []string{"with", "start", "end", "before-id", "after-id", "ids", "include-groupchat"} {
		if !strings.Contains(got, "var='"+field+"'") || strings.Contains(got, "required") {
			t.Errorf("no field %s in %s", field, got)
		}
	}
}

func TestPreferences(t *testing.T) {
	h := open(t, nil)
	h.contacts[alice+" "+bob] = "both"
	a, b := h.Login(alice+"/desk", "<presence/>"), h.Login(bob+"/desk", "<presence/>")
	c := h.Login("carol@office.example/desk", "<presence/>")
	empty := "<prefs xmlns='urn:xmpp:mam:2' default='always'><always/><never/></prefs>"
	if got := a.Ask("get", "", "<prefs xmlns='urn:xmpp:mam:2'/>"); got != empty {
		t.Errorf("at first: %s", got)
	}
	for _, x := range []struct{ prefs, kept string }{
		{"default='never'/>", ""},
		{"default='roster'/>", "bob"},
		{"default='never'><always><jid>carol@office.example</jid></always></prefs>", "carol"},
		{"default='always'><never><jid>carol@office.example</jid></never></prefs>", "bob"},
		{"default='never'><always><jid>bob@office.example/desk</jid></always><never><jid>bob@office.example</jid></never></prefs>", "bob"},
		{"default='always'><always><jid>bob@office.example</jid></always><never><jid>bob@office.example</jid></never></prefs>", "carol"},
		{"default='always'/>", "bob carol"},
	} {
		got := a.Ask("set", "", "<prefs xmlns='urn:xmpp:mam:2' "+x.prefs)
		if again := a.Ask("get", "", "<prefs xmlns='urn:xmpp:mam:2'/>"); again != got || !strings.HasPrefix(got, "<prefs ") {
			t.Errorf("%s: said %s, then %s", x.prefs, got, again)
		}
		last := h.now
		b.Say("<message type='chat' to='" + alice + "'><body>bob</body></message>")
		c.Say("<message type='chat' to='" + alice + "'><body>carol</body></message>")
		var stamped []string
		for _, st := range a.Take() {
			if len(stanzaIDs(st)) > 0 {
				stamped = append(stamped, st.Body())
			}
		}
		f := h.query(a, form("start", last.Add(time.Millisecond).Format("2006-01-02T15:04:05.000Z")))
		if f.bodies != x.kept || strings.Join(stamped, " ") != x.kept {
			t.Errorf("%s: kept %q, ids in %q, want %q", x.prefs, f.bodies, stamped, x.kept)
		}
	}
	if f := h.query(b, ""); f.bodies != strings.TrimSpace(strings.Repeat("bob ", 7)) {
		t.Errorf("bob's own choice is another matter: %s", f.bodies)
	}
	for inner, want := range map[string]string{
		"/>":                     "bad-request",
		" default='sometimes'/>": "bad-request",
		" default='always'><never><jid>@</jid></never></prefs>": "jid-malformed",
	} {
		if got := a.Ask("set", "", "<prefs xmlns='urn:xmpp:mam:2'"+inner); got != want {
			t.Errorf("%s: %s, want %s", inner, got, want)
		}
	}
}
