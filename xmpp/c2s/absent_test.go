package c2s

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"doorway/xmpp"
	"doorway/xmpp/stanza"
)

// TestNotResumedInTime: presence ends, and nobody's message is lost.
func TestNotResumedInTime(t *testing.T) {
	d := &drawer{}
	h := open(t, []xmpp.Module{d, sees{}}, loopback, limits(func(l *Limits) { l.Resume = time.Second }))
	alice, bob := h.login("alice", "phone"), h.login("bob", "desk")
	id := alice.resumable()
	h.chat(bob, alice, "m0")
	lost := time.Now()
	h.lose(alice)
	bob.send("<message to='%s'><body>m1</body></message><message type='headline' to='%s'><body>news</body></message>", alice.full, alice.full)
	bob.send("<iq type='get' id='p'><query xmlns='some:thing'/></iq>")
	bob.expect("id='p'")
	came := time.Now()
	bob.send("<iq type='get' id='q' to='%s'><query xmlns='some:thing'/></iq>", alice.full)
	bob.expect("id='q'", "type='error'", "<service-unavailable")
	if took := time.Since(lost); took < time.Second {
		t.Errorf("given up after %v", took)
	}
	eventually(t, "messages are lost", func() bool { return d.bodies() == "m0 m1" })
	for _, st := range d.offline {
		e, ok := st.Child("urn:xmpp:delay", "delay")
		at, err := time.Parse(time.RFC3339, e.Attr("stamp"))
		if !ok || err != nil || at.After(came) {
			t.Errorf("stored with a wrong time: %v", st)
		}
	}
	if !d.seen("-alice") {
		t.Errorf("events %v", d.events)
	}
	eventually(t, "it still waits", func() bool { return h.absent() == 0 })
	p := h.resume("alice", id, 0)
	p.expect("<failed xmlns='" + nsSM + "' h='0'><item-not-found")
	p.bindOpen("phone")
}

// TestTooMuchForAnAbsentClient is a matter of policy.
func TestTooMuchForAnAbsentClient(t *testing.T) {
	for name, set := range map[string]func(*Limits){
		"stanzas": func(l *Limits) { l.Absent = 9 },
		"bytes":   func(l *Limits) { l.Queue = 9 * 2200 },
	} {
		d := &drawer{}
		h := open(t, []xmpp.Module{d}, loopback, limits(set))
		alice, bob := h.login("alice", "phone"), h.login("bob", "desk")
		id := alice.resumable()
		h.chat(bob, alice, "m")
		h.lose(alice)
		body := strings.Repeat("x", 2000)
		for range 10 {
			bob.send("<message type='chat' to='%s'><body>%s</body></message>", alice.full, body)
		}
		eventually(t, name+": messages are lost", func() bool { return strings.Count(d.bodies(), body) == 10 })
		if !strings.HasPrefix(d.bodies(), "m ") {
			t.Errorf("%s: what was not acknowledged is lost", name)
		}
		h.resume("alice", id, 0).expect("<failed ", "<item-not-found")
	}
}

// TestStopWithAbsentClients: what waits for them is stored before Serve returns.
func TestStopWithAbsentClients(t *testing.T) {
	d := &drawer{}
	h := open(t, []xmpp.Module{d}, loopback)
	alice, bob := h.login("alice", "phone"), h.login("bob", "desk")
	alice.resumable()
	h.chat(bob, alice, "m0")
	h.lose(alice)
	bob.send("<message type='chat' to='%s'><body>m1</body></message>", alice.full)
	bob.send("<iq type='get' id='p' to='%s'><ping xmlns='urn:xmpp:ping'/></iq>", home)
	bob.expect("id='p'")
	h.close()
	if d.bodies() != "m0 m1" || !d.seen("-alice") {
		t.Errorf("stored %q, events %v", d.bodies(), d.events)
	}
}

// TestBindInsteadOfResume ends the session that was waiting.
func TestBindInsteadOfResume(t *testing.T) {
	d := &drawer{}
	h := open(t, []xmpp.Module{d}, loopback)
	alice, bob := h.login("alice", "phone"), h.login("bob", "desk")
	id := alice.resumable()
	h.chat(bob, alice, "m0")
	h.lose(alice)
	fresh := h.login("alice", "phone")
	eventually(t, "it still waits", func() bool { return h.absent() == 0 })
	h.resume("alice", id, 0).expect("<failed ", "<item-not-found")
	if d.bodies() != "m0" { // else its address was there again by then
		fresh.expect("<body>m0</body>", "<delay ")
	}
	h.chat(bob, fresh, "m1")
}

