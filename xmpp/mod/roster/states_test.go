package roster_test

import (
	"bufio"
	"fmt"
	"strings"
	"testing"

	"doorway/xmpp/jid"
	"doorway/xmpp/routertest"
)

// The tables of RFC 6121 appendix A: state, routed or delivered, new state ("="
// for no change), and for inbound stanzas the automatic reply.

var outboundTables = map[string]string{
	"subscribe": `
		None                 yes  None + Pending Out
		None + Pending Out   yes  =
		None + Pending In    yes  None + Pending Out+In
		None + Pending Out+In yes =
		To                   yes  =
		To + Pending In      yes  =
		From                 yes  From + Pending Out
		From + Pending Out   yes  =
		Both                 yes  =`,
	"unsubscribe": `
		None                 yes  =
		None + Pending Out   yes  None
		None + Pending In    yes  =
		None + Pending Out+In yes None + Pending In
		To                   yes  None
		To + Pending In      yes  None + Pending In
		From                 yes  =
		From + Pending Out   yes  From
		Both                 yes  From`,
	"subscribed": `
		None                 no   = approved
		None + Pending Out   no   = approved
		None + Pending In    yes  From
		None + Pending Out+In yes From + Pending Out
		To                   no   = approved
		To + Pending In      yes  Both
		From                 no   =
		From + Pending Out   no   =
		Both                 no   =`,
	"unsubscribed": `
		None                 no   =
		None + Pending Out   no   =
		None + Pending In    yes  None
		None + Pending Out+In yes None + Pending Out
		To                   no   =
		To + Pending In      yes  To
		From                 yes  None
		From + Pending Out   yes  None + Pending Out
		Both                 yes  To`,
}

var inboundTables = map[string]string{
	"subscribe": `
		None                 yes  None + Pending In
		None + Pending Out   yes  None + Pending Out+In
		None + Pending In    no   =
		None + Pending Out+In no  =
		To                   yes  To + Pending In
		To + Pending In      no   =
		From                 no   = subscribed
		From + Pending Out   no   = subscribed
		Both                 no   = subscribed`,
	"unsubscribe": `
		None                 no   =
		None + Pending Out   no   =
		None + Pending In    yes  None unsubscribed
		None + Pending Out+In yes None + Pending Out unsubscribed
		To                   no   =
		To + Pending In      yes  To unsubscribed
		From                 yes  None unsubscribed
		From + Pending Out   yes  None + Pending Out unsubscribed
		Both                 yes  To unsubscribed`,
	"subscribed": `
		None                 no   =
		None + Pending Out   yes  To
		None + Pending In    no   =
		None + Pending Out+In yes To + Pending In
		To                   no   =
		To + Pending In      no   =
		From                 no   =
		From + Pending Out   yes  Both
		Both                 no   =`,
	"unsubscribed": `
		None                 no   =
		None + Pending Out   yes  None
		None + Pending In    no   =
		None + Pending Out+In yes None + Pending In
		To                   yes  None
		To + Pending In      yes  None + Pending In
		From                 no   =
		From + Pending Out   yes  From
		Both                 yes  From`,
}

var stateNames = []string{"None", "None + Pending Out", "None + Pending In", "None + Pending Out+In", "To",
	"To + Pending In", "From", "From + Pending Out", "Both"}

// cell is one line of a table.
type cell struct {
	state, next, reply string
	passed, approved   bool
}

func cells(t *testing.T, text string) []cell {
	var out []cell
	sc := bufio.NewScanner(strings.NewReader(strings.TrimSpace(text)))
	for sc.Scan() {
		line := strings.TrimSpace(sc.Text())
		var c cell
		rest := ""
		for _, word := range []string{" yes ", " no "} {
			if a, b, ok := strings.Cut(line, word); ok {
				c.state, rest, c.passed = strings.TrimSpace(a), strings.TrimSpace(b), word == " yes "
			}
		}
		for _, r := range []string{"unsubscribed", "subscribed", "approved"} {
			if s, ok := strings.CutSuffix(rest, " "+r); ok {
				rest = s
				if c.approved = r == "approved"; !c.approved {
					c.reply = r
				}
			}
		}
		if c.next = rest; rest == "=" {
			c.next = c.state
		}
		out = append(out, c)
	}
	if len(out) != len(stateNames) {
		t.Fatalf("table has %d lines", len(out))
	}
	for i, c := range out {
		if c.state != stateNames[i] {
			t.Fatalf("line %d is %q", i, c.state)
		}
	}
	return out
}

