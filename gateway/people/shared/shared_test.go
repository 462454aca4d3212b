package shared

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"doorway/gateway/people"
	"doorway/xmpp"
	"doorway/xmpp/jid"
)

func TestWhoSeesWhom(t *testing.T) {
	o := newOffice(t)
	o.accounts("anna", "ben", "carl", "dora")
	o.wants("anna")
	if v := o.Version(bare("anna")); v != "" {
		t.Errorf("version %q of nothing", v)
	}
	// Its own members.
	o.group("sales", "Sales", "members", "anna", "ben")
	o.wants("anna", "ben both Sales")
	o.wants("ben", "anna both Sales")
	o.wants("carl")
	// Directed: managers see sales, and not back (case 12).
	o.group("managers", "Managers", "nobody", "carl")
	o.group("sales", "Sales", "members,managers", "anna", "ben")
	o.wants("carl", "anna to Sales", "ben to Sales")
	o.wants("anna", "ben both Sales")
	if !o.Sees(bare("carl"), bare("anna")) || o.Sees(bare("anna"), bare("carl")) || o.Sees(bare("anna"), bare("anna")) {
		t.Error("the presence of a directed group goes the wrong way")
	}
	// Several groups make one item (case 10), and labels that are the same one group.
	o.group("town", "Town", "everybody", "ben", "carl")
	o.group("city", "Town", "everybody", "ben")
	o.wants("anna", "ben both Sales,Town", "carl both Town")
	o.wants("dora", "ben to Town", "carl to Town")
	o.wants("carl", "anna both Sales", "ben both Sales,Town")
	// Everybody, those too who come later (case 6), and through another group (case 14).
	o.group("all", "Colleagues", "everybody", "everybody")
	o.accounts("emil")
	o.wants("emil", "anna both Colleagues", "ben both Colleagues,Town", "carl both Colleagues,Town", "dora both Colleagues")
	o.group("all", "Colleagues", "nobody", "everybody")
	o.group("outer", "House", "everybody", "group:sales", "+49 155 50101", "bot@irc.office.example")
	o.wants("dora", "+4915550101 to House", "anna to House", "ben to House,Town", "bot to House", "carl to Town")
	o.group("sales", "Sales", "nobody", "ben")
	o.wants("dora", "+4915550101 to House", "ben to House,Town", "bot to House", "carl to Town")
	if it := o.Item(bare("dora"), bare("ben")); short(it) != "ben to House,Town" || it.Name != "Ben" ||
		it.XML != "<item jid='ben@office.example' name='Ben' subscription='to'><group>House</group><group>Town</group></item>" {
		t.Errorf("%+v", it)
	}
	if o.Item(bare("dora"), bare("anna")) != nil || o.Item(bare("nobody"), bare("ben")) != nil || o.Item(bare("ben"), bare("ben")) != nil {
		t.Error("an item of somebody who is not seen")
	}
	if o.Item(bare("+4915550101"), bare("ben")) != nil || o.Version(bare("bot@irc.office.example")) != "" {
		t.Error("somebody without an account has a roster")
	}
}

// What a change would do is told before it is made, and nothing is changed.
func TestCompare(t *testing.T) {
	o := newOffice(t)
	o.accounts("anna", "ben", "carl")
	o.group("a", "A", "members", "anna", "ben")
	before := o.now.Load()
	_, tried, err := o.people.Try(func(e *people.Edit) error {
		g := *e.Group("a")
		g.Label, g.Members = "B", []people.Member{"anna", "carl"}
		return e.PutGroup(g)
	})
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	o.Compare(tried, func(user, contact jid.JID, before, after *xmpp.SharedItem) {
		told = append(told, user.Local()+": "+short(before)+" > "+short(after))
	})
	if want := []string{"anna: ben both A > -", "anna: - > carl both B", "ben: anna both A > -", "carl: - > anna both B"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
	if o.now.Load() != before {
		t.Error("something was changed")
	}
	o.group("a", "C", "members", "anna", "carl") // and what was tried is forgotten
	o.wants("anna", "carl both C")
	o.wants("carl", "anna both C")
}

// Field staff without an account are people: their phone is their address.
func TestPhones(t *testing.T) {
	o := newOffice(t)
	o.accounts("anna")
	put := func(p people.Person) {
		t.Helper()
		o.edit(func(e *people.Edit) error { return e.PutPerson(p) })
	}
	put(people.Person{ID: "fred", Name: "Fred Field", Phones: []string{"0155 50101", "0155 50102"}})
	put(people.Person{ID: "gina", Name: "Gina", Phones: []string{"0155 50103"}, NoSMS: true})
	put(people.Person{ID: "icq", Name: "Ivo", JID: jid.MustParse("12345@icq.office.example")})
	o.group("all", "All", "everybody", "everybody")
	o.wants("anna", "+4915550101 both All", "12345 both All")
	if it := o.Item(bare("anna"), bare("+4915550101")); it == nil || it.Name != "Fred Field" || it.Contact.Domain() != "sms.office.example" {
		t.Errorf("%+v", it)
	}
	// A second phone by itself has the person's name; one that may not be texted is not shown.
	o.group("phones", "Phones", "everybody", "+4915550102", "+4915550103", "+4915550109")
	o.wants("anna", "+4915550101 both All", "+4915550102 to Phones", "+4915550109 to Phones", "12345 both All")
	if it := o.Item(bare("anna"), bare("+4915550102")); it.Name != "Fred Field" {
		t.Errorf("%+v", it)
	}
	// Hidden people are in no list of everybody, but see what everybody sees.
	o.accounts("hugo")
	put(people.Person{ID: "hugo", Account: "hugo", Name: "Hugo", Hidden: true})
	if got := o.roster("anna"); slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, "hugo") }) {
		t.Errorf("hidden, and seen: %q", got)
	}
	o.wants("hugo", "+4915550101 to All", "+4915550102 to Phones", "+4915550109 to Phones", "12345 to All", "anna to All")
	// With an account, the account is where one is reached.
	if err := o.people.Add("fred", "correct horse", ""); err != nil {
		t.Fatal(err)
	}
	if it := o.Item(bare("anna"), bare("fred")); it == nil || it.Name != "Fred Field" {
		t.Errorf("%+v", it)
	}
	if o.Item(bare("anna"), bare("+4915550101")) != nil {
		t.Error("the phone is still there beside the account")
	}
}