// TestRoomForNewStreams: sessions that wait count, but keep nobody out.
func TestRoomForNewStreams(t *testing.T) {
	h := open(t, nil, loopback)
	var first string
	for i := range 16 {
		p := h.login("alice", fmt.Sprint("r", i))
		if id := p.resumable(); i == 0 {
			first = id
		}
		if i < 2 {
			p.conn.Close()
			eventually(t, "not noticed", func() bool { return h.absent() == i+1 })
		}
	}
	h.login("alice", "one more")
	if n := h.router.Count(); n != 16 || h.absent() != 1 {
		t.Errorf("%d sessions, %d of them absent", n, h.absent())
	}
	h.resume("alice", first, 0).expect("<failed ", "<item-not-found") // it had waited longest
	h.login("alice", "another one")
	p := h.authenticated("alice")
	p.send("<iq type='set' id='b'><bind xmlns='%s'><resource>too many</resource></bind></iq>", nsBind)
	p.expect("type='error'", "<resource-constraint")
}

// TestClosedWhileAbsent: an account that is removed, for one.
func TestClosedWhileAbsent(t *testing.T) {
	d := &drawer{}
	h := open(t, []xmpp.Module{d}, loopback)
	alice := h.login("alice", "phone")
	id := alice.resumable()
	h.lose(alice)
	for _, s := range h.router.Sessions(parse(t, alice.full)) {
		if !s.(xmpp.Acknowledging).Acks() || !s.(xmpp.Absentee).Absent() || s.Secure() || s.Addr() != "127.0.0.1" {
			t.Errorf("an absent session is %v %v", s.Secure(), s.Addr())
		}
		s.Close(&stanza.StreamError{Condition: "not-authorized"})
	}
	eventually(t, "it stays", func() bool { return d.seen("-alice") && h.absent() == 0 })
	h.resume("alice", id, 0).expect("<failed ", "<item-not-found")
}

// unwatched says that everybody is.
type unwatched struct{ asked atomic.Int32 }

func (i *unwatched) Inactive(s xmpp.Session) bool {
	i.asked.Add(1)
	return s.JID().Local() == "alice"
}

// TestHowLong: the time that is told, and that is given.
func TestHowLong(t *testing.T) {
	i := &unwatched{}
	h := open(t, nil, loopback, func(c *Config) { c.Idlers = i })
	for _, c := range []struct {
		user, attrs, told string
		given             time.Duration
	}{
		{"bob", "resume='true'", "300", 5 * time.Minute},
		{"alice", "resume='1'", "300", 10 * time.Minute},
		{"alice", "resume='true' max='120'", "120", 2 * time.Minute},
		{"bob", "resume='true' max='99999'", "300", 5 * time.Minute},
		{"bob", "resume='true' max='0'", "300", 5 * time.Minute},
		{"bob", "resume='true' max='x'", "300", 5 * time.Minute},
	} {
		p := h.login(c.user, "phone")
		p.send("<enable xmlns='%s' %s/>", nsSM, c.attrs)
		p.expect("resume='true'", "max='"+c.told+"'")
		h.lose(p)
		h.srv.mu.Lock()
		for x := range h.srv.absent.away {
			x.mu.Lock()
			if got := x.sm.until.Sub(x.sm.lost); got != c.given {
				t.Errorf("%s with %s: %v", c.user, c.attrs, got)
			}
			x.mu.Unlock()
			x.Close(nil)
		}
		h.srv.mu.Unlock()
		eventually(t, "it stays", func() bool { return h.absent() == 0 })
	}
	for _, r := range []string{"", "resume='false'", "resume='0'"} {
		p := h.login("carol", "")
		p.send("<enable xmlns='%s' %s/>", nsSM, r)
		p.expect("<enabled xmlns='" + nsSM + "'/>")
	}
}