const (
	me      = "alice@" + routertest.Domain
	contact = "c@peer.example"
)

// prepare writes a state to the disk. A contact in state None or None + Pending
// In is not in the roster at all.
func prepare(o *office, state string, approved bool) {
	sub, _, _ := strings.Cut(strings.ToLower(state), " ")
	out := strings.Contains(state, "Out")
	k := me + "\x00" + contact
	if sub != "none" || out || approved {
		o.disk.Table("roster").Write(map[string]any{k: map[string]any{"v": 1, "sub": sub, "ask": out, "approved": approved}})
	}
	if strings.HasSuffix(state, "In") {
		o.disk.Table("requests").Write(map[string]any{k: map[string]any{"v": 1,
			"stanza": fmt.Sprintf("<presence type='subscribe' from='%s' to='%s'/>", contact, me)}})
	}
}

// stateOn reads the state back from what is on the disk.
func stateOn(o *office) (state string, approved bool) {
	sub, ask, in := "none", false, false
	for _, line := range o.disk.Rows() {
		if strings.HasPrefix(line, "requests "+me+" "+contact) {
			in = true
		}
		if v, ok := strings.CutPrefix(line, "roster "+me+" "+contact+" "); ok {
			_, sub, _ = strings.Cut(v, `"sub":"`)
			sub, _, _ = strings.Cut(sub, `"`)
			ask = strings.Contains(v, `"ask":true`)
			approved = strings.Contains(v, `"approved":true`)
		}
	}
	state = strings.ToUpper(sub[:1]) + sub[1:]
	switch {
	case ask && in:
		state += " + Pending Out+In"
	case ask:
		state += " + Pending Out"
	case in:
		state += " + Pending In"
	}
	return state, approved
}

// shows is the roster item of a state, "" when there is none.
func shows(state string, approved bool) string {
	sub, _, _ := strings.Cut(strings.ToLower(state), " ")
	item := "<item jid='" + contact + "' subscription='" + sub + "'"
	if strings.Contains(state, "Out") {
		item += " ask='subscribe'"
	}
	if approved {
		item += " approved='true'"
	}
	return item + "/>"
}

// TestOutboundStates is RFC 6121 appendix A.2, every cell.
func TestOutboundStates(t *testing.T) {
	for _, verb := range []string{"subscribe", "unsubscribe", "subscribed", "unsubscribed"} {
		for _, c := range cells(t, outboundTables[verb]) {
			t.Run(verb+" in "+c.state, func(t *testing.T) {
				play(t, func(t *testing.T, o *office) {
					prepare(o, c.state, false)
					alice := o.online(me + "/desk")
					o.peer.Recv()
					alice.Say("<presence type='" + verb + "' to='" + contact + "/phone' id='x'><status>hi</status></presence>")
					var want []string
					if c.passed {
						want = append(want, "presence:"+verb+" "+me+" > "+contact+" <status>hi</status>")
					}
					if hadFrom := strings.HasPrefix(c.state, "From") || c.state == "Both"; verb == "unsubscribed" && hadFrom {
						want = append([]string{"presence:unavailable " + me + "/desk > " + contact}, want...)
					}
					if verb == "subscribed" && c.passed {
						want = append(want, "presence "+me+"/desk > "+contact)
					}
					o.peer.Want("contact", want...)
					var push []string
					if shows(c.state, false) != shows(c.next, c.approved) {
						push = append(push, "push "+shows(c.next, c.approved))
					}
					alice.Want("alice", push...)
					if got, approved := stateOn(o); got != c.next || approved != c.approved {
						t.Errorf("state on disk is %s (approved %v), want %s (%v)", got, approved, c.next, c.approved)
					}
					// The same answer after a restart, and from memory.
					want0 := o.roster.Subscription(jid.MustParse(me), jid.MustParse(contact))
					o.crash()
					if got := o.roster.Subscription(jid.MustParse(me), jid.MustParse(contact)); got != want0 {
						t.Errorf("subscription after restart is %q, was %q", got, want0)
					}
				})
			})
		}
	}
}

