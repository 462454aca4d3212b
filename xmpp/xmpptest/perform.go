package xmpptest

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// Stage is a server on which plays run.
type Stage struct {
	Addr string // host:port, plain text allowed
	// Dial, when not nil, connects clients that sign in; those that open a
	// stream by hand use Addr all the same.
	Dial   func(ctx context.Context) (net.Conn, error)
	Domain string
	Other  bool // not doorway
	// Password is everybody's; "" lets the play choose.
	Password string
	// Account makes an account.
	Account func(ctx context.Context, user, password string) error
	// Stop tells the server to end, and does not wait.
	Stop func() error
	// Patience is how long a step may wait; 0 means 30 s.
	Patience time.Duration
}

// performance is one run of a play.
type performance struct {
	*Play
	stage  *Stage
	suffix string // makes the people of this run others than those of any other
	actors map[string]*actor
	kept   map[string]string // what patterns have kept
}

// actor is a client on stage: a Client, or a Raw before that.
type actor struct {
	*Client
	raw   *Raw
	dirty bool  // it has sent what the server may not have handled yet
	err   error // that ended its stream while the play looked elsewhere
	gone  bool
}

func (s *Stage) dial(ctx context.Context, o Options) (*Client, error) {
	if s.Dial == nil {
		return Dial(ctx, s.Addr, o)
	}
	conn, err := s.Dial(ctx)
	if err != nil {
		return nil, err
	}
	c, err := New(ctx, conn, o)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return c, nil
}

func (s *Stage) password() string { return cmp.Or(s.Password, "correct horse") }

