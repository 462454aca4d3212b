package archive_test

import (
	"errors"
	"strings"
	"testing"

	"doorway/xmpp/archive"
	"doorway/xmpp/jid"
	"doorway/xmpp/routertest"
	"doorway/xmpp/stanza"
)

// FuzzQuery: whatever a client writes into a query, it gets a page within its
// bounds or a stanza error, and what is sent can be read again.
func FuzzQuery(f *testing.F) {
	a := open(f, routertest.NewStore(), archive.Config{})
	var ids []string
	for _, body := range []string{"one", "two", "three"} {
		ids = append(ids, a.Put(text(body), ok(f), archive.Owner{JID: alice, With: bob}).String())
	}
	form := func(fields string) string {
		return "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>urn:xmpp:mam:2</value></field>" + fields + "</x>"
	}
	for _, seed := range []string{
		"",
		"<flip-page/><set xmlns='http://jabber.org/protocol/rsm'><max>2</max><before/></set>",
		"<set xmlns='http://jabber.org/protocol/rsm'><max>0</max><after>x</after></set>",
		form("<field var='with'><value>bob@office.example</value></field><field var='start'><value>2010-08-07T00:00:00Z</value></field>"),
		form("<field var='end'><value>9999-12-31T23:59:59.999999999+14:00</value></field><field var='include-groupchat'><value>1</value></field>"),
		form("<field var='ids'><value>ID</value></field><field var='after-id'><value>ID</value></field>"),
		form("<field var='unheard-of'/>"),
	} {
		f.Add("q1", seed)
	}
	f.Fuzz(func(t *testing.T, queryID, inner string) {
		inner = strings.ReplaceAll(inner, "ID", ids[1])
		attr := ""
		if queryID != "" {
			attr = " queryid='" + queryID + "'"
		}
		iq, err := stanza.Parse("<iq type='set' id='1'><query xmlns='urn:xmpp:mam:2'" + attr + ">" + inner + "</query></iq>")
		if err != nil {
			return
		}
		sent := 0
		fin, err := a.Answer(iq, alice, nil, func(st *stanza.Stanza) {
			sent++
			again, err := stanza.Parse(st.String())
			if err != nil || again.Children != 1 || again.Payload.Local != "result" || len(st.String()) > 16<<10 {
				t.Errorf("sent %s: %v", st, err)
			}
		})
		if e := (*stanza.Error)(nil); err != nil && !errors.As(err, &e) {
			t.Errorf("%s: %v", inner, err)
		}
		if err == nil {
			if st := stanza.New(stanza.IQ, "result", "1", jid.JID{}, jid.JID{}, fin); st.Children != 1 || sent > 3 {
				t.Errorf("%s: %d sent, %s", inner, sent, fin)
			}
		} else if sent > 0 {
			t.Errorf("%s: %d sent before an error", inner, sent)
		}
	})
}