// TestSilentClientIsWaitedFor: the end of a link that was only noticed by its
// silence is no end of the session.
func TestSilentClientIsWaitedFor(t *testing.T) {
	d := &drawer{}
	h := open(t, []xmpp.Module{d}, loopback, limits(func(l *Limits) { l.Answer = 500 * time.Millisecond }))
	alice, bob := h.login("alice", "phone"), h.login("bob", "desk")
	id := alice.resumable()
	h.chat(bob, alice, "m0")
	eventually(t, "the silence is not noticed", func() bool { return h.absent() == 1 })
	p := h.resume("alice", id, 0)
	p.expect("<resumed ")
	p.expect("m0")
	if d.seen("-alice") || d.bodies() != "" {
		t.Errorf("events %v, stored %s", d.events, d.bodies())
	}
}

// TestLostWhileEnabledIsWritten: another goroutine has written the answer to
// <enable/> and does not know it yet when the reader finds the link lost.
func TestLostWhileEnabledIsWritten(t *testing.T) {
	for _, landed := range []bool{true, false} {
		c := &conn{srv: &Server{lim: Limits{Closing: patience}}, sm: &management{counting: true, resumable: true}, writing: true}
		c.flight = &queue{items: []item{{raw: "<enabled/>", mark: starts}}}
		done := make(chan struct{})
		go func() { // waited for below
			defer close(done)
			c.promised()
		}()
		eventually(t, "it does not wait", func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.idle != nil
		})
		if landed {
			c.landed()
		}
		c.mu.Lock()
		c.rest()
		c.mu.Unlock()
		<-done
		if c.starting() == landed {
			t.Errorf("landed %v, still on its way %v", landed, c.starting())
		}
	}
}

// TestResumeInTheRain: a client on a link that breaks again and again gets
// every message once and in order, and so do those it writes to.
func TestResumeInTheRain(t *testing.T) {
	h := open(t, nil, loopback, limits(func(l *Limits) {
		l.StanzaRate, l.ByteRate = -1, -1
		l.Absent, l.Queue = 3000, 16<<20 // everything may come while the link is down
	}))
	const count = 3000
	bob := h.login("bob", "desk")
	alice := h.login("alice", "phone")
	full, id := alice.full, alice.resumable()
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range count {
			bob.send("<message type='chat' to='%s'><body>%d</body></message>", full, i)
		}
	})
	wg.Go(func() {
		for i := range count {
			if s := bob.next(); !strings.Contains(s, fmt.Sprintf("<body>answer %d</body>", i)) {
				t.Errorf("bob got %s instead of answer %d", s, i)
				return
			}
		}
	})
	rnd := rand.New(rand.NewPCG(1, 2))
	got, answered, confirmed := 0, 0, 0 // messages of bob's taken, answers written, answers the server has
	links := 0
	for confirmed < count {
		cut := time.Now().Add(time.Duration(rnd.IntN(40)) * time.Millisecond)
		for time.Now().Before(cut) && confirmed < count {
			s, err := alice.tryNext()
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case strings.HasPrefix(s, "<r "):
				alice.send("<a xmlns='%s' h='%d'/><r xmlns='%s'/>", nsSM, got, nsSM)
			case strings.HasPrefix(s, "<a "):
				confirmed = countOf(t, s)
			case strings.Contains(s, fmt.Sprintf("<body>%d</body>", got)):
				got++
				alice.send("<message type='chat' to='%s'><body>answer %d</body></message>", bob.full, answered)
				if answered++; answered%50 == 0 || answered == count {
					alice.send("<r xmlns='%s'/>", nsSM)
				}
			default:
				t.Fatalf("instead of %d came %s", got, s)
			}
		}
		if confirmed == count {
			break
		}
		if links++; rnd.IntN(2) == 0 {
			alice.conn.Close() // else the server finds out by the resumption
		}
		alice = h.resume("alice", id, got)
		confirmed = countOf(t, alice.expect("<resumed "))
		for i := confirmed; i < answered; i++ {
			alice.send("<message type='chat' to='%s'><body>answer %d</body></message>", bob.full, i)
		}
		alice.send("<r xmlns='%s'/>", nsSM)
	}
	wg.Wait()
	t.Logf("%d links", links+1)
}

// countOf reads h.
func countOf(t *testing.T, s string) (n int) {
	t.Helper()
	_, s, _ = strings.Cut(s, " h='")
	if _, err := fmt.Sscanf(s, "%d'", &n); err != nil {
		t.Fatalf("no count in %s", s)
	}
	return n
}
