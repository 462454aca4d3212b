package mam_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"doorway/xmpp"
	"doorway/xmpp/archive"
	"doorway/xmpp/jid"
	"doorway/xmpp/mod/carbons"
	"doorway/xmpp/mod/mam"
	"doorway/xmpp/mod/offline"
	"doorway/xmpp/router"
	"doorway/xmpp/routertest"
	"doorway/xmpp/stanza"
)

const (
	alice = "alice@office.example"
	bob   = "bob@office.example"
	phone = "+491701234567@sms.office.example"
)

// blocks are pairs "who whom".
type blocks map[string]bool

func (b blocks) Blocked(user, other jid.JID) bool {
	return b[user.Bare().String()+" "+other.Bare().String()]
}

// contacts are pairs "who whom" with a subscription.
type contacts map[string]string

func (c contacts) Subscription(user, contact jid.JID) string {
	return c[user.String()+" "+contact.String()]
}

// house is a server with an archive, copies and an offline store.
type house struct {
	*routertest.House
	now      time.Time
	archive  *archive.Archive
	module   *mam.Module
	blocked  blocks
	contacts contacts
	sms      *routertest.Peer
}

type subscriptions struct {
	xmpp.Subscriptions
	contacts
}

func (s subscriptions) Subscription(user, contact jid.JID) string {
	return s.contacts.Subscription(user, contact)
}

func open(t testing.TB, store *routertest.Store) *house {
	t.Helper()
	h := &house{now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), blocked: blocks{}, contacts: contacts{}}
	h.archive = archive.New(archive.Config{Now: func() time.Time { h.now = h.now.Add(time.Second); return h.now }})
	h.module = mam.New(mam.Config{Archive: h.archive, Subscriptions: subscriptions{contacts: h.contacts}, Blocker: h.blocked})
	c := router.Config{}
	if store != nil {
		c.Store = store
	}
	h.House = routertest.Open(t, c, routertest.Available(), offline.New(offline.Config{}), carbons.New(), h.module)
	h.sms = h.Component("sms.office.example")
	return h
}

// form is a query's form.
func form(fields ...string) string {
	s := "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>urn:xmpp:mam:2</value></field>"
	for i := 0; i+1 < len(fields); i += 2 {
		s += "<field var='" + fields[i] + "'>"
		for _, v := range strings.Fields(fields[i+1]) {
			s += "<value>" + v + "</value>"
		}
		s += "</field>"
	}
	return s + "</x>"
}

func page(inner string) string {
	return "<set xmlns='http://jabber.org/protocol/rsm'>" + inner + "</set>"
}

var (
	resultID = regexp.MustCompile(`<result xmlns='urn:xmpp:mam:2' (?:queryid='[^']*' )?id='([^']*)'`)
	bodyText = regexp.MustCompile(`<body>([^<]*)</body>`)
	sid      = regexp.MustCompile(`<stanza-id xmlns='urn:xmpp:sid:0' by='([^']*)' id='([^']*)'/>`)
	firstID  = regexp.MustCompile(`<first(?: index='\d+')?>([^<]*)</first><last>([^<]*)</last>`)
)

// found is what a query brought.
type found struct {
	bodies   string // of all results, in order
	ids      []string
	fin      string
	complete bool
	results  []*stanza.Stanza
}

// query asks for one's own archive.
func (h *house) query(c *routertest.Client, inner string) found {
	h.T.Helper()
	c.Take()
	fin := c.Ask("set", "", "<query xmlns='urn:xmpp:mam:2' queryid='q1'>"+inner+"</query>")
	f := found{fin: fin, complete: strings.Contains(fin, "complete='true'")}
	var bodies []string
	for _, st := range c.Take() {
		if st.Payload != (stanza.Name{Space: "urn:xmpp:mam:2", Local: "result"}) {
			h.T.Errorf("among the results: %s", st)
			continue
		}
		if !strings.Contains(st.Inner(), "queryid='q1'") || st.From != c.Session.JID().Bare() || st.To != c.Session.JID() {
			h.T.Errorf("result %s", st)
		}
		f.results = append(f.results, st)
		f.ids = append(f.ids, resultID.FindStringSubmatch(st.Inner())[1])
		b := bodyText.FindStringSubmatch(st.Inner())
		if b == nil {
			b = []string{"", "-"}
		}
		bodies = append(bodies, b[1])
	}
	f.bodies = strings.Join(bodies, " ")
	return f
}

// fill has alice and bob say ten things: 0 from alice, 1 from bob, and so on.
func (h *house) fill(a, b *routertest.Client) {
	for i := range 10 {
		from, to := a, bob
		if i%2 == 1 {
			from, to = b, alice
		}
		from.Say(fmt.Sprintf("<message type='chat' to='%s' id='m%d'><body>%d</body></message>", to, i, i))
	}
	a.Take()
	b.Take()
}

// stanzaIDs are the ids in a message, as "by id".
func stanzaIDs(st *stanza.Stanza) (list []string) {
	for _, m := range sid.FindAllStringSubmatch(st.Inner(), -1) {
		list = append(list, m[1]+" "+m[2])
	}
	return list
}
