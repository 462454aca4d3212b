package presence_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/mod/presence"
	"doorway/xmpp/mod/roster"
	"doorway/xmpp/router"
	"doorway/xmpp/stanza"
)

// memory is a table that is on disk at once.
type memory struct {
	mu   sync.Mutex // guards rows
	rows map[string][]byte
}

func (m *memory) Table(name string) xmpp.Table {
	if name != "roster" {
		return &memory{}
	}
	return m
}

func (m *memory) LaterAll(changes map[string]map[string]any, done func(error)) {
	for table, c := range changes {
		if table == "roster" {
			m.Later(c, nil)
		}
	}
	done(nil)
}

func (m *memory) Get(string, any) (bool, error) { return false, nil }

func (m *memory) Write(changes map[string]any) error { m.Later(changes, nil); return nil }

func (m *memory) Later(changes map[string]any, _ func(error)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, v := range changes {
		m.rows[k], _ = json.Marshal(v) // ignored: plain structs
	}
}

func (m *memory) Range(from, to string, _ bool, f func(string, []byte) bool) error {
	m.mu.Lock()
	rows := maps.Clone(m.rows)
	m.mu.Unlock()
	for _, k := range slices.Sorted(maps.Keys(rows)) {
		if k >= from && k < to {
			f(k, rows[k])
		}
	}
	return nil
}

func (m *memory) Next() (uint64, error) { return 0, nil }

// sink is a stream that counts.
type sink struct{ n int }

func (s *sink) Hold() func(error)                    { return func(error) {} }
func (s *sink) Send(context.Context, *stanza.Stanza) { s.n++ }
func (s *sink) Close(*stanza.StreamError)            {}
func (s *sink) Secure() bool                         { return true }
func (s *sink) Addr() string                         { return "bench" }

// BenchmarkPresenceBroadcast is one update of a user with 200 contacts, all of
// them online, through roster, presence and router to the streams' queues.
func BenchmarkPresenceBroadcast(b *testing.B) {
	for _, online := range []int{200, 10} {
		b.Run(fmt.Sprintf("online=%d", online), func(b *testing.B) {
			ctx := context.Background()
			subs := roster.New(nil)
			r := router.New(router.Config{Domain: domain, Accounts: everybody{}, Store: &memory{rows: map[string][]byte{}}})
			if err := r.Load(subs, presence.New(subs)); err != nil {
				b.Fatal(err)
			}
			user := jid.MustParse(alice)
			for i := range 200 {
				c := jid.MustParse(fmt.Sprintf("p%d@%s", i, domain))
				if err := subs.Add(ctx, user, c, "", nil, "both"); err != nil {
					b.Fatal(err)
				}
				if i < online {
					s, err := r.Bind(ctx, c, "desk", &sink{})
					if err != nil {
						b.Fatal(err)
					}
					if err := s.Handle(ctx, stanza.New(stanza.Presence, "", "", jid.JID{}, jid.JID{}, "")); err != nil {
						b.Fatal(err)
					}
				}
			}
			a, err := r.Bind(ctx, user, "desk", &sink{})
			if err != nil {
				b.Fatal(err)
			}
			st := stanza.New(stanza.Presence, "", "", jid.JID{}, jid.JID{}, "<show>away</show><priority>5</priority>")
			b.ReportAllocs()
			for b.Loop() {
				if err := a.Handle(ctx, st); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
