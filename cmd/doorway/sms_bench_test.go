package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"doorway/modem/emulator"
	"doorway/xmpp/stanza"
)

// arrivals is a box whose alice has texted a phone, so that what it answers
// comes to her chat.
func arrivals(b *testing.B) (*smsBox, *chatter) {
	b.Helper()
	s := newSMSBox(b)
	if out, code := s.run(b, "correct horse\n", "user", "add", "alice"); code != 0 {
		b.Fatal(out)
	}
	alice := dialClient(b, s.addr(b, "XMPP"), filepath.Join(s.dir, "ca", "ca.pem"), "office.localhost", "alice", "correct horse")
	if err := alice.Send(fmt.Sprintf("<presence/><message type='chat' to='%s@sms.office.localhost' id='q'><body>Are you there?</body></message>", demoQuiet)); err != nil {
		b.Fatal(err)
	}
	until(b, time.Minute, func() (bool, string) {
		l, err := s.client.Log(b.Context(), demoQuiet)
		return err == nil && len(l) == 1, fmt.Sprint(l, err)
	})
	return s, alice
}

// texted waits for a text with this body and returns when it came.
func texted(b *testing.B, c *chatter, body string) time.Time {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	if _, err := c.Expect(ctx, func(m *stanza.Stanza) bool { return m.Kind == stanza.Message && m.Body() == body }); err != nil {
		b.Fatal(err)
	}
	return time.Now()
}

// BenchmarkSMSArrival measures a text from the modem's announcement (+CMTI) to
// the message in the client's hands: reading it, its commit, deleting it from
// the SIM and the chat. Budget: 200 ms.
func BenchmarkSMSArrival(b *testing.B) {
	const texts = 100
	for range b.N {
		s, alice := arrivals(b)
		came := make([]time.Time, texts)
		for i := range came {
			text := fmt.Sprintf("Answer %d", i)
			if err := s.client.Send(b.Context(), demoQuiet, text); err != nil {
				b.Fatal(err)
			}
			came[i] = texted(b, alice, text)
		}
		var took []time.Duration
		for _, e := range s.log(b) {
			if e.Kind == emulator.LogDeliver && len(took) < texts {
				took = append(took, came[len(took)].Sub(e.At))
			}
		}
		if len(took) != texts {
			b.Fatalf("%d of %d texts are in the emulator's log", len(took), texts)
		}
		slices.Sort(took)
		b.ReportMetric(float64(took[texts/2].Microseconds())/1000, "ms-median")
		b.ReportMetric(float64(took[texts-1].Microseconds())/1000, "ms-most")
		s.process.stop(b)
	}
}

// BenchmarkGatewayMemory reports by how much a box with a modem that is sending
// is larger than one without a modem, after both have done the same chatting.
// Budget: 10 MB.
func BenchmarkGatewayMemory(b *testing.B) {
	const texts = 200
	for range b.N {
		s, alice := arrivals(b)
		var batch strings.Builder
		for i := range texts {
			fmt.Fprintf(&batch, "<message type='chat' to='%s@sms.office.localhost' id='m%d'><body>Text %d</body></message>", demoQuiet, i, i)
		}
		if err := alice.Send(batch.String()); err != nil {
			b.Fatal(err)
		}
		most := 0.0
		until(b, 5*time.Minute, func() (bool, string) {
			most = max(most, rss(b, s.process.cmd.Process.Pid))
			l, err := s.client.Log(b.Context(), demoQuiet)
			return err == nil && len(l) > texts, fmt.Sprint(len(l), err)
		})
		s.process.stop(b)

		x := startBox(b, "")
		for _, name := range []string{"alice", "bob"} {
			if out, code := x.run(b, "correct horse\n", "user", "add", name); code != 0 {
				b.Fatal(out)
			}
		}
		ca := filepath.Join(x.dir, "ca", "ca.pem")
		alice = dialClient(b, x.addr(b, "XMPP"), ca, "office.localhost", "alice", "correct horse")
		bob := dialClient(b, x.addr(b, "XMPP"), ca, "office.localhost", "bob", "correct horse")
		if err := bob.Send("<presence/>"); err != nil {
			b.Fatal(err)
		}
		if _, err := bob.Settle(b.Context()); err != nil {
			b.Fatal(err)
		}
		if err := alice.Send(strings.ReplaceAll(batch.String(), demoQuiet+"@sms.", "bob@")); err != nil {
			b.Fatal(err)
		}
		texted(b, bob, fmt.Sprintf("Text %d", texts-1))
		without := rss(b, x.process.cmd.Process.Pid)
		b.ReportMetric((most-without)*1.048576, "MB-gateway")
		b.ReportMetric(most*1.048576, "MB-all")
		x.process.stop(b)
	}
}
