package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"doorway/gateway/control"
	"doorway/xmpp/jid"
)

const withNumbers = "[sms]\ncountry = \"49\"\n"

// TestSharedRostersPage runs the examples of docs/shared-rosters.md, in order.
func TestSharedRostersPage(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "shared-rosters.md"))
	if err != nil {
		t.Fatal(err)
	}
	b := startBox(t, withNumbers)
	dir := t.TempDir() + "/"
	var kind, command string
	var want, csv []string
	seen := 0
	check := func() {
		if command == "" {
			return
		}
		seen++
		words := fields(t, strings.TrimPrefix(command, "doorway "))
		stdin := ""
		if n := len(words); n > 2 && words[n-2] == "<" {
			words, stdin = words[:n-2], "correct horse battery\n"
		}
		for i, w := range words {
			if strings.HasSuffix(w, ".csv") {
				words[i] = dir + w
			}
		}
		got, _ := b.run(t, stdin, words...)
		got = strings.ReplaceAll(strings.ReplaceAll(got, dir, ""), "office.localhost", "office.example")
		if squeeze(got) != squeeze(strings.Join(want, "\n")) {
			t.Errorf("%s\nprints\n%s\nand the page says\n%s", command, got, strings.Join(want, "\n"))
		}
		command, want = "", nil
	}
	for _, line := range strings.Split(string(page), "\n") {
		switch {
		case strings.HasPrefix(line, "```"):
			check()
			if kind == "csv" {
				if err := os.WriteFile(dir+"people.csv", []byte(strings.Join(csv, "\n")), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			kind = strings.TrimPrefix(line, "```")
		case kind == "csv":
			csv = append(csv, line)
		case kind == "console" && strings.HasPrefix(line, "$ "):
			check()
			command = line[2:]
		case kind == "console":
			want = append(want, line)
		}
	}
	if seen < 10 {
		t.Errorf("only %d examples were seen", seen)
	}
}

// squeeze makes nothing of the width of columns, which names of domains change.
func squeeze(s string) string {
	var lines []string
	for _, l := range strings.Split(strings.TrimSpace(s), "\n") {
		lines = append(lines, strings.Join(strings.Fields(l), " "))
	}
	return strings.Join(lines, "\n")
}

// fields parts a command line; quotes keep spaces.
func fields(t *testing.T, s string) (words []string) {
	t.Helper()
	for i, part := range strings.Split(s, `"`) {
		if i%2 == 1 {
			words = append(words, part)
		} else {
			words = append(words, strings.Fields(part)...)
		}
	}
	return words
}

func TestPeopleAndGroupCommands(t *testing.T) {
	b := startBox(t, withNumbers)
	dir := t.TempDir()
	file := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	bad := file("bad.csv", "name,phones\nAnna,0155 50101\nBen,call me\n")
	good := file("good.csv", "name,phones,groups,account\nAnna Berg,0155 50101,sales,anna\nBen,0155 50102,sales,\n")
	face := file("face.png", "\x89PNG\r\n\x1a\nbody")
	secret := filepath.Join(dir, "passwords.csv")
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"people", "list"}, exitOK, "nobody like that"},
		{[]string{"group", "list"}, exitOK, "no groups yet"},
		{[]string{"people", "import", bad}, exitFailed, "line 3, column 2 (phones): “call me” is not a phone number"},
		{[]string{"people", "import", filepath.Join(dir, "none.csv")}, exitFailed, "no such file"},
		{[]string{"people", "import", good}, exitUsage, "name a new file for the passwords with --passwords FILE"},
		{[]string{"people", "import", good, "--passwords", bad}, exitUsage, "is there already"},
		{[]string{"people", "import", good, "--dry-run"}, exitOK, "Nothing was changed. It would be: 2 people added"},
		{[]string{"people", "list"}, exitOK, "nobody like that"},
		{[]string{"people", "import", good, "--passwords", secret}, exitOK, "New accounts: 1."},
		{[]string{"people", "import", good}, exitOK, "0 people added, 0 changed, 2 as they are."},
		{[]string{"people", "list", "berg"}, exitOK, "anna@office.localhost"},
		{[]string{"people", "list", "--group", "none"}, exitFailed, "no group none"},
		{[]string{"people", "show", "0155/50102"}, exitOK, "reached at   +4915550102@sms.office.localhost"},
		{[]string{"people", "show", "zoe"}, exitFailed, "no person zoe"},
		{[]string{"people", "add", "ben"}, exitFailed, "To change something use `doorway people edit ben`"},
		{[]string{"people", "add", "zoe", "--phone", "+4915550102"}, exitFailed, "is the number of Ben (ben) and of zoe (zoe)"},
		{[]string{"people", "add", "zoe", "--sms", "perhaps"}, exitUsage, "write yes or no"},
		{[]string{"people", "edit", "ben", "--photo", face, "--phone", "0155 50102,0155 50103", "--sms", "no"}, exitOK, "photo        image/png, 12 bytes"},
		{[]string{"people", "show", "ben"}, exitOK, "reached at   nowhere"},
		{[]string{"people", "remove", "anna"}, exitFailed, "Remove it with `doorway user remove anna`"},
		{[]string{"group", "show", "Sales"}, exitOK, "its own members"},
		{[]string{"group", "add", "sales"}, exitFailed, "already a group sales"},
		{[]string{"group", "add", "all", "everybody", "--label", "Colleagues", "--visible", "everybody", "--room", "autojoin", "--manager", "anna"}, exitOK, "is visible to everybody"},
		{[]string{"group", "edit", "all"}, exitUsage, "nothing is to be changed"},
		{[]string{"group", "edit", "all", "--visible", "nobody,sales"}, exitFailed, "cannot be visible to nobody and to sales"},
		{[]string{"group", "edit", "all", "--visible", "zoe"}, exitFailed, "no group zoe that could see all"},
		{[]string{"group", "member", "add", "all", "all"}, exitFailed, "write group:all for everyone in it"},
		{[]string{"group", "member", "add", "all", "group:all"}, exitFailed, "all cannot be a member of itself"},
		{[]string{"group", "member", "add", "sales", "anna", "+4915550109"}, exitOK, "added to: sales +4915550109.\nin it already: anna."},
		{[]string{"group", "member", "remove", "sales", "+4915550109", "+4915550109", "ben"}, exitOK, "removed from: sales +4915550109, ben."},
		{[]string{"group", "member", "add", "sales"}, exitUsage, "missing"},
		{[]string{"group", "preview", "ben"}, exitFailed, "Ben has no account here"},
		{[]string{"group", "remove", "sales"}, exitOK, "removed"},
		{[]string{"group", "remove", "sales"}, exitFailed, "no group sales"},
		{[]string{"people", "remove", "ben"}, exitOK, "ben is removed"},
		{[]string{"people", "export"}, exitOK, "anna,anna,,Anna Berg,,,,+4915550101,,,,,yes,no,no,,"},
		{[]string{"user", "list"}, exitOK, "Anna Berg"},
	} {
		out, code := b.run(t, "", c.args...)
		if code != c.code || !strings.Contains(out, c.want) {
			t.Errorf("doorway %s: exit %d, want %d, with %q in\n%s", strings.Join(c.args, " "), code, c.code, c.want, out)
		}
	}
	if st, err := os.Stat(secret); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the file of passwords: %v %v", st, err)
	}
	passwords, err := os.ReadFile(secret)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(passwords), "anna,")
	c := dialClient(t, b.addr(t, "XMPP"), filepath.Join(b.dir, "ca", "ca.pem"), "office.localhost", "anna", strings.TrimSpace(rest))
	t.Cleanup(func() { _ = c.Close() }) // ignored: the server may have gone first
	for _, args := range [][]string{{"people", "list"}, {"people", "show", "anna"}, {"group", "list"}, {"group", "show", "all"}, {"group", "preview", "anna"}, {"people", "export"}} {
		out, code := b.run(t, "", append(args, "--json")...)
		var v any
		if err := json.Unmarshal([]byte(out), &v); err != nil || code != exitOK {
			t.Errorf("%q --json: exit %d, %v in %s", args, code, err, out)
		}
	}
}