// Run performs the play with accounts of its own, whose names end in suffix.
// The error names the line and tells what has come instead.
func (p *Play) Run(ctx context.Context, stage *Stage, suffix string) error {
	x := &performance{Play: p, stage: stage, suffix: suffix, actors: map[string]*actor{}, kept: map[string]string{}}
	defer func() {
		for _, a := range x.actors {
			a.close()
		}
	}()
	for _, person := range p.people {
		if err := stage.Account(ctx, person+suffix, stage.password()); err != nil {
			return fmt.Errorf("account %s: %w", person, err)
		}
	}
	for _, f := range p.standing {
		if err := x.relate(ctx, f[0], f[1], f[2]); err != nil {
			return fmt.Errorf("%s gets the state %s with %s: %w", f[0], f[1], f[2], err)
		}
	}
	for _, s := range p.steps {
		if s.ours && stage.Other {
			continue
		}
		if err := x.step(ctx, s); err != nil {
			return fmt.Errorf("%s.play:%d: %s %s %s: %w", p.Name, s.line, s.client, s.verb, s.arg, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(x.actors)) {
		if a := x.actors[name]; !a.gone && a.Client != nil && !a.jid.IsZero() {
			if err := x.silent(ctx, a); err != nil {
				return fmt.Errorf("%s.play: at the end %s: %w", p.Name, name, err)
			}
		}
	}
	return nil
}

func (a *actor) close() {
	switch {
	case a.gone:
	case a.Client != nil:
		_ = a.Client.Close() // ignored: the play is over
	case a.raw != nil:
		_ = a.raw.Close() // ignored: the play is over
	}
}

// say puts the addresses of this run into a text.
func (x *performance) say(text string) string {
	text = spoken.ReplaceAllStringFunc(text, func(s string) string {
		s = s[1 : len(s)-1]
		switch s {
		case "domain":
			return x.stage.Domain
		case "big":
			return strings.Repeat("0123456789", 30_000)
		}
		if person, ok := strings.CutSuffix(s, "@"); ok {
			return person + x.suffix
		}
		person, resource, full := strings.Cut(s, "/")
		s = person + x.suffix + "@" + x.stage.Domain
		if full {
			s += "/" + resource
		}
		return s
	})
	text = captured.ReplaceAllStringFunc(text, func(s string) string { return xmlstream.Escaped(x.kept[s[2:len(s)-1]]) })
	return encoded.ReplaceAllStringFunc(text, func(s string) string {
		return base64.StdEncoding.EncodeToString([]byte(s[len("b64[") : len(s)-1]))
	})
}

func (x *performance) step(ctx context.Context, s step) error {
	patience := x.stage.Patience
	if patience == 0 {
		patience = 30 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if s.verb == serverStops {
		x.settleOthers(ctx, nil)
		if x.stage.Stop == nil {
			return errors.New("this server cannot be stopped")
		}
		return x.stage.Stop()
	}
	a := x.actors[s.client]
	switch {
	case slices.Contains([]string{"opens", "authenticates", "mistypes", "connects", "online"}, s.verb):
		if a != nil && !a.gone {
			return errors.New("is on stage already")
		}
	case a == nil || a.gone:
		return errors.New("is not on stage")
	}
	x.settleOthers(ctx, a)
	switch s.verb {
	case "opens":
		r, err := DialRaw(ctx, x.stage.Addr, nil)
		if err != nil {
			return err
		}
		x.actors[s.client] = &actor{raw: r}
		return nil
	case "authenticates", "connects":
		_, err := x.enter(ctx, s.client, s.verb == "authenticates")
		return err
	case "mistypes":
		return x.mistype(ctx, s.client, s.arg)
	case "online":
		return x.online(ctx, s.client, s.arg)
	case ">":
		return x.send(a, s.arg)
	}
	if a.raw != nil {
		return x.rawStep(ctx, a, s)
	}
	return x.boundStep(ctx, a, s)
}

func (x *performance) enter(ctx context.Context, name string, noBind bool) (*actor, error) {
	person, resource, _ := strings.Cut(name, "/")
	c, err := x.stage.dial(ctx, Options{
		Domain: x.stage.Domain, User: person + x.suffix, Password: x.stage.password(), Resource: resource, NoBind: noBind,
	})
	if err != nil {
		return nil, err
	}
	if want := x.say("{" + name + "}"); !noBind && c.JID().String() != want {
		return nil, fmt.Errorf("the server bound %s, not %s", c.JID(), want)
	}
	a := &actor{Client: c}
	x.actors[name] = a
	return a, nil
}

// mistype signs in with a wrong password.
func (x *performance) mistype(ctx context.Context, name, condition string) error {
	person, _, _ := strings.Cut(name, "/")
	c, err := x.stage.dial(ctx, Options{Domain: x.stage.Domain, User: person + x.suffix, Password: "wrong " + x.stage.password()})
	if err == nil {
		_ = c.Close() // ignored: it should not be there
		return errors.New("the wrong password was taken")
	}
	var refused *AuthError
	if !errors.As(err, &refused) || refused.Condition != condition {
		return err
	}
	return nil
}

func (x *performance) online(ctx context.Context, name, priority string) error {
	a, err := x.enter(ctx, name, false)
	if err != nil {
		return err
	}
	if _, err := a.Get(ctx, jid.JID{}, "<query xmlns='jabber:iq:roster'/>"); err != nil {
		return err
	}
	presence := "<presence/>"
	if priority != "" {
		presence = "<presence><priority>" + priority + "</priority></presence>"
	}
	if err := a.Send(presence); err != nil {
		return err
	}
	_, err = a.Settle(ctx)
	// What others got of it is no part of the play.
	for _, o := range x.actors {
		if o != a && o.Client != nil && !o.gone && !o.jid.IsZero() && o.err == nil {
			x.settle(ctx, o)
			o.pending = slices.DeleteFunc(o.pending, func(st *stanza.Stanza) bool {
				return st.Kind == stanza.Presence && st.Type == "" && st.From == a.JID()
			})
		}
	}
	return err
}

// settle waits until the server has handled what the client sent; what comes
// meanwhile waits for its step.
func (x *performance) settle(ctx context.Context, a *actor) {
	a.dirty = false
	if a.err != nil {
		return
	}
	server, err := jid.New("", x.stage.Domain, "")
	if err == nil {
		_, err = a.Get(ctx, server, "<ping xmlns='urn:xmpp:ping'/>")
	}
	var refused *stanza.Error
	if err != nil && !errors.As(err, &refused) {
		a.err = err
	}
}

func (x *performance) settleOthers(ctx context.Context, a *actor) {
	for _, o := range x.actors {
		if o != a && o.dirty && !o.gone {
			x.settle(ctx, o)
		}
	}
}

func (x *performance) send(a *actor, text string) error {
	if strings.HasPrefix(text, `"`) {
		var err error
		if text, err = strconv.Unquote(text); err != nil {
			return err
		}
	}
	text = x.say(text)
	if a.raw != nil {
		return a.raw.Write(text)
	}
	a.dirty = a.dirty || !a.jid.IsZero() && answered(text)
	return a.Client.Send(text)
}

// answered tells whether a text begins like something that a server answers or
// passes on. A question behind an element that is none would itself be counted
// (XEP-0198).
func answered(text string) bool {
	for _, tag := range []string{"<enable ", "<resume ", "<r ", "<a ", "<active ", "<inactive "} {
		if strings.HasPrefix(text, tag) {
			return false
		}
	}
	return true
}

func (x *performance) rawStep(ctx context.Context, a *actor, s step) error {
	switch s.verb {
	case "reads":
		_, err := a.raw.Until(ctx, x.say(s.arg))
		return err
	case "stream error":
		a.gone = true
		return errors.Join(a.raw.ExpectStreamError(ctx, s.arg), a.raw.Close())
	case "dies":
		a.gone = true
		return a.raw.Close()
	}
	return errors.New("only a client that has signed in does this")
}

func (x *performance) boundStep(ctx context.Context, a *actor, s step) error {
	switch s.verb {
	case "<", "<!":
		return x.expect(ctx, a, s)
	case "hears nothing":
		return x.silent(ctx, a)
	case "hears no":
		return x.without(ctx, a, s)
	case "forgets":
		x.settle(ctx, a)
		a.pending = nil
		return a.err
	case "stream error":
		a.gone = true
		var se *stanza.StreamError
		switch {
		case a.err == nil:
			return errors.Join(a.ExpectStreamError(ctx, s.arg), a.Kill())
		case !errors.As(a.err, &se) || se.Condition != s.arg:
			return a.err
		}
		return errors.Join(a.ExpectEnd(ctx), a.Kill())
	case "ends":
		a.gone = true
		return a.ExpectEnd(ctx)
	case "leaves":
		a.gone = true
		if err := a.Client.Send("</stream:stream>"); err != nil {
			return err
		}
		return a.ExpectEnd(ctx)
	case "dies":
		a.gone = true
		return a.Kill()
	}
	return errors.New("only a client that opens does this")
}

func (x *performance) expect(ctx context.Context, a *actor, s step) error {
	want, err := parsePattern(x.say(s.arg))
	if err != nil {
		return err
	}
	if want.Name.Space != "jabber:client" {
		return x.expectElement(ctx, a, want)
	}
	var broken error
	match := func(st *stanza.Stanza) bool {
		ok, err := x.matches(st, want)
		broken = errors.Join(broken, err)
		return ok
	}
	if s.verb == "<!" {
		st, err := a.Next(ctx)
		if err == nil && !match(st) {
			err = fmt.Errorf("the next one is %s", st)
		}
		return errors.Join(err, broken)
	}
	if i := slices.IndexFunc(a.pending, match); i >= 0 {
		a.pending = slices.Delete(a.pending, i, i+1)
		return nil
	}
	if a.err != nil {
		return a.explain(a.err)
	}
	_, err = a.Expect(ctx, match)
	return errors.Join(err, broken)
}

// matches compares a stanza with a pattern and keeps what that asks for.
func (x *performance) matches(st *stanza.Stanza, want *xmlstream.Tree) (bool, error) {
	got, err := xmlstream.ParseTree(st.String(), "", "jabber:client")
	if err != nil || !matches(&got[0], want) {
		return false, err
	}
	keep(x.kept, &got[0], want)
	return true, nil
}

// without looks for what should not have come; everything else stays.
func (x *performance) without(ctx context.Context, a *actor, s step) error {
	want, err := parsePattern(x.say(s.arg))
	if err != nil {
		return err
	}
	x.settle(ctx, a)
	for _, st := range a.pending {
		switch bad, err := x.matches(st, want); {
		case err != nil:
			return err
		case bad:
			return fmt.Errorf("it has come: %s", st)
		}
	}
	return a.err
}

// expectElement waits for an element that is no stanza. A client that has
// resumed a stream has its address again (XEP-0198 §5).
func (x *performance) expectElement(ctx context.Context, a *actor, want *xmlstream.Tree) error {
	for {
		el, err := a.Element(ctx)
		if err != nil {
			return err
		}
		if !matches(&el, want) {
			continue
		}
		keep(x.kept, &el, want)
		if el.Name == (xmlstream.Name{Space: "urn:xmpp:sm:3", Local: "resumed"}) {
			a.jid, err = jid.New(a.o.User, x.stage.Domain, "resumed")
		}
		return err
	}
}

func (x *performance) silent(ctx context.Context, a *actor) error {
	x.settleOthers(ctx, a)
	x.settle(ctx, a)
	switch {
	case a.err == io.EOF:
		return errors.New("the server has ended the stream")
	case a.err != nil:
		return a.err
	case len(a.pending) > 0:
		return a.explain(errors.New("something has come"))
	}
	return nil
}