// naive works out an item by the words of the rule alone.
func naive(s *people.State, user, contact jid.JID) (sub string, labels []string) {
	members := func(id string) []jid.JID { return naiveMembers(s, id) }
	through := func(a, b jid.JID) (labels []string) {
		for g := range s.Groups() {
			sees := g.Visible.Members && slices.Contains(members(g.ID), a)
			for _, v := range g.Visible.Groups {
				sees = sees || slices.Contains(members(v), a)
			}
			for p := range s.People() {
				sees = sees || g.Visible.Everybody && p.Address() == a
			}
			if sees && slices.Contains(members(g.ID), b) {
				labels = append(labels, g.Label)
			}
		}
		return labels
	}
	labels = through(user, contact)
	slices.Sort(labels)
	switch {
	case len(labels) == 0:
		return "", nil
	case len(through(contact, user)) > 0:
		return "both", slices.Compact(labels)
	}
	return "to", slices.Compact(labels)
}

func naiveMembers(s *people.State, id string) (all []jid.JID) {
	for _, m := range s.Group(id).Members {
		if inner, ok := m.Group(); ok {
			all = append(all, naiveMembers(s, inner)...)
		} else if who, ok := m.Person(); ok {
			all = append(all, s.Person(who).Address())
		} else if num, ok := m.Phone(); ok {
			all = append(all, house.Phone(num))
		} else if m.IsJID() {
			all = append(all, jid.MustParse(string(m)))
		} else {
			for p := range s.People() {
				if !p.Hidden {
					all = append(all, p.Address())
				}
			}
		}
	}
	return slices.DeleteFunc(all, jid.JID.IsZero)
}

// replica is what clients know of all rosters, kept by changes alone.
type replica map[jid.JID]map[jid.JID]*xmpp.SharedItem

func (o *office) full() replica {
	all := replica{}
	for p := range o.people.State().People() {
		if p.Account == "" {
			continue
		}
		mine := map[jid.JID]*xmpp.SharedItem{}
		o.Items(p.Address(), func(it *xmpp.SharedItem) bool {
			mine[it.Contact] = it
			return true
		})
		all[p.Address()] = mine
	}
	return all
}

// TestRandomEdits holds rosters against the rule, and what changes say against
// what has changed.
func TestRandomEdits(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	o := newOffice(t)
	o.accounts("a0", "a1", "a2", "a3", "a4")
	kept := o.full()
	versions := map[jid.JID]string{}
	o.Watch(func(_ context.Context, c xmpp.SharedChange) {
		told := map[jid.JID]bool{}
		c.Users(func(u jid.JID) { told[u] = true })
		for u := range told {
			n := 0
			c.Items(u, func(contact jid.JID, before, after *xmpp.SharedItem) {
				n++
				if short(kept[u][contact]) != short(before) {
					t.Errorf("%s of %s was %s and is said to have been %s", contact, u, short(kept[u][contact]), short(before))
				}
				if before != nil && after != nil && before.XML == after.XML {
					t.Errorf("%s of %s has not changed", contact, u)
				}
				if kept[u] == nil {
					kept[u] = map[jid.JID]*xmpp.SharedItem{}
				}
				kept[u][contact] = after
				if after == nil {
					delete(kept[u], contact)
				}
			})
			if n == 0 {
				t.Errorf("%s has no changes", u)
			}
		}
		for p := range o.people.State().People() {
			if p.Account == "" {
				continue
			}
			v := o.Version(p.Address())
			if (v != versions[p.Address()]) != told[p.Address()] {
				t.Errorf("the version of %s was %q and is %q; told %v", p.Address(), versions[p.Address()], v, told[p.Address()])
			}
			versions[p.Address()] = v
		}
	})
	for range 150 {
		o.random(rnd)
		o.checkAll(kept)
		if t.Failed() {
			break
		}
	}
}

