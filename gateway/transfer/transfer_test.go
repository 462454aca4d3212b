package transfer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"doorway/gateway/people"
	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/sasl"
	"doorway/xmpp/stanza"
)

// office has accounts in memory, and a part that keeps <note xmlns='urn:note'/>.
type office struct {
	accounts map[string]people.Adoption
	rows     map[string]string // account → notes
	log      []string
	fail     error
}

func newOffice() *office {
	return &office{accounts: map[string]people.Adoption{}, rows: map[string]string{}}
}

func (o *office) house() House {
	return House{Domain: "office.example", Accounts: o, Parts: []xmpp.Portable{o}, Clear: func(j jid.JID) error {
		o.log = append(o.log, "clear "+j.String())
		return nil
	}}
}

func (o *office) Exists(local string) bool { _, ok := o.accounts[local]; return ok }

func (o *office) Adopt(a people.Adoption, rows map[string]map[string]any) error {
	if o.fail != nil {
		return o.fail
	}
	o.accounts[a.Local] = a
	for _, k := range slices.Sorted(maps.Keys(rows["notes"])) {
		o.rows[a.Local] += rows["notes"][k].(string)
	}
	o.log = append(o.log, "adopt "+a.Local)
	return nil
}

func (o *office) Account(local string) (people.Account, bool) {
	a, ok := o.accounts[local]
	return people.Account{Local: local, Name: a.Name, Disabled: a.Disabled}, ok
}

func (o *office) KeysOf(local string) map[sasl.Hash]sasl.Keys { return o.accounts[local].Keys }

func (o *office) Export(account jid.JID, write func(string) error) error {
	if xml := o.rows[account.Local()]; xml != "" {
		return write(xml)
	}
	return nil
}

func (o *office) Import(i *xmpp.Import, el *stanza.Element) (bool, error) {
	switch {
	case el.Name == stanza.Name{Space: "urn:xmpp:pie:0#mam", Local: "archive"}:
		n := len(el.Children)
		i.Before = append(i.Before, func() error { o.log = append(o.log, fmt.Sprint("archive ", n)); return nil })
		return true, nil
	case el.Name.Space != "urn:note":
		return false, nil
	case el.Text == "bad":
		return true, errors.New("this note is bad")
	}
	i.Put("notes", fmt.Sprintf("%03d", len(i.Rows["notes"])), el.XML())
	i.After = append(i.After, func() { o.log = append(o.log, "told "+i.Account.Local()) })
	return true, nil
}

func wrap(users string) string {
	return "<?xml version='1.0' encoding='UTF-8'?>\n<server-data xmlns='urn:xmpp:pie:0'>\n<host jid='office.example'>\n" + users + "\n</host>\n</server-data>\n"
}

func take(o *office, file string, trial bool) (Report, error) {
	return Import(o.house(), strings.NewReader(file), int64(len(file)), trial)
}

func keys(seed byte) map[sasl.Hash]sasl.Keys {
	fill := func(n int) []byte { return bytes.Repeat([]byte{seed}, n) }
	return map[sasl.Hash]sasl.Keys{
		sasl.SHA256: {Salt: fill(16), Iterations: 4096, StoredKey: fill(32), ServerKey: fill(32)},
		sasl.SHA1:   {Salt: fill(12), Iterations: 10000, StoredKey: fill(20), ServerKey: fill(20)},
	}
}

// TestRoundTrip: what was exported comes back as it was, and is exported alike.
func TestRoundTrip(t *testing.T) {
	from := newOffice()
	from.accounts = map[string]people.Adoption{
		"alice":        {Local: "alice", Name: "Alice <A> & 'Co'", Keys: keys(1)},
		`d\27artagnan`: {Local: `d\27artagnan`, Disabled: true, Keys: keys(2)},
		"jörg":         {Local: "jörg"},
	}
	from.rows["alice"] = "<note xmlns='urn:note'>a &amp; <p:b xmlns:p='urn:p' p:c='d'/> c</note>"
	var first bytes.Buffer
	locals := slices.Sorted(maps.Keys(from.accounts))
	if err := Export(&first, "office.example", from, locals, []xmpp.Portable{from}); err != nil {
		t.Fatal(err)
	}
	to := newOffice()
	r, err := take(to, first.String(), false)
	if err != nil || len(r.Results) != 3 || len(r.Notes) != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, x := range r.Results {
		if x.State != Imported || x.Problem != nil || (len(x.Notes) == 1) != (x.Account == "jörg@office.example") {
			t.Errorf("%+v", x)
		}
	}
	var second bytes.Buffer
	if err := Export(&second, "office.example", to, locals, []xmpp.Portable{to}); err != nil {
		t.Fatal(err)
	}
	if first.String() != second.String() {
		t.Errorf("exported\n%s\nand from what came of it\n%s", &first, &second)
	}
	want := "clear alice@office.example|adopt alice|told alice|clear d\\27artagnan@office.example|adopt d\\27artagnan|clear jörg@office.example|adopt jörg"
	if got := strings.Join(to.log, "|"); got != want {
		t.Errorf("done: %s", got)
	}
}

