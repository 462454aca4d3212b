package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"doorway/gateway/control"
	"doorway/modem/emulator"
	"doorway/transports"
	"doorway/xmpp/stanza"
)

// stream is what one run of doorway was given before it was killed.
type stream struct {
	mu    sync.Mutex // guards what follows
	sent  []string   // texts in the order of their XEP-0198 count
	acked int        // how many of them the server has acknowledged
}

func (s *stream) safe() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acked
}

// send writes numbered chat messages to bob, who is offline, and to a phone,
// in turn, asking for an acknowledgement after each, until the connection dies.
func (s *stream) send(ctx context.Context, c *chatter, round int, phone string) {
	done := make(chan struct{})
	go func() { // waited for below
		defer close(done)
		for {
			el, err := c.Element(ctx)
			if err != nil {
				return
			}
			if el.Name.Local != "a" {
				continue
			}
			h, err := strconv.Atoi(el.Attr("h"))
			if err != nil {
				return
			}
			s.mu.Lock()
			s.acked = max(s.acked, h)
			s.mu.Unlock()
		}
	}()
	// Little enough that 30 rounds stay below the offline quota of 1,000, on a
	// machine that is slow to acknowledge too.
	tick := time.NewTicker(8 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		for ctx.Err() == nil && i > s.safe()+15 {
			select {
			case <-tick.C:
			case <-done: // the connection has died
				return
			}
		}
		to, kind := "bob@office.localhost", "chat"
		if i%4 == 3 {
			to, kind = phone, "sms"
		}
		text := fmt.Sprintf("%s %d.%d", kind, round, i)
		s.mu.Lock()
		s.sent = append(s.sent, text)
		s.mu.Unlock()
		if err := c.Send(fmt.Sprintf("<message to='%s' type='chat' id='%d-%d'><body>%s</body></message><r xmlns='urn:xmpp:sm:3'/>", to, round, i, text)); err != nil {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
	}
	<-done
}

// TestKill kills doorway at 30 random points while it takes offline messages,
// sends texts and receives some, and holds afterwards: nothing acknowledged
// is lost, and no text was sent twice unless it is reported possibly-sent.
func TestKill(t *testing.T) {
	s := newSMSBox(t, "--phone", demoBusy)
	for _, name := range []string{"alice", "bob"} {
		if out, code := s.run(t, "correct horse\n", "user", "add", name); code != 0 {
			t.Fatal(out)
		}
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	phone := demoQuiet + "@sms.office.localhost"
	ca := filepath.Join(s.dir, "ca", "ca.pem")
	var acked []string
	var inbound []string
	for round := range 30 {
		c := dialClient(t, s.addr(t, "XMPP"), ca, "office.localhost", "alice", "correct horse")
		if err := c.Send("<enable xmlns='urn:xmpp:sm:3'/>"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		if el, err := c.Element(ctx); err != nil || el.Name.Local != "enabled" {
			t.Fatalf("enable: %v %v", el, err)
		}
		st := &stream{}
		done := make(chan struct{})
		go func() { // waited for below
			defer close(done)
			st.send(ctx, c, round, phone)
		}()
		text := fmt.Sprintf("inbound %d", round)
		if err := s.client.Send(ctx, demoBusy, text); err != nil {
			t.Fatal(err)
		}
		inbound = append(inbound, text)
		until(t, time.Minute, func() (bool, string) {
			return st.safe() > round*7%25, fmt.Sprintf("round %d: %d messages are acknowledged", round, st.safe())
		})
		<-time.After(time.Duration(rnd.IntN(100)) * time.Millisecond)
		s.process.kill(t)
		_ = c.Kill() // ignored: the server's end is gone
		cancel()
		<-done
		st.mu.Lock()
		acked = append(acked, st.sent[:st.acked]...)
		st.mu.Unlock()
		s.start(t)
	}
	t.Logf("%d messages were acknowledged, %d texts came in", len(acked), len(inbound))
	if len(acked) < 300 {
		t.Errorf("only %d messages were acknowledged; this test proves too little", len(acked))
	}
	checkArchive(t, s, ca, acked)
	checkOffline(t, s, ca, acked)
	checkTexts(t, s, acked)
	checkInbound(t, s, ca, inbound)
}

// checkOffline logs bob in and waits for every chat message that was acknowledged.
func checkOffline(t *testing.T, s *smsBox, ca string, acked []string) {
	t.Helper()
	want := map[string]bool{}
	for _, a := range acked {
		if strings.HasPrefix(a, "chat ") {
			want[a] = true
		}
	}
	bob := dialClient(t, s.addr(t, "XMPP"), ca, "office.localhost", "bob", "correct horse")
	defer bob.Close()
	bob.present(t)
	receive(t, bob, want)
}

// receive expects messages with all the wanted bodies.
func receive(t *testing.T, c *chatter, want map[string]bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for len(want) > 0 {
		m, err := c.Expect(ctx, func(m *stanza.Stanza) bool { return want[m.Body()] })
		if err != nil {
			n := 0
			for text := range want {
				if n++; n <= 10 {
					t.Errorf("lost: %s", text)
				}
			}
			t.Fatalf("%d messages are lost: %v", len(want), err)
		}
		delete(want, m.Body())
	}
}

// checkInbound logs alice in, the administrator, and waits for every text
// that the phone sent, including those that came while doorway was dead.
func checkInbound(t *testing.T, s *smsBox, ca string, inbound []string) {
	t.Helper()
	want := map[string]bool{}
	for _, text := range inbound {
		want[text] = true
	}
	alice := dialClient(t, s.addr(t, "XMPP"), ca, "office.localhost", "alice", "correct horse")
	defer alice.Close()
	alice.present(t)
	receive(t, alice, want)
}

// checkTexts waits until the queue is done and holds it against the
// emulator's log.
func checkTexts(t *testing.T, s *smsBox, acked []string) {
	t.Helper()
	until(t, 2*time.Minute, func() (bool, string) {
		var q control.QueueAnswer
		if err := control.Call(t.Context(), s.dir, "queue.list", control.QueueList{Limit: 1}, &q); err != nil {
			t.Fatal(err)
		}
		waiting := q.Counts[transports.Queued] + q.Counts[transports.Leased] + q.Counts[transports.OnAir] + q.Counts[transports.RetryWait]
		return waiting == 0, fmt.Sprintf("the queue is not done: %v", q.Counts)
	})
	var list []control.SMSText
	if err := control.Call(t.Context(), s.dir, "sms.list", control.QueueList{Limit: 1000}, &list); err != nil {
		t.Fatal(err)
	}
	state := map[string]transports.State{}
	for _, m := range list {
		if old, ok := state[m.Text]; ok {
			t.Errorf("%s is in the queue twice (%s, %s)", m.Text, old, m.State)
		}
		state[m.Text] = m.State
	}
	aired := map[string]int{}
	for _, e := range s.log(t) {
		if e.Kind == emulator.LogSubmit {
			aired[e.Text]++
		}
	}
	twice, unsure, unreported := 0, 0, 0
	for text, n := range aired {
		if n > 1 {
			twice++
			if !reportedUnsure(t, s, list, text) {
				t.Errorf("%s was sent %d times and its chain never says possibly-sent", text, n)
			}
		}
	}
	for _, a := range acked {
		if !strings.HasPrefix(a, "sms ") {
			continue
		}
		st, ok := state[a]
		switch {
		case !ok:
			t.Errorf("%s was acknowledged and is not in the queue", a)
		case st == transports.PossiblySent:
			unsure++
		case st == transports.Accepted:
			// Its status report was pushed (+CDS) to a process that died before it
			// could keep it; the network does not say it twice.
			unreported++
		case st != transports.Delivered && st != transports.SentUnconfirmed:
			t.Errorf("%s ended as %s", a, st)
		case aired[a] == 0:
			t.Errorf("%s is %s and never reached the network", a, st)
		}
	}
	if unreported > 30 {
		t.Errorf("%d texts have no report, more than one for each kill", unreported)
	}
	t.Logf("%d texts on the air, %d of them twice, %d possibly-sent and %d without a report at the end", len(aired), twice, unsure, unreported)
}

// reportedUnsure says whether a text's chain names the uncertainty.
func reportedUnsure(t *testing.T, s *smsBox, list []control.SMSText, text string) bool {
	t.Helper()
	for _, m := range list {
		if m.Text != text {
			continue
		}
		out, code := s.run(t, "", "sms", "show", fmt.Sprint(m.ID))
		if code != 0 {
			t.Fatal(out)
		}
		return strings.Contains(out, string(transports.PossiblySent))
	}
	return false
}
