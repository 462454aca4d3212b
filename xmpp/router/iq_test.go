package router_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"doorway/xmpp"
	"doorway/xmpp/router"
	"doorway/xmpp/stanza"
)

// answers registers a get of <q xmlns='NAME:y'/> at a target that says who answered.
func answers(h xmpp.Host, target xmpp.Target, space, who string) {
	h.IQ(target, stanza.Get, stanza.Name{Space: space, Local: "q"}, func(_ context.Context, iq *xmpp.IQ) (string, error) {
		if target == xmpp.ToBare && !iq.Exists {
			return "", router.ErrNotAnswered()
		}
		return "<by xmlns='" + space + "'>" + who + "</by>", nil
	})
}

func TestRequests(t *testing.T) {
	r, _ := newRouter(t, func(h xmpp.Host) {
		answers(h, xmpp.ToHost, "host:y", "host")
		answers(h, xmpp.ToDomain, "domain:y", "domain")
		answers(h, xmpp.ToBare, "bare:y", "bare")
		answers(h, xmpp.ToSelf, "self:y", "self")
		answers(h, xmpp.ToSelf, "bare:y", "self first")
		if err := h.Domain(xmpp.Domain{Name: sms, Handler: handler(func(d *xmpp.Delivery) (xmpp.Verdict, error) {
			switch d.Stanza.Payload.Space {
			case "own:y":
				h.Send(context.Background(), d.Stanza.Reply("<by xmlns='own:y'>gateway</by>"), nil)
				return xmpp.Done, nil
			case "bad:y":
				return xmpp.Done, stanza.NewError(stanza.NotAllowed, "No.")
			}
			return xmpp.Pass, nil
		})}); err != nil {
			t.Fatal(err)
		}
	})
	alice, c := bind(t, r, "alice", "desk", 0)
	const (
		unavailable = "service-unavailable"
		known       = "feature-not-implemented"
	)
	for _, x := range []struct{ to, payload, want string }{
		{home, "<q xmlns='host:y'/>", "host"},
		{home, "<q xmlns='domain:y'/>", "domain"},
		{home, "<q xmlns='bare:y'/>", unavailable},
		{home, "<other xmlns='host:y'/>", known},
		{home, "<other xmlns='domain:y'/>", known},
		{home, "<q xmlns='no:y'/>", unavailable},
		{"bob@" + home, "<q xmlns='bare:y'/>", "bare"},
		{"bob@" + home, "<q xmlns='self:y'/>", unavailable},
		{"bob@" + home, "<q xmlns='host:y'/>", unavailable},
		{"bob@" + home, "<other xmlns='bare:y'/>", known},
		{"nobody@" + home, "<q xmlns='bare:y'/>", unavailable},
		{"nobody@" + home, "<other xmlns='bare:y'/>", known}, // as for bob: nothing to learn
		{"alice@" + home, "<q xmlns='bare:y'/>", "self first"},
		{"alice@" + home, "<q xmlns='self:y'/>", "self"},
		{"", "<q xmlns='self:y'/>", "self"},
		{"", "<other xmlns='self:y'/>", known},
		{"", "<q xmlns='no:y'/>", unavailable},
		{sms, "<q xmlns='own:y'/>", "gateway"},
		{sms, "<q xmlns='domain:y'/>", "domain"},
		{sms, "<q xmlns='host:y'/>", unavailable},
		{sms, "<other xmlns='domain:y'/>", known},
		{sms, "<q xmlns='bad:y'/>", "not-allowed"},
		{"+49@" + sms, "<q xmlns='own:y'/>", "gateway"},
		{"+49@" + sms, "<q xmlns='domain:y'/>", unavailable},
		{"+49@" + sms + "/x", "<q xmlns='domain:y'/>", unavailable},
	} {
		to := ""
		if x.to != "" {
			to = " to='" + x.to + "'"
		}
		handle(t, alice, "<iq type='get' id='i'"+to+">"+x.payload+"</iq>")
		st := one(t, c)
		got := strings.TrimPrefix(says(st), "error ")
		if st.Type == "result" {
			_, got, _ = strings.Cut(st.Inner(), ">")
			got = strings.TrimSuffix(got, "</by>")
		}
		if got != x.want || st.ID != "i" || st.To != alice.JID() {
			t.Errorf("%s to %q: got %v, want %s", x.payload, x.to, st, x.want)
		}
		// A set of the same is not the same request.
		handle(t, alice, "<iq type='set' id='i'"+to+">"+x.payload+"</iq>")
		one(t, c)
	}
}

