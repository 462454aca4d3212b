package xmpptest

import (
	"fmt"
	"strings"
	"testing"
)

func TestParsePlays(t *testing.T) {
	const head = "# Somebody who is $state.\nsection: s\nservers: $servers\nstanding: alice $state bob\n"
	all, err := ParsePlays("p", head+"for: state | servers      | push\n     none  | both         | ask='subscribe'\n     to+in | doorway; why | -\n"+
		"\nalice/a online\ndoorway: alice/a < <iq>\n  <item $push/></iq>\nalice/a forgets\nserver stops\n")
	if err != nil || len(all) != 2 {
		t.Fatalf("%v %v", all, err)
	}
	none, to := all[0], all[1]
	if none.Name != "p/none" || !none.Both || none.Title != "Somebody who is none." || none.standing[0] != [3]string{"alice", "none", "bob"} || !none.Stops() {
		t.Errorf("%+v", none)
	}
	if len(none.steps) != 4 || none.steps[1] != (step{10, "alice/a", "<", "<iq><item ask='subscribe'/></iq>", true}) {
		t.Errorf("%+v", none.steps)
	}
	if to.Name != "p/to+in" || to.Both || to.Reason != "why" || len(to.steps) != 3 || to.steps[1] != (step{12, "alice/a", "forgets", "", false}) {
		t.Errorf("%+v", to)
	}
	if one, err := ParsePlays("p", "# t\nsection: s\nservers: both\n\nalice/a > $state\n"); err != nil || len(one) != 1 || one[0].steps[0].arg != "$state" {
		t.Errorf("%v %v", one, err)
	}
	for _, c := range []struct{ text, want string }{
		{head + "for: state | servers\n\nalice/a online\n", "p:5: the table has no rows"},
		{head + "for: state | servers\n     none\n\nalice/a online\n", "p:6: 1 cells under 2 columns"},
		{head + "for: state | servers\n     none | both\n\nalice/a > $other\n", "p:6: the table has no column other"},
		{head + "for: state | servers\n     odd | both\n\nalice/a online\n", "p/odd:4: standing"},
		{head + "for: state | servers\n     none | both\n\nalice/a sings\n", "p/none:8: no step"},
		{"", "p:1: a play begins"},
	} {
		if _, err := ParsePlays("p", c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %s", c.text, err, c.want)
		}
	}
}

// TestKeep: a pattern keeps what it asks for, in children too.
func TestKeep(t *testing.T) {
	got, err := parsePattern("<iq id='7'><a xmlns='urn:x' n='1'/><a xmlns='urn:x' n='2' m='3'/></iq>")
	if err != nil {
		t.Fatal(err)
	}
	want, err := parsePattern("<iq id='?id'><a xmlns='urn:x' n='2' m='?m'/></iq>")
	if err != nil {
		t.Fatal(err)
	}
	kept := map[string]string{}
	if !matches(got, want) {
		t.Error("no match")
	}
	keep(kept, got, want)
	if s := fmt.Sprint(kept); s != "map[id:7 m:3]" {
		t.Error(s)
	}
	if want, _ = parsePattern("<iq to='?to'/>"); matches(got, want) {
		t.Error("an attribute that is absent is kept")
	}
}