// TestInboundStates is RFC 6121 appendix A.3, every cell.
func TestInboundStates(t *testing.T) {
	for _, verb := range []string{"subscribe", "unsubscribe", "subscribed", "unsubscribed"} {
		for _, c := range cells(t, inboundTables[verb]) {
			t.Run(verb+" in "+c.state, func(t *testing.T) {
				play(t, func(t *testing.T, o *office) {
					prepare(o, c.state, false)
					alice := o.online(me + "/desk")
					o.peer.Recv()
					o.Route("<presence type='" + verb + "' from='" + contact + "/phone' to='" + me + "/desk' id='x'><status>hi</status></presence>")
					var want, reply []string
					if c.passed {
						want = append(want, "presence:"+verb+" "+contact+" > "+me+" <status>hi</status>")
					}
					if shows(c.state, false) != shows(c.next, false) {
						want = append(want, "push "+shows(c.next, false))
					}
					alice.Want("alice", want...)
					hadFrom := strings.HasPrefix(c.state, "From") || c.state == "Both"
					switch c.reply {
					case "subscribed":
						reply = []string{"presence:subscribed " + me + " > " + contact, "presence " + me + "/desk > " + contact}
					case "unsubscribed":
						if hadFrom {
							reply = append(reply, "presence:unavailable "+me+"/desk > "+contact)
						}
						reply = append(reply, "presence:unsubscribed "+me+" > "+contact)
					}
					o.peer.Want("contact", reply...)
					if got, _ := stateOn(o); got != c.next {
						t.Errorf("state on disk is %s, want %s", got, c.next)
					}
				})
			})
		}
	}
}

// TestPreApprovedSubscribe is RFC 6121 appendix A.3.1 note [1] and §3.4.2: the
// request is answered and the user is not asked.
func TestPreApprovedSubscribe(t *testing.T) {
	for state, next := range map[string]string{"None": "From", "None + Pending Out": "From + Pending Out", "To": "Both"} {
		t.Run(state, func(t *testing.T) {
			play(t, func(t *testing.T, o *office) {
				prepare(o, state, true)
				alice := o.online(me + "/desk")
				o.peer.Recv()
				o.Route("<presence type='subscribe' from='" + contact + "' to='" + me + "' id='x'/>")
				alice.Want("alice", "push "+shows(next, true))
				o.peer.Want("contact", "presence:subscribed "+me+" > "+contact, "presence "+me+"/desk > "+contact)
				if got, approved := stateOn(o); got != next || !approved {
					t.Errorf("state on disk is %s, approved %v, want %s", got, approved, next)
				}
			})
		})
	}
}

// TestUnsubscribedTakesPreApprovalBack is RFC 6121 §3.2.2 case 2.
func TestUnsubscribedTakesPreApprovalBack(t *testing.T) {
	for _, state := range []string{"None", "None + Pending Out", "To"} {
		t.Run(state, func(t *testing.T) {
			play(t, func(t *testing.T, o *office) {
				prepare(o, state, true)
				alice := o.online(me + "/desk")
				o.peer.Recv()
				alice.Say("<presence type='unsubscribed' to='" + contact + "'/>")
				alice.Want("alice", "push "+shows(state, false))
				o.peer.Want("contact")
				if got, approved := stateOn(o); got != state || approved {
					t.Errorf("state on disk is %s, approved %v, want %s", got, approved, state)
				}
			})
		})
	}
}
