package offline

import (
	"context"
	"strings"
	"testing"

	"doorway/xmpp/router"
	"doorway/xmpp/routertest"
	"doorway/xmpp/stanza"
)

const (
	home   = routertest.Domain
	online = "<presence/>"
)

// house is a server with the module on a store.
type house struct {
	*routertest.House
	m *Module
}

// open starts a server on what the store holds.
func open(t testing.TB, store *routertest.Store, c Config) *house {
	t.Helper()
	m := New(c)
	return &house{routertest.Open(t, router.Config{Store: store}, m, routertest.Available()), m}
}

// login binds a resource; with acks it has XEP-0198, and presence "" leaves it
// unavailable.
func (h *house) login(account, resource string, acks bool, presence string) *routertest.Client {
	h.T.Helper()
	c := h.Bind(account+"@"+home+"/"+resource, &routertest.Stream{Acking: acks})
	if presence != "" {
		c.Say(presence)
	}
	return c
}

// chat sends a chat message to bob's bare JID.
func chat(c *routertest.Client, body string) {
	c.House.T.Helper()
	c.Say("<message type='chat' id='" + body + "' to='bob@office.example'><body>" + body + "</body></message>")
}

// ack acknowledges the first n that a client got.
func ack(c *routertest.Client, n int) {
	for _, st := range c.All()[:n] {
		c.Session.Acked(context.Background(), st)
	}
}

// bodies joins the bodies of what has come.
func bodies(c *routertest.Client) string {
	var l []string
	for _, st := range c.All() {
		if st.Kind == stanza.Message {
			l = append(l, st.Body())
		}
	}
	return strings.Join(l, " ")
}
