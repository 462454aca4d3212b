package muc_test

import (
	"strings"
	"testing"

	"doorway/xmpp/routertest"
)

// ranks are who asks in the tables below; each has the affiliation of that
// name. mod is a moderator without an affiliation.
var ranks = []string{"owner", "admin", "member", "none", "mod"}

// crowd fills the hall: for each rank somebody who asks and somebody it is
// done to, by the names of the ranks and "x" + rank.
func crowd(t *testing.T, fields ...string) (*office, map[string]*routertest.Client) {
	t.Helper()
	o := open(t, nil)
	a := o.found(fields...)
	all := map[string]*routertest.Client{"alice": a}
	for i, who := range append([]string{"xowner", "xadmin", "xmember", "xnone", "xmod"}, ranks...) {
		c := o.person("u" + string(rune('0'+i)))
		aff := strings.TrimPrefix(who, "x")
		if aff != "none" && aff != "mod" {
			if got := set(a, "jid="+c.Session.JID().Bare().String()+" affiliation="+aff); got != "" {
				t.Fatal(got)
			}
		}
		c.Say("<presence to='" + hall + "/" + who + "'>" + join + "</presence>")
		if aff == "mod" {
			set(a, "nick="+who+" role=moderator")
		}
		all[who] = c
	}
	for _, c := range all {
		c.Take()
	}
	return o, all
}

// TestRoleMatrix: who may do what to whom. A request above one's own rank is
// forbidden, against somebody of higher rank it is not allowed.
func TestRoleMatrix(t *testing.T) {
	const ok, fb, na = "", "forbidden", "not-allowed"
	for _, c := range []struct {
		role string
		// rows: asker; columns: xowner, xadmin, xmember, xnone, xmod
		table map[string][5]string
	}{
		{"none", map[string][5]string{
			"owner": {ok, ok, ok, ok, ok}, "admin": {na, ok, ok, ok, ok},
			"member": {fb, fb, fb, fb, fb}, "none": {fb, fb, fb, fb, fb}, "mod": {na, na, na, ok, ok},
		}},
		{"visitor", map[string][5]string{
			"owner": {na, na, ok, ok, ok}, "admin": {na, na, ok, ok, ok},
			"member": {fb, fb, fb, fb, fb}, "none": {fb, fb, fb, fb, fb}, "mod": {fb, fb, na, ok, fb},
		}},
		{"participant", map[string][5]string{
			"owner": {na, na, ok, ok, ok}, "admin": {na, na, ok, ok, ok},
			"member": {fb, fb, fb, fb, fb}, "none": {fb, fb, fb, fb, fb}, "mod": {fb, fb, ok, ok, fb},
		}},
		{"moderator", map[string][5]string{
			"owner": {ok, ok, ok, ok, ok}, "admin": {ok, ok, ok, ok, ok},
			"member": {fb, fb, fb, fb, fb}, "none": {fb, fb, fb, fb, fb}, "mod": {fb, fb, fb, fb, fb},
		}},
	} {
		for _, asker := range ranks {
			for i, target := range []string{"xowner", "xadmin", "xmember", "xnone", "xmod"} {
				_, all := crowd(t)
				got := set(all[asker], "nick="+target+" role="+c.role)
				if want := c.table[asker][i]; got != want {
					t.Errorf("%s makes %s %s: %q, want %q", asker, target, c.role, got, want)
				}
				if heard := all["alice"].Recv(); got != "" && len(heard) > 0 {
					t.Errorf("%s was refused, and yet: %q", asker, heard)
				}
			}
		}
	}
}

func TestAffiliationMatrix(t *testing.T) {
	const ok, fb, na = "", "forbidden", "not-allowed"
	none := [5]string{fb, fb, fb, fb, fb}
	for _, c := range []struct {
		aff   string
		admin [5]string // an owner may do everything, nobody else anything
	}{
		{"outcast", [5]string{na, na, ok, ok, ok}},
		{"none", [5]string{fb, fb, ok, ok, ok}},
		{"member", [5]string{fb, fb, ok, ok, ok}},
		{"admin", [5]string{fb, fb, fb, fb, fb}},
		{"owner", [5]string{fb, fb, fb, fb, fb}},
	} {
		for _, asker := range ranks {
			for i, target := range []string{"xowner", "xadmin", "xmember", "xnone", "xmod"} {
				want := none[i]
				switch asker {
				case "owner":
					want = ok
				case "admin":
					want = c.admin[i]
				}
				_, all := crowd(t)
				by := "jid=" + all[target].Session.JID().String()
				if i%2 == 0 {
					by = "nick=" + target
				}
				if got := set(all[asker], by+" affiliation="+c.aff); got != want {
					t.Errorf("%s makes %s %s: %q, want %q", asker, target, c.aff, got, want)
				}
			}
		}
	}
}