// TestRefused: each account by itself, wholly or not at all, with its line.
func TestRefused(t *testing.T) {
	scram := func(inner string) string {
		return "<scram-credentials xmlns='urn:xmpp:pie:0#scram' mechanism='SCRAM-SHA-1'>" + inner + "</scram-credentials>"
	}
	const key = "AAAAAAAAAAAAAAAAAAAAAAAAAAA="
	good := "<iter-count>4096</iter-count><salt>AAAA</salt><server-key>" + key + "</server-key><stored-key>" + key + "</stored-key>"
	for _, c := range []struct {
		user string
		line int
		want string
	}{
		{"<user name='bob'/>", 4, "There is already an account bob."},
		{"<user name='BOB'/>", 4, "There is already an account bob."},
		{"<user/>", 4, "is empty"},
		{"<user name='a b'/>", 4, "cannot be the name of an account"},
		{"<user name='zoe' password='short'/>", 4, "choose one of at least 8"},
		{"<user name='zoe'>\n<note xmlns='urn:note'/>\n<note xmlns='urn:note'>bad</note></user>", 6, "This note is bad."},
		{"<user name='zoe'>\n\n" + scram(strings.Replace(good, "4096", "04096", 1)) + "</user>", 6, `"04096" is no count`},
		{"<user name='zoe'>" + scram(strings.Replace(good, "4096", "99999999", 1)) + "</user>", 4, "is no count"},
		{"<user name='zoe'>" + scram(strings.Replace(good, "AAAA<", "<", 1)) + "</user>", 4, "<salt/> of SCRAM-SHA-1"},
		{"<user name='zoe'>" + scram(strings.Replace(good, key, "AAAA", 1)) + "</user>", 4, "<server-key/> of SCRAM-SHA-1"},
		{"<user name='zoe'>" + scram(strings.Replace(good, key, "?", 1)) + "</user>", 4, "<server-key/> of SCRAM-SHA-1"},
		{"<user name='zoe'>" + scram("<salt>AAAA</salt>") + "</user>", 4, "has 0 times <iter-count/>"},
		{"<user name='zoe'>" + scram(good+"<salt>AAAA</salt>") + "</user>", 4, "has 2 times <salt/>"},
		{"<user name='zoe'>" + scram(good) + scram(good) + "</user>", 4, "SCRAM-SHA-1 is there twice"},
	} {
		o := newOffice()
		o.accounts["bob"] = people.Adoption{}
		r, err := take(o, wrap(c.user+"<user name='eve' password='long enough'/>"), false)
		if err != nil || len(r.Results) != 2 {
			t.Errorf("%s: %+v, %v", c.user, r, err)
			continue
		}
		x := r.Results[0]
		if x.State != Refused || x.Problem == nil || x.Problem.Line != c.line || !strings.Contains(x.Problem.Text, c.want) {
			t.Errorf("%s: %+v %+v, want line %d with %s", c.user, x, x.Problem, c.line, c.want)
		}
		if o.Exists("zoe") || len(o.rows) > 0 || !o.Exists("eve") {
			t.Errorf("%s: accounts %v, rows %v", c.user, o.accounts, o.rows)
		}
	}
}