// checkAll holds every item against the rule and against what changes told.
func (o *office) checkAll(kept replica) {
	o.Helper()
	s := o.people.State()
	now := o.full()
	for u, items := range now {
		for _, n := range o.now.Load().nodes {
			sub, labels := "", []string(nil)
			if n.jid != u {
				sub, labels = naive(s, u, n.jid)
			}
			want := "-"
			if sub != "" {
				want = fmt.Sprintf("%s %s %s", n.jid.Local(), sub, strings.Join(labels, ","))
			}
			if got := short(items[n.jid]); got != want || short(kept[u][n.jid]) != want || short(o.Item(u, n.jid)) != want {
				o.Errorf("%s sees %q, want %q, changes say %q", u, got, want, short(kept[u][n.jid]))
			}
			if sees := o.Sees(u, n.jid); n.user && sees != (sub != "") {
				o.Errorf("%s sees %s: %v", u, n.jid, sees)
			}
		}
		var known, viewers []jid.JID
		o.Known(u, func(it *xmpp.SharedItem) bool { known = append(known, it.Contact); return true }, func(v jid.JID) { viewers = append(viewers, v) })
		if len(known) != len(items) {
			o.Errorf("%s knows %v", u, known)
		}
		for v := range now {
			if only := o.Sees(v, u) && !o.Sees(u, v); slices.Contains(viewers, v) != only {
				o.Errorf("%s is a mere viewer of %s: %v", v, u, !only)
			}
		}
	}
	fresh := build(house, s, nil) // as after a restart
	for u := range now {
		if got := fresh.version(fresh.user(u)).String(); got != o.Version(u) {
			o.Errorf("the version of %s is %q, and after a restart %q", u, o.Version(u), got)
		}
	}
}

// random makes one edit of any kind.
func (o *office) random(rnd *rand.Rand) {
	o.Helper()
	s := o.people.State()
	var ids []string
	for p := range s.People() {
		ids = append(ids, p.ID)
	}
	pick := func() string { return ids[rnd.IntN(len(ids))] }
	switch n := rnd.IntN(10); {
	case n == 0:
		n := rnd.IntN(1e6)
		name := fmt.Sprintf("n%d", n)
		if s.Person(name) == nil {
			o.edit(func(e *people.Edit) error {
				return e.PutPerson(people.Person{ID: name, Name: name, Phones: []string{fmt.Sprintf("+49155%06d", n)}, Hidden: rnd.IntN(4) == 0})
			})
		}
	case n == 1:
		p := *s.Person(pick())
		p.Name = fmt.Sprintf("Name %d", rnd.IntN(3))
		p.Hidden = rnd.IntN(4) == 0
		o.edit(func(e *people.Edit) error { return e.PutPerson(p) })
	case n == 2 && len(ids) > 4:
		if p := s.Person(pick()); p.Account == "" {
			o.edit(func(e *people.Edit) error { return e.RemovePerson(p.ID) })
		} else if rnd.IntN(3) == 0 {
			if err := o.people.Remove(p.Account); err != nil {
				o.Fatal(err)
			}
		}
	case n == 3:
		if id := fmt.Sprintf("g%d", rnd.IntN(6)); s.Group(id) != nil {
			o.edit(func(e *people.Edit) error { return e.RemoveGroup(id) })
		}
	default:
		o.randomGroup(rnd, s, pick)
	}
}

func (o *office) randomGroup(rnd *rand.Rand, s *people.State, pick func() string) {
	at := rnd.IntN(6)
	g := people.Group{ID: fmt.Sprintf("g%d", at), Label: fmt.Sprintf("L%d", rnd.IntN(4))}
	if old := s.Group(g.ID); old != nil {
		g = *old
	}
	switch rnd.IntN(4) {
	case 0:
		g.Label = fmt.Sprintf("L%d", rnd.IntN(4))
	case 1:
		g.Visible = people.Visible{Everybody: rnd.IntN(3) == 0, Members: rnd.IntN(2) == 0}
		for id := range maps.Keys(map[string]bool{"g0": true, "g3": true, "g5": true}) {
			if s.Group(id) != nil && rnd.IntN(2) == 0 {
				g.Visible.Groups = append(g.Visible.Groups, id)
			}
		}
	default:
		g.Members = nil
		for range rnd.IntN(5) {
			g.Members = append(g.Members, people.Member(pick()))
		}
		if rnd.IntN(6) == 0 {
			g.Members = append(g.Members, people.Everybody)
		}
		if rnd.IntN(4) == 0 {
			g.Members = append(g.Members, "bot@irc.office.example", "+4915550999999")
		}
		if inner := fmt.Sprintf("g%d", at+1+rnd.IntN(6)); s.Group(inner) != nil { // upwards only: no circles
			g.Members = append(g.Members, people.GroupMember(inner))
		}
	}
	o.edit(func(e *people.Edit) error { return e.PutGroup(g) })
}