// TestKickAndBan: the one who is removed hears it first, then the one who did
// it gets the answer, then the others hear it.
func TestKickAndBan(t *testing.T) {
	o := open(t, nil)
	a := o.found()
	p := o.enter("bob", "carol", "dave")
	b, c, d := p[0], p[1], p[2]
	forget(a, b, c)
	a.Say("<iq type='set' id='k' to='" + hall + "'>" + admin("nick=bob role=none reason=enough") + "</iq>")
	b.Want("kicked", "unavailable bob none/none bob@office.example/desk by alice because enough 110 307")
	a.Want("answer first", "result hall", "unavailable bob none/none bob@office.example/desk by alice because enough 307")
	c.Want("hears", "unavailable bob none/none by alice because enough 307")
	say(b, "still here?")
	b.Want("out", "error message hall: not-acceptable")
	d.Take()
	a.Say("<iq type='set' id='k' to='" + hall + "'>" + admin("jid=carol@office.example/x affiliation=outcast reason=spam") + "</iq>")
	c.Want("banned", "unavailable carol outcast/none carol@office.example/desk by alice because spam 110 301")
	a.Want("answer first", "result hall", "unavailable carol outcast/none carol@office.example/desk by alice because spam 301")
	c.Say("<presence to='" + hall + "/carol'>" + join + "</presence>")
	c.Want("stays out", "error presence carol: forbidden")
	if got := set(a, "jid=alice@office.example affiliation=outcast"); got != "conflict" {
		t.Errorf("banning oneself: %s", got)
	}
	d.Take()
	if got := set(a, "jid=office.example affiliation=outcast"); got != "" {
		t.Errorf("banning a domain: %s", got)
	}
	d.Want("a whole domain is banned, but for who has an affiliation", "unavailable dave outcast/none dave@office.example/desk by alice 110 301")
}

// TestDeltas: several changes are made all or none.
func TestDeltas(t *testing.T) {
	o := open(t, nil)
	a := o.found()
	b := o.enter("bob")[0]
	a.Take()
	for _, c := range []struct {
		what  string
		items []string
		want  string
	}{
		{"none", nil, "bad-request"},
		{"nobody", []string{"role=none"}, "bad-request"},
		{"nothing", []string{"nick=bob"}, "bad-request"},
		{"both", []string{"nick=bob role=none affiliation=none"}, "bad-request"},
		{"odd role", []string{"nick=bob role=boss"}, "bad-request"},
		{"odd affiliation", []string{"nick=bob affiliation=boss"}, "bad-request"},
		{"bad address", []string{"jid=@ affiliation=member"}, "bad-request"},
		{"role by address", []string{"jid=bob@office.example role=none"}, "bad-request"},
		{"absent", []string{"nick=bob role=visitor", "nick=nobody role=none"}, "item-not-found"},
		{"last owner", []string{"jid=carol@office.example affiliation=member", "jid=alice@office.example affiliation=admin"}, "conflict"},
	} {
		if got := set(a, c.items...); got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
		a.Want(c.what)
		b.Want(c.what)
	}
	got := a.Ask("set", hall, admin("nick=bob role=visitor", "nick=nobody role=none reason=x"))
	if got != "item-not-found <query xmlns='http://jabber.org/protocol/muc#admin'><item xmlns='http://jabber.org/protocol/muc#admin' nick='nobody' role='none'><reason>x</reason></item></query>" {
		t.Errorf("the culprit is not named: %s", got)
	}
	if got := set(a, "jid=carol@office.example affiliation=owner", "jid=alice@office.example affiliation=admin", "nick=bob affiliation=member"); got != "" {
		t.Error(got)
	}
	a.Want("several", "alice admin/moderator alice@office.example/desk by alice 110", "bob member/participant bob@office.example/desk by alice",
		"message hall owner/none carol@office.example")
	b.Want("several", "alice admin/moderator by alice", "bob member/participant bob@office.example/desk by alice 110")
}