// TestBroken: a file that is broken somewhere changes nothing at all.
func TestBroken(t *testing.T) {
	alice := "<user name='alice' password='long enough'/>\n"
	for _, c := range []struct {
		file string
		line int
		want string
	}{
		{"", 1, "ends before it is complete"},
		{"<x/>", 1, "no file of XEP-0227"},
		{"hello", 1, "text between elements"},
		{wrap(alice + "<user name='bob'>"), 6, "not well-formed"},
		{strings.TrimSuffix(wrap(alice), "</server-data>\n"), 7, "not well-formed"},
		{wrap(alice + "&x;"), 5, "not well-formed"},
		{wrap(alice + "bob"), 6, "text between elements"},
		{wrap(alice + "<user name='bob'><note xmlns='urn:note'><!-- x --></note></user>"), 5, "not XML as XMPP has it"},
		{"<!DOCTYPE x [<!ENTITY a 'b'>]>\n" + wrap(alice), 1, "document type"},
		{wrap(alice) + "<x/>", 8, "follows the end"},
		{wrap(alice + "<user name='bob'><note xmlns='urn:note'>" + strings.Repeat("x", maxPart) + "</note></user>"), 5, "larger than 16 MiB"},
	} {
		o := newOffice()
		_, err := take(o, c.file, false)
		var p *Problem
		if !errors.As(err, &p) || p.Line != c.line || !strings.Contains(p.Text, c.want) {
			t.Errorf("%.200q: %+v, want line %d with %s", c.file, err, c.line, c.want)
		}
		if len(o.accounts) > 0 || len(o.log) > 0 {
			t.Errorf("%.200q: something was done: %v", c.file, o.log)
		}
	}
}

// TestLeftOut: what has no place is passed over and named (XEP-0227 §4).
func TestLeftOut(t *testing.T) {
	o := newOffice()
	file := "<p:server-data xmlns:p='urn:xmpp:pie:0' xmlns:n='urn:note' xmlns='urn:else'><what/>\n<p:host jid='office.example'><what/>\n" +
		"<p:user name='alice' password='long enough'>\n<what/><n:note>kept</n:note>" +
		"<scram-credentials xmlns='urn:xmpp:pie:0#scram' mechanism='SCRAM-SHA-512'/></p:user></p:host>\n" +
		"<p:host jid='other.example'><p:user name='bob' password='long enough'/></p:host></p:server-data>"
	r, err := take(o, file, true)
	if err != nil || len(o.log) > 0 || r.Results[0].State != Possible {
		t.Errorf("a trial: %+v, %v, done %v", r, err, o.log)
	}
	r, err = take(o, file, false)
	got, _ := json.Marshal(r)
	want := `{"results":[{"account":"alice@office.example","line":3,"state":"imported","notes":["Line 4: \u003cwhat xmlns='urn:else'/\u003e was left out: there is no place for it here.",` +
		`"Keys for \"SCRAM-SHA-512\" were left out: this sign-in is not offered here."]},` +
		`{"account":"bob@other.example","line":5,"state":"refused","problem":{"line":5,"text":"The account is of \"other.example\", and this server is office.example. Change the jid of \u003chost/\u003e in the file to move it here."}}],` +
		`"notes":["Line 1: \u003cwhat xmlns='urn:else'/\u003e was passed over: it is not known here.","Line 2: \u003cwhat xmlns='urn:else'/\u003e was passed over: it is not known here."]}`
	if err != nil || string(got) != want {
		t.Errorf("%v\n got %s\nwant %s", err, got, want)
	}
	if o.rows["alice"] != "<n:note xmlns='urn:else' xmlns:n='urn:note'>kept</n:note>" {
		t.Errorf("note %s", o.rows["alice"])
	}
}

// TestArchive comes in pieces, ahead of the account.
func TestArchive(t *testing.T) {
	o := newOffice()
	file := wrap("<user name='alice' password='long enough'><archive xmlns='urn:xmpp:pie:0#mam'>" + strings.Repeat("<result xmlns='urn:xmpp:mam:2'/>", 600) + "</archive></user>")
	if _, err := take(o, file, false); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(o.log, "|"); got != "clear alice@office.example|archive 256|archive 256|archive 88|adopt alice" {
		t.Errorf("done: %s", got)
	}
	o = newOffice()
	o.fail = errors.New("disk full")
	if _, err := take(o, file, false); !errors.Is(err, o.fail) {
		t.Errorf("disk full: %v", err)
	}
	if got := o.log[len(o.log)-1]; got != "clear alice@office.example" {
		t.Errorf("left behind after a failure: %v", o.log)
	}
}

