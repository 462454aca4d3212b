package roster_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"doorway/xmpp"
	"doorway/xmpp/mod/blocking"
	"doorway/xmpp/mod/presence"
	"doorway/xmpp/mod/roster"
	"doorway/xmpp/router"
	"doorway/xmpp/routertest"
	"doorway/xmpp/stanza"
)

// office is a server with roster and presence on a disk that has a goroutine
// of its own.
type office struct {
	*routertest.House
	disk     *routertest.Store
	accounts routertest.Accounts
	roster   *roster.Module
	peer     *routertest.Peer
	end      func()
	// between, when not nil, is called after presence was broadcast and before
	// requests are delivered.
	between func()
	// arriving, when not nil, is called with each presence just before it is delivered.
	arriving func(*stanza.Stanza)
	// groups are the shared rosters, nil for none.
	groups *groups
}

// play runs f in a bubble with a server; everything is settled when something
// that has come is looked at.
func play(t *testing.T, f func(t *testing.T, o *office)) { playWith(t, nil, f) }

// playWith is play with shared groups.
func playWith(t *testing.T, g *groups, f func(t *testing.T, o *office)) {
	synctest.Test(t, func(t *testing.T) {
		o := &office{disk: routertest.NewStore(), groups: g, accounts: routertest.Accounts{"alice": true, "bob": true, "carol": true}}
		o.start(t)
		defer o.Go(o.disk.Run)()
		synctest.Wait()
		defer func() { o.end() }()
		f(t, o)
		synctest.Wait()
	})
}

// start starts, or restarts, the server on the disk as it is.
func (o *office) start(t testing.TB) {
	t.Helper()
	if o.end != nil {
		o.end()
	}
	if o.roster = roster.New(nil); o.groups != nil {
		o.groups.watch = nil
		o.roster = roster.New(o.groups)
	}
	block := blocking.New(o.roster)
	o.House = routertest.Open(t, router.Config{Accounts: o.accounts, Store: o.disk}, o.roster, block,
		presence.New(block.Subscriptions()), routertest.Module(o.hook))
	o.Line, o.Settle = brief, synctest.Wait
	o.peer = o.Component("peer.example")
	o.end = o.Go(o.roster.Run)
}

// hook is a module that calls between and arriving.
func (o *office) hook(host xmpp.Host) {
	host.Presence(xmpp.Outbound, 120, func(context.Context, *xmpp.Delivery) (xmpp.Verdict, error) {
		if o.between != nil {
			o.between()
		}
		return xmpp.Pass, nil
	})
	host.Presence(xmpp.Inbound, 120, func(_ context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
		if o.arriving != nil {
			o.arriving(d.Stanza)
		}
		return xmpp.Pass, nil
	})
}

// crash restarts the server with nothing but what has reached the disk.
func (o *office) crash() {
	synctest.Wait()
	o.disk.Crash()
	o.start(o.T)
}

// online logs in, asks for the roster, sends presence, and drops the answers.
func (o *office) online(full string) *routertest.Client {
	o.T.Helper()
	c := o.Login(full, "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>", "<presence/>")
	c.Take()
	return c
}

// brief is a stanza in a line: "push <item …/>", "result r …", "error r
// condition type", "presence[:type] from > to …".
func brief(st *stanza.Stanza) string {
	inner := st.Inner()
	if e, ok := stanza.ErrorOf(st); ok {
		inner = string(e.Condition) + " " + string(e.Type)
	}
	if st.Kind == stanza.IQ {
		if st.Type != "set" {
			return strings.TrimSpace(fmt.Sprintf("%s %s %s", st.Type, st.ID, dropVer(inner)))
		}
		if st.From != st.To.Bare() {
			return "push from " + st.From.String()
		}
		return "push " + strings.TrimSuffix(strings.TrimPrefix(dropVer(inner), "<query xmlns='jabber:iq:roster'>"), "</query>")
	}
	kind := st.Kind.String()
	if st.Type != "" {
		kind += ":" + st.Type
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s > %s %s", kind, st.From, st.To, inner))
}

// dropVer takes the version out of a roster query.
func dropVer(s string) string {
	a, rest, ok := strings.Cut(s, " ver='")
	if !ok {
		return s
	}
	_, b, _ := strings.Cut(rest, "'")
	return a + b
}