// Two clients see a group come, change and go, without logging in again.
func TestGroupsReachClients(t *testing.T) {
	b := startBox(t, withNumbers)
	ca := filepath.Join(b.dir, "ca", "ca.pem")
	must := func(stdin string, args ...string) {
		t.Helper()
		if out, code := b.run(t, stdin, args...); code != exitOK {
			t.Fatalf("doorway %s: %s", strings.Join(args, " "), out)
		}
	}
	client := func(name string) *chatter {
		t.Helper()
		must("correct horse\n", "user", "add", name, "--name", strings.ToUpper(name))
		c := dialClient(t, b.addr(t, "XMPP"), ca, "office.localhost", name, "correct horse")
		t.Cleanup(func() { _ = c.Close() }) // ignored: the server may have gone first
		c.present(t)
		return c
	}
	push := func(c *chatter, parts ...string) {
		t.Helper()
		c.sees(t, "push of "+strings.Join(parts, " "), func(s string) bool {
			for _, p := range append(parts, "jabber:iq:roster", "type='set'") {
				if !strings.Contains(s, p) {
					return false
				}
			}
			return true
		})
	}
	presence := func(c *chatter, from, typ string) {
		t.Helper()
		c.sees(t, typ+" presence of "+from, func(s string) bool {
			return strings.HasPrefix(s, "<presence") && strings.Contains(s, "from='"+from+"@") && strings.Contains(s, "type='unavailable'") == (typ != "")
		})
	}
	anna, ben := client("anna"), client("ben")
	must("", "group", "add", "team", "anna", "ben", "--label", "Team")
	push(anna, "ben@office.localhost", "name='BEN'", "subscription='both'", "<group>Team</group>")
	presence(anna, "ben", "")
	push(ben, "anna@office.localhost", "subscription='both'")
	presence(ben, "anna", "")
	must("", "people", "add", "fred", "--name", "Fred", "--phone", "0155 50101")
	must("", "group", "member", "add", "team", "fred")
	push(anna, "+4915550101@sms.office.localhost", "name='Fred'")
	must("", "group", "add", "all", "everybody", "--label", "All", "--visible", "everybody")
	push(anna, "ben@office.localhost", "<group>All</group><group>Team</group>")
	carl := client("carl") // who is there from the first login on
	push(anna, "carl@office.localhost", "<group>All</group>")
	presence(anna, "carl", "")
	must("", "group", "edit", "team", "--label", "Crew")
	push(ben, "anna@office.localhost", "<group>All</group><group>Crew</group>")
	must("", "group", "remove", "all")
	presence(carl, "anna", "unavailable")
	push(carl, "anna@office.localhost", "subscription='remove'")
	push(anna, "ben@office.localhost", "<group>Crew</group></item>")
	must("", "user", "remove", "ben")
	push(anna, "ben@office.localhost", "subscription='remove'")
}