func TestComponentDomain(t *testing.T) {
	var got []string
	r, _ := newRouter(t, func(h xmpp.Host) {
		if err := h.Domain(xmpp.Domain{Name: sms, Handler: handler(func(d *xmpp.Delivery) (xmpp.Verdict, error) {
			got = append(got, d.Stanza.Kind.String()+" "+d.Stanza.Type+" "+d.Stanza.To.String())
			if d.Stanza.To.Local() == "full" {
				return xmpp.Done, stanza.NewError(stanza.ResourceConstraint, "Full.")
			}
			if d.Stanza.To.Local() == "pass" {
				return xmpp.Pass, nil
			}
			return xmpp.Done, nil
		})}); err != nil {
			t.Fatal(err)
		}
	})
	alice, c := bind(t, r, "alice", "desk", 0)
	for _, x := range []struct {
		xml  string
		want stanza.Condition
	}{
		{"<message type='chat' to='+49@sms.office.example'><body>x</body></message>", ""},
		{"<message type='chat' to='full@sms.office.example'><body>x</body></message>", stanza.ResourceConstraint},
		{"<message type='chat' to='pass@sms.office.example'><body>x</body></message>", stanza.ServiceUnavailable},
		{"<message type='error' to='pass@sms.office.example'><body>x</body></message>", ""},
		{"<presence to='pass@sms.office.example'/>", ""},
		{"<iq type='result' id='1' to='pass@sms.office.example'/>", ""},
		{"<iq type='get' id='1' to='pass@sms.office.example'><q xmlns='x:y'/></iq>", stanza.ServiceUnavailable},
	} {
		got = nil
		handle(t, alice, x.xml)
		if len(got) != 1 {
			t.Errorf("%s: the component saw %v", x.xml, got)
		}
		if x.want == "" {
			none(t, c)
		} else {
			wantError(t, c, x.want)
		}
	}

	// From the component to a client, and its errors back to it.
	got = nil
	r.Send(background(t), parse(t, "<message type='chat' from='+49@sms.office.example' to='alice@office.example'><body>hi</body></message>"), nil)
	if st := one(t, c); st.From.String() != "+49@sms.office.example" || st.To.String() != "alice@office.example" {
		t.Errorf("arrives as %v", st)
	}
	r.Send(background(t), parse(t, "<message type='chat' from='+49@sms.office.example' to='nobody@office.example'><body>hi</body></message>"), nil)
	r.Send(background(t), parse(t, "<iq type='get' id='1' from='+49@sms.office.example' to='office.example'><q xmlns='x:y'/></iq>"), nil)
	if want := "message error +49@sms.office.example,iq error +49@sms.office.example"; strings.Join(got, ",") != want {
		t.Errorf("the component saw %q", got)
	}
}

func TestHandlerErrors(t *testing.T) {
	r, log := newRouter(t, func(h xmpp.Host) {
		for local, err := range map[string]error{
			"stanza": stanza.NewError(stanza.Forbidden, "No."),
			"other":  errors.New("disk on fire"),
			"later":  xmpp.ErrLater,
		} {
			h.IQ(xmpp.ToHost, stanza.Get, stanza.Name{Space: "x:y", Local: local}, func(_ context.Context, iq *xmpp.IQ) (string, error) {
				if err == xmpp.ErrLater {
					defer h.Send(context.Background(), iq.Reply("<late xmlns='x:y'/>"), nil)
				}
				return "", err
			})
		}
	})
	alice, c := bind(t, r, "alice", "desk", 0)
	handle(t, alice, "<iq type='get' id='1' to='office.example'><stanza xmlns='x:y'/></iq>")
	wantError(t, c, stanza.Forbidden)
	if log.String() != "" {
		t.Errorf("an ordinary refusal is logged: %s", log)
	}
	handle(t, alice, "<iq type='get' id='1' to='office.example'><other xmlns='x:y'/></iq>")
	if st := wantError(t, c, stanza.InternalServerError); strings.Contains(st.Inner(), "fire") {
		t.Errorf("the cause is sent to the client: %v", st)
	}
	if n := strings.Count(log.String(), "disk on fire"); n != 1 {
		t.Errorf("the cause is logged %d times", n)
	}
	handle(t, alice, "<iq type='get' id='1' to='office.example'><later xmlns='x:y'/></iq>")
	if st := one(t, c); !st.HasChild("x:y", "late") {
		t.Errorf("got %v", st)
	}
}

func TestIQHooksGuardResources(t *testing.T) {
	r, _ := newRouter(t, func(h xmpp.Host) {
		h.IQHook(xmpp.Inbound, 0, func(_ context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
			if d.Stanza.Payload.Space == "secret:y" {
				return xmpp.Done, stanza.NewError(stanza.ServiceUnavailable, "No.")
			}
			return xmpp.Pass, nil
		})
	})
	alice, c := bind(t, r, "alice", "desk", 0)
	_, bob := bind(t, r, "bob", "desk", 0)
	handle(t, alice, "<iq type='get' id='1' to='bob@office.example/desk'><q xmlns='secret:y'/></iq>")
	wantError(t, c, stanza.ServiceUnavailable)
	none(t, bob)
	handle(t, alice, "<iq type='get' id='1' to='bob@office.example/desk'><q xmlns='open:y'/></iq>")
	none(t, c)
	one(t, bob)
}

func TestIQTwicePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("the same request was registered twice")
		}
	}()
	newRouter(t, func(h xmpp.Host) {
		answers(h, xmpp.ToHost, "x:y", "a")
		answers(h, xmpp.ToHost, "x:y", "b")
	})
}
