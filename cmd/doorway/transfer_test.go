package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

// archived matches what differs between two archives of the same messages.
var archived = regexp.MustCompile(`(<result xmlns='urn:xmpp:mam:2' id)='[0-9a-f]+'`)

func (b *box) dial(t *testing.T, name string) *chatter {
	t.Helper()
	c := dialClient(t, b.addr(t, "XMPP"), b.dir+"/ca/ca.pem", "office.localhost", name, "correct horse")
	t.Cleanup(func() { _ = c.Close() }) // ignored: the server may have gone first
	return c
}

func (c *chatter) set(t *testing.T, payload string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if _, err := c.Set(ctx, jid.JID{}, payload); err != nil {
		t.Fatalf("%s: %v", payload, err)
	}
}

// TestTransfer takes accounts with everything they have from one server to
// another (XEP-0227), where people log in with the passwords they had.
func TestTransfer(t *testing.T) {
	from := startBox(t, "")
	for _, name := range []string{"alice", "bob"} {
		if out, code := from.run(t, "correct horse\n", "user", "add", name, "--name", "The <"+name+">"); code != exitOK {
			t.Fatal(out)
		}
	}
	alice, bob := from.dial(t, "alice"), from.dial(t, "bob")
	alice.present(t)
	for _, payload := range []string{
		"<query xmlns='jabber:iq:roster'><item jid='carol@elsewhere.example' name='C &amp; A'><group>Friends</group></item></query>",
		"<query xmlns='jabber:iq:private'><p:pref xmlns:p='urn:pref' p:a='b'>x<p:y/></p:pref></query>",
		"<vCard xmlns='vcard-temp'><FN>Alice</FN></vCard>",
		"<block xmlns='urn:xmpp:blocking'><item jid='spam@elsewhere.example'/></block>",
		"<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='urn:example:mood'><item id='now'><mood xmlns='urn:example:mood'>fine</mood></item></publish></pubsub>",
		"<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='urn:example:secret'><item id='1'><s xmlns='urn:s'/></item></publish>" +
			"<publish-options><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>http://jabber.org/protocol/pubsub#publish-options</value></field>" +
			"<field var='pubsub#access_model'><value>whitelist</value></field></x></publish-options></pubsub>",
	} {
		alice.set(t, payload)
	}
	if err := alice.Send("<message type='chat' id='one' to='bob@office.localhost'><body>for later &lt;1&gt;</body></message><presence type='subscribe' to='bob@office.localhost'/>"); err != nil {
		t.Fatal(err)
	}
	alice.settle(t)
	if err := bob.Close(); err != nil {
		t.Log(err)
	}
	if out, code := from.run(t, "", "user", "disable", "bob"); code != exitOK {
		t.Fatal(out)
	}
	first := filepath.Join(t.TempDir(), "first.xml")
	if out, code := from.run(t, "", "user", "export", "--all", "--file", first); code != exitOK || !strings.Contains(out, "2 accounts") {
		t.Fatalf("exit %d: %s", code, out)
	}
	if st, err := os.Stat(first); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the file of keys: %v, %v", st.Mode(), err)
	}

	to := startBox(t, "")
	if out, code := to.run(t, "", "user", "import", first, "--dry-run"); code != exitOK || strings.Count(out, "can be imported.") != 2 {
		t.Errorf("trial: exit %d: %s", code, out)
	}
	if out, code := to.run(t, "", "user", "import", first); code != exitOK || strings.Count(out, "is imported.") != 2 || strings.Contains(out, "left out") {
		t.Fatalf("exit %d: %s", code, out)
	}
	second := filepath.Join(t.TempDir(), "second.xml")
	if out, code := to.run(t, "", "user", "export", "--all", "--file", second); code != exitOK {
		t.Fatal(out)
	}
	was, now := readFile(t, first), readFile(t, second)
	for _, want := range []string{"C &amp; A", "urn:pref", "<FN>Alice</FN>", "spam@elsewhere.example", ">fine<", "whitelist", "for later", "type='subscribe'", "urn:xmpp:mam:2", "disabled='true'", "SCRAM-SHA-256"} {
		if !strings.Contains(was, want) {
			t.Errorf("not exported: %s", want)
		}
	}
	if a, b := archived.ReplaceAllString(was, "$1"), archived.ReplaceAllString(now, "$1"); a != b {
		t.Errorf("exported\n%s\nand after the import\n%s", a, b)
	}
	checkTransferred(t, to)
	checkRefusals(t, to, first)
	for _, b := range []*box{from, to} {
		if left, _ := filepath.Glob(filepath.Join(b.dir, "*port-*.xml")); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

// checkTransferred has the two use what came with them.
func checkTransferred(t *testing.T, to *box) {
	t.Helper()
	alice := to.dial(t, "alice")
	alice.present(t)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	got, err := alice.Get(ctx, jid.JID{}, "<query xmlns='jabber:iq:roster'/>")
	if err != nil || !strings.Contains(got.Inner(), "name='C &amp; A'") || !strings.Contains(got.Inner(), "ask='subscribe'") {
		t.Errorf("roster %v, %v", got, err)
	}
	got, err = alice.Get(ctx, jid.JID{}, "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:example:mood'/></pubsub>")
	if err != nil || !strings.Contains(got.Inner(), ">fine<") {
		t.Errorf("mood %v, %v", got, err)
	}
	if out, code := to.run(t, "", "user", "enable", "bob"); code != exitOK {
		t.Fatal(out)
	}
	bob := to.dial(t, "bob")
	if err := bob.Send("<presence/>"); err != nil {
		t.Fatal(err)
	}
	bob.sees(t, "request that waits", func(xml string) bool { return strings.Contains(xml, "type='subscribe'") })
	st := bob.sees(t, "message that waits", func(xml string) bool { return strings.Contains(xml, "for later") })
	if st.Body() != "for later <1>" || st.ID != "one" || st.Kind != stanza.Message {
		t.Errorf("message %v", st)
	}
}

// checkRefusals: what cannot be is said, and named by file and line.
func checkRefusals(t *testing.T, to *box, file string) {
	t.Helper()
	dir := t.TempDir()
	put := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	user := "<user name='carol' password='long enough'>\n<query xmlns='jabber:iq:roster'><item jid='a b'/></query></user>\n"
	head := "<server-data xmlns='urn:xmpp:pie:0'>\n<host jid='office.localhost'>\n"
	bad := put("bad.xml", head+user+"</host></server-data>\n")
	mixed := put("mixed.xml", head+user+"<user name='dave' password='long enough'/></host></server-data>\n")
	broken := put("broken.xml", head+"<user name='eve' password='long enough'/>")
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"user", "import", file}, exitFailed, "There is already an account alice."},
		{[]string{"user", "import", bad}, exitFailed, bad + ":4: \"a b\" in the roster is no address."},
		{[]string{"user", "import", mixed}, exitPartial, "1 of 2 accounts were not imported"},
		{[]string{"user", "import", broken}, exitFailed, broken + ":3:"},
		{[]string{"user", "import", filepath.Join(dir, "none.xml")}, exitFailed, "no such file"},
		{[]string{"user", "import"}, exitUsage, "missing"},
		{[]string{"user", "export", "alice", "--file", file}, exitFailed, "is there already"},
		{[]string{"user", "export", "zoe", "--file", filepath.Join(dir, "zoe.xml")}, exitFailed, "no account zoe"},
		{[]string{"user", "export", "--file", "x"}, exitUsage, "--all"},
		{[]string{"user", "export", "--all", "alice", "--file", "x"}, exitUsage, "--all"},
		{[]string{"user", "export", "alice"}, exitUsage, "--file"},
		{[]string{"user", "export", "alice", "--file", "-"}, exitOK, "<user name='alice'>"},
	} {
		out, code := to.run(t, "", c.args...)
		if code != c.code || !strings.Contains(out, c.want) {
			t.Errorf("doorway %s: exit %d, want %d, with %q in\n%s", strings.Join(c.args, " "), code, c.code, c.want, out)
		}
	}
	out, code := to.run(t, "", "user", "import", bad, "--json", "--dry-run")
	var report struct {
		Results []struct {
			State   string
			Problem importLine
		}
	}
	if err := json.Unmarshal([]byte(strings.SplitAfter(out, "\n")[0]), &report); err != nil || code != exitFailed || len(report.Results) != 1 || report.Results[0].Problem.Line != 4 {
		t.Errorf("--json: exit %d, %v: %s", code, err, out)
	}
	if out, _ := to.run(t, "", "user", "list"); strings.Contains(out, "carol") || strings.Contains(out, "eve") || !strings.Contains(out, "dave") {
		t.Errorf("accounts: %s", out)
	}
	if _, err := os.Stat(filepath.Join(dir, "zoe.xml")); err == nil {
		t.Error("a file without an account is left behind")
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
