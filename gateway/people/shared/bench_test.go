package shared

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"doorway/gateway/people"
	"doorway/gateway/store"
	"doorway/xmpp"
	"doorway/xmpp/jid"
)

// crowd is an office of n accounts, all of whom see each other. kinds parts
// them into so many projects, three for each person, so that there are as many
// classes as people when it is large.
func crowd(t testing.TB, n, kinds int) (*people.People, *Roster) {
	t.Helper()
	dir := t.TempDir()
	s, err := store.Open(dir, store.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]any{}
	for i := range n {
		local := fmt.Sprintf("user%04d", i)
		rows[local] = map[string]any{"v": 1, "local": local, "name": fmt.Sprintf("Firstname Lastname %d", i)}
	}
	if err := s.Table("accounts").Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, p, r := openOffice(t, dir)
	err = p.Edit(context.Background(), func(e *people.Edit) error {
		groups := make([]people.Group, kinds)
		rnd := rand.New(rand.NewPCG(1, 2))
		for i := range n * min(kinds, 3) {
			g := &groups[rnd.IntN(kinds)]
			g.Members = append(g.Members, people.Member(fmt.Sprintf("user%04d", i%n)))
		}
		for i, g := range groups {
			g.ID, g.Visible.Everybody = fmt.Sprintf("project%d", i), true
			if err := e.PutGroup(g); err != nil {
				return err
			}
		}
		return e.PutGroup(people.Group{ID: "all", Label: "Colleagues", Members: []people.Member{people.Everybody}, Visible: people.Visible{Everybody: true}})
	})
	if err != nil {
		t.Fatal(err)
	}
	return p, r
}

func sizes(b *testing.B, f func(b *testing.B, p *people.People, r *Roster)) {
	for _, kinds := range []int{0, 100} {
		b.Run(fmt.Sprintf("%dprojects", kinds), func(b *testing.B) {
			p, r := crowd(b, 2000, kinds)
			f(b, p, r)
			b.ReportMetric(float64(len(r.now.Load().classes)), "classes")
		})
	}
}

// BenchmarkView2000 is what one login takes: a whole roster and its version.
func BenchmarkView2000(b *testing.B) {
	sizes(b, func(b *testing.B, _ *people.People, r *Roster) {
		users := everyone(r)
		b.ReportAllocs()
		bytes, i := 0, 0
		for b.Loop() {
			u := users[i%len(users)]
			i++
			bytes = len(r.Version(u))
			r.Items(u, func(it *xmpp.SharedItem) bool { bytes += len(it.XML); return true })
		}
		b.ReportMetric(float64(bytes), "bytes/roster")
	})
}

// BenchmarkEdit2000 is one person more in an office of 2,000 who are all
// online: what is worked out for all of them, with each one's new version. The
// edit itself, without the disk, is in it.
func BenchmarkEdit2000(b *testing.B) {
	sizes(b, func(b *testing.B, p *people.People, r *Roster) {
		users := everyone(r)
		for _, u := range users {
			r.Version(u)
		}
		items := 0
		r.Watch(func(_ context.Context, c xmpp.SharedChange) {
			c.Users(func(u jid.JID) {
				c.Items(u, func(_ jid.JID, _, after *xmpp.SharedItem) { items++ })
				r.Version(u)
			})
		})
		state := p.State()
		b.ReportAllocs()
		n := 0
		for b.Loop() {
			n++
			_, after, err := p.Try(func(e *people.Edit) error {
				return e.PutPerson(people.Person{ID: "new", Name: "New", Phones: []string{fmt.Sprintf("+49155%06d", n)}})
			})
			if err != nil {
				b.Fatal(err)
			}
			r.changed(context.Background(), state, after)
			state = after
		}
		b.ReportMetric(float64(items)/float64(n), "items/op")
	})
}

// BenchmarkSees2000 is what a presence asks of each recipient.
func BenchmarkSees2000(b *testing.B) {
	sizes(b, func(b *testing.B, _ *people.People, r *Roster) {
		users := everyone(r)
		b.ReportAllocs()
		for b.Loop() {
			r.Known(users[0], func(*xmpp.SharedItem) bool { return true }, func(jid.JID) {})
		}
	})
}

// BenchmarkMemory2000 is what 2,000 people take in memory once each has asked
// for their roster.
func BenchmarkMemory2000(b *testing.B) {
	for _, kinds := range []int{0, 100} {
		b.Run(fmt.Sprintf("%dprojects", kinds), func(b *testing.B) {
			for b.Loop() {
				p, r := crowd(b, 2000, kinds)
				old, state := r.now.Load(), p.State()
				r.now.Store(build(house, state, nil))
				for _, u := range everyone(r) {
					r.Items(u, func(*xmpp.SharedItem) bool { return true })
					r.Version(u)
				}
				full := heap()
				r.now.Store(old)
				b.ReportMetric(float64(full-heap()), "B-heap")
				runtime.KeepAlive(r)
			}
		})
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC() // what finalizers let go of
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func everyone(r *Roster) []jid.JID {
	var all []jid.JID
	for _, n := range r.now.Load().nodes {
		if n.user {
			all = append(all, n.jid)
		}
	}
	return all
}