// TestInclude follows XInclude as XEP-0227 §5 has it, and knows whose line is whose.
func TestInclude(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const xi = " xmlns:xi='http://www.w3.org/2001/XInclude'"
	top := put("all.xml", "<?xml version='1.0'?>\n<server-data xmlns='urn:xmpp:pie:0'"+xi+">\n  <xi:include href='office.example.xml'/>\n</server-data>\n")
	put("office.example.xml", "<?xml version='1.0'?>\n<!-- a host -->\n<host xmlns='urn:xmpp:pie:0'"+xi+" jid='office.example'>\n<xi:include href='office.example/alice.xml'/>\n<xi:include href='office.example/bob.xml'/></host>\n")
	put("office.example/alice.xml", "<user xmlns='urn:xmpp:pie:0' name='alice' password='long enough'>\n\n<note xmlns='urn:note'"+xi+"><xi:include href='secret'/></note></user>\n")
	bob := put("office.example/bob.xml", "<?xml version='1.0'?><user xmlns='urn:xmpp:pie:0' name='bob' password='long enough'>\n\n<note xmlns='urn:note'>bad</note></user>\n")
	var flat bytes.Buffer
	lines, err := Flatten(&flat, top)
	if err != nil {
		t.Fatal(err)
	}
	o := newOffice()
	r, err := take(o, flat.String(), false)
	if err != nil || len(r.Results) != 2 || r.Results[0].State != Imported || r.Results[1].Problem == nil {
		t.Fatalf("%+v, %v in\n%s", r, err, &flat)
	}
	if file, line := lines.Place(r.Results[1].Problem.Line); file != bob || line != 3 {
		t.Errorf("the bad note is in %s:%d", file, line)
	}
	if !strings.Contains(o.rows["alice"], "<xi:include href='secret'/>") {
		t.Errorf("a user's own include: %s", o.rows["alice"])
	}
	put("again.xml", "<xi:include"+xi+" href='again.xml'/>")
	for name, want := range map[string]string{
		"<xi:include href='none.xml'/>":                       "no such file",
		"<host jid='x'><xi:include href='again.xml'/></host>": "more than 3 deep",
		"<host jid='x'>":                                          "self.xml:2",
		"<xi:include href='office.example/'/>":                    "is no file",
		"<!DOCTYPE x>":                                            "", // not the first thing, and yet refused below
		"<xi:include href='/etc/passwd'/>":                        "kept",
		"<xi:include href='http://x/y.xml'/>":                     "kept",
		"<xi:include href='office.example/bob.xml' parse='xml'/>": "kept",
	} {
		path := put("self.xml", "<server-data xmlns='urn:xmpp:pie:0'"+xi+">\n"+name+"</server-data>")
		flat.Reset()
		_, err := Flatten(&flat, path)
		switch {
		case want == "kept":
			if err != nil || !strings.Contains(flat.String(), name) {
				t.Errorf("%s: %v\n%s", name, err, &flat)
			}
		case err == nil || !strings.Contains(err.Error(), want):
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
}

// FuzzImport: whatever stands in a file, it is imported or refused, and what is
// imported can be exported and imported again.
func FuzzImport(f *testing.F) {
	f.Add([]byte(wrap("<user name='alice' password='long enough'><note xmlns='urn:note'>x</note></user>")))
	f.Add([]byte(wrap("<user name='alice'><archive xmlns='urn:xmpp:pie:0#mam'><result/></archive></user>")))
	f.Add([]byte("<p:server-data xmlns:p='urn:xmpp:pie:0' xmlns:q='u' xmlns:q2='v'><p:host jid='office.example'><p:user name='x' xmlns:q='w'><q:x/></p:user></p:host></p:server-data>"))
	f.Fuzz(func(t *testing.T, file []byte) {
		o := newOffice()
		if _, err := Import(o.house(), bytes.NewReader(file), int64(len(file)), false); err != nil {
			return
		}
		var out bytes.Buffer
		locals := slices.Sorted(maps.Keys(o.accounts))
		if err := Export(&out, "office.example", o, locals, []xmpp.Portable{o}); err != nil {
			t.Fatal(err)
		}
		again := newOffice()
		if _, err := take(again, out.String(), false); err != nil || len(again.accounts) != len(locals) {
			t.Errorf("%d of %d accounts came back: %v\n%s", len(again.accounts), len(locals), err, &out)
		}
	})
}