// TestLists: who may see which.
func TestLists(t *testing.T) {
	_, all := crowd(t, "membersonly=0")
	list := func(who, what string) string {
		got := all[who].Ask("get", hall, admin(what))
		if cond, _, _ := strings.Cut(got, " "); !strings.HasPrefix(got, "<") {
			return cond
		}
		return got
	}
	for what, allowed := range map[string]string{
		"affiliation=owner": "owner", "affiliation=admin": "owner", "affiliation=member": "owner admin", "affiliation=outcast": "owner admin",
		"role=participant": "owner admin mod", "role=visitor": "owner admin mod", "role=moderator": "owner admin",
	} {
		for _, who := range ranks {
			want := "forbidden"
			if strings.Contains(" "+allowed+" ", " "+who+" ") {
				want = "<query"
			}
			if got := list(who, what); !strings.HasPrefix(got, want) {
				t.Errorf("%s asks for %s: %s", who, what, got)
			}
		}
	}
	if got := list("owner", "affiliation=none"); got != "forbidden" {
		t.Errorf("everybody else: %s", got)
	}
	for _, bad := range [][]string{nil, {"role=boss"}, {"nick=x"}, {"role=visitor", "role=participant"}} {
		if got, _, _ := strings.Cut(all["owner"].Ask("get", hall, admin(bad...)), " "); got != "bad-request" {
			t.Errorf("%q: %s", bad, got)
		}
	}
	all["alice"].Ask("set", hall, submit("membersonly=1"))
	if got := list("member", "affiliation=member"); !strings.Contains(got, "nick='xmember'") || strings.Contains(got, "@office") {
		t.Errorf("members of a members-only room see the members without addresses: %s", got)
	}
	if got := list("owner", "affiliation=member"); !strings.Contains(got, "jid='u2@office.example'") {
		t.Errorf("an owner: %s", got)
	}
}

// TestMembersOnly: who loses membership leaves, and so do strangers when the
// room closes; new members are invited.
func TestMembersOnly(t *testing.T) {
	o := open(t, nil, routertest.Available())
	a := o.found()
	p := o.enter("bob", "carol")
	b, c := p[0], p[1]
	set(a, "nick=bob affiliation=member")
	forget(a, b, c)
	if got := a.Ask("set", hall, submit("membersonly=1")); got != "" {
		t.Fatal(got)
	}
	c.Want("a stranger", "unavailable carol none/none carol@office.example/desk 110 322")
	b.Want("a member", "unavailable carol none/none 322", "message hall 104")
	set(a, "jid=bob@office.example affiliation=none")
	b.Want("not a member any more", "unavailable bob none/none bob@office.example/desk by alice 110 321")
	d := o.person("dave")
	d.Say("<presence/>")
	a.Take()
	set(a, "jid=dave@office.example affiliation=member reason=welcome")
	st := d.One()
	if x := st.Inner(); st.To.String() != "dave@office.example" || !strings.Contains(x, "<invite from='"+hall+"'><reason>welcome</reason></invite>") {
		t.Errorf("invitation: %s", st)
	}
	a.Want("absent", "message hall member/none dave@office.example because welcome")
	set(a, "jid=dave@office.example affiliation=admin")
	d.Want("is affiliated already")
}

// TestVoiceList: voice is given and taken.
func TestVoice(t *testing.T) {
	o := open(t, nil)
	a := o.found("moderatedroom=1")
	b := o.enter("bob")[0]
	a.Take()
	request := "<message to='" + hall + "'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#request</value></field>"
	b.Say(request + "<field var='muc#role'><value>participant</value></field></x></message>")
	st := a.One()
	for _, want := range []string{"<field var='muc#jid' type='jid-single' label='Address'><value>bob@office.example/desk</value>", "<value>bob</value>", "muc#request_allow"} {
		if !strings.Contains(st.Inner(), want) {
			t.Errorf("no %s in %s", want, st)
		}
	}
	grant := request + "<field var='muc#role'><value>participant</value></field><field var='muc#roomnick'><value>bob</value></field><field var='muc#request_allow'><value>true</value></field></x></message>"
	b.Say(grant)
	b.Want("not by himself", "error message hall: forbidden")
	a.Say(grant)
	b.Want("granted", "bob none/participant bob@office.example/desk by alice 110")
	b.Say(request + "<field var='muc#role'><value>participant</value></field></x></message>")
	b.Want("has it", "error message hall: bad-request")
	set(a, "nick=bob role=visitor")
	b.Want("taken", "bob none/visitor bob@office.example/desk by alice 110")
	a.Ask("set", hall, submit("moderatedroom=0"))
	b.Want("everybody may talk", "bob none/participant bob@office.example/desk 110", "message hall 104")
	c := o.person("carol")
	c.Say(grant)
	c.Want("a stranger", "error message hall: not-acceptable")
}