// TestKillImport kills doorway while lists are taken over: of each list there
// is everybody afterwards or nobody, and all of one that was answered.
func TestKillImport(t *testing.T) {
	b := startBox(t, withNumbers)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	const size = 300
	answered := 0
	for round := range 8 {
		var list strings.Builder
		list.WriteString("id,name,phones,groups\n")
		for i := range size {
			fmt.Fprintf(&list, "r%d-%d,Person %d,+49155%02d%04d,round%d\n", round, i, i, round, i, round)
		}
		done := make(chan error, 1)
		go func() { // waited for below
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			done <- control.Call(ctx, b.dir, "people.import", control.PeopleImport{CSV: list.String()}, nil)
		}()
		after := time.NewTimer(time.Duration(rnd.IntN(40)) * time.Millisecond)
		var err error
		select {
		case err = <-done:
			done <- err
		case <-after.C:
		}
		b.process.kill(t)
		err = <-done
		b.start(t)
		out, code := b.run(t, "", "people", "list", fmt.Sprintf("r%d-", round), "--json")
		var people []control.Person
		if e := json.Unmarshal([]byte(out), &people); e != nil || code != exitOK {
			t.Fatalf("%v: %s", e, out)
		}
		groups, _ := b.run(t, "", "group", "list")
		grouped := strings.Contains(groups, fmt.Sprintf("round%d ", round))
		if n := len(people); n != 0 && n != size || grouped != (n == size) || err == nil && n != size {
			t.Errorf("round %d, answered %v: %d people, group %v", round, err, n, grouped)
		}
		if err == nil {
			answered++
		}
	}
	t.Logf("%d of 8 lists were answered", answered)
}

// A group's room and its bookmark come with the membership and go with it.
func TestRoomsOfGroups(t *testing.T) {
	b := startBox(t, withNumbers)
	must := func(stdin string, args ...string) {
		t.Helper()
		if out, code := b.run(t, stdin, args...); code != exitOK {
			t.Fatalf("doorway %s: %s", strings.Join(args, " "), out)
		}
	}
	must("correct horse\n", "user", "add", "anna")
	must("", "group", "add", "team", "anna", "--label", "The Team", "--room", "autojoin")
	c := dialClient(t, b.addr(t, "XMPP"), filepath.Join(b.dir, "ca", "ca.pem"), "office.localhost", "anna", "correct horse")
	t.Cleanup(func() { _ = c.Close() }) // ignored: the server may have gone first
	c.present(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	bookmarked := func(want bool) {
		t.Helper()
		until(t, 30*time.Second, func() (bool, string) {
			got, err := c.Get(ctx, jid.JID{}, "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:bookmarks:1'/></pubsub>")
			if err != nil {
				return false, err.Error()
			}
			s := got.String()
			has := strings.Contains(s, "id='team@conference.office.localhost'") && strings.Contains(s, "The Team") && strings.Contains(s, "autojoin='true'")
			return has == want, "bookmarks: " + s
		})
	}
	bookmarked(true)
	if err := c.Send("<presence to='team@conference.office.localhost/anna'><x xmlns='http://jabber.org/protocol/muc'/></presence>"); err != nil {
		t.Fatal(err)
	}
	c.sees(t, "own presence", func(s string) bool {
		return strings.Contains(s, "code='110'") && strings.Contains(s, "affiliation='member'")
	})
	must("", "group", "edit", "team", "--manager", "anna")
	c.sees(t, "being an admin", func(s string) bool {
		return strings.Contains(s, "code='110'") && strings.Contains(s, "affiliation='admin'")
	})
	must("", "group", "edit", "team", "--manager", "")
	must("", "group", "member", "remove", "team", "anna")
	c.sees(t, "leaving", func(s string) bool { return strings.Contains(s, "code='321'") })
	bookmarked(false)
}

// An administrator makes a group from the chat client; nobody else can.
func TestGroupsByAdHocCommands(t *testing.T) {
	b := startBox(t, withNumbers)
	clients := map[string]*chatter{}
	for _, name := range []string{"alice", "bob"} { // alice is the administrator
		if out, code := b.run(t, "correct horse\n", "user", "add", name); code != exitOK {
			t.Fatal(out)
		}
		c := dialClient(t, b.addr(t, "XMPP"), filepath.Join(b.dir, "ca", "ca.pem"), "office.localhost", name, "correct horse")
		t.Cleanup(func() { _ = c.Close() }) // ignored: the server may have gone first
		c.present(t)
		clients[name] = c
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	home := jid.MustParse("office.localhost")
	run := func(name, attributes, form string) string {
		t.Helper()
		got, err := clients[name].Set(ctx, home, "<command xmlns='http://jabber.org/protocol/commands' node='urn:doorway:people#group-add' "+attributes+">"+form+"</command>")
		if err != nil {
			return err.Error()
		}
		return got.String()
	}
	if s := run("bob", "action='execute'", ""); !strings.Contains(s, "forbidden") {
		t.Errorf("bob may make groups: %s", s)
	}
	page := run("alice", "action='execute'", "")
	_, rest, _ := strings.Cut(page, "sessionid='")
	session, _, _ := strings.Cut(rest, "'")
	fill := func(members string) string {
		return "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>urn:doorway:people</value></field><field var='id'><value>team</value></field>" +
			"<field var='label'><value>Team</value></field><field var='visible'><value>members</value></field><field var='room'><value>none</value></field>" +
			"<field var='members'>" + members + "</field></x>"
	}
	if s := run("alice", "action='complete' sessionid='"+session+"'", fill("<value>zoe</value>")); !strings.Contains(s, "There is no person zoe.") {
		t.Errorf("refused with %s", s)
	}
	if s := run("alice", "action='complete' sessionid='"+session+"'", fill("<value>alice</value><value>bob@office.localhost</value>")); !strings.Contains(s, "status='completed'") {
		t.Errorf("answered %s", s)
	}
	clients["bob"].sees(t, "alice in the group", func(s string) bool {
		return strings.Contains(s, "type='set'") && strings.Contains(s, "jid='alice@office.localhost'") && strings.Contains(s, "<group>Team</group>")
	})
	if out, code := b.run(t, "", "group", "show", "team"); code != exitOK || !strings.Contains(out, "bob") {
		t.Error(out)
	}
}
