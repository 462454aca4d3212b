package router

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sort"

	"doorway/xmpp"
	"doorway/xmpp/form"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

// tables is everything modules register; frozen by Load.
type tables struct {
	iq       map[iqKey]xmpp.IQFunc
	spaces   map[spaceKey]struct{} // payload namespaces with any handler
	hooks    [stanza.IQ + 1][xmpp.Acked + 1][]hook
	run      [stanza.IQ + 1][xmpp.Acked + 1][]xmpp.Hook // hooks in order, after freeze
	events   []func(context.Context, xmpp.SessionEvent)
	streams  []xmpp.StreamFeature
	features [xmpp.ToSelf + 1][]string
	idents   [xmpp.ToSelf + 1][]xmpp.Identity
	forms    [xmpp.ToSelf + 1][]func() *form.Form
}

type iqKey struct {
	target xmpp.Target
	typ    stanza.IQType
	name   stanza.Name
}

type spaceKey struct {
	target xmpp.Target
	space  string
}

type hook struct {
	prio int
	f    xmpp.Hook
}

func (t *tables) freeze() {
	for k := range t.hooks {
		for p := range t.hooks[k] {
			l := t.hooks[k][p]
			sort.SliceStable(l, func(i, j int) bool { return l[i].prio < l[j].prio })
			t.run[k][p] = nil
			for _, h := range l {
				t.run[k][p] = append(t.run[k][p], h.f)
			}
		}
	}
}

// hosted is the component domains; a value is never changed once stored.
type hosted struct {
	byName map[string]xmpp.Handler
	list   []xmpp.Domain
}

// thaw panics after Load: the tables are read without a lock by then.
func (r *Router) thaw(what string) {
	if r.frozen {
		panic("router: " + what + " registered after Load")
	}
}

// IQ registers the handler of one request. A second one for the same
// request, or any after Load, panics.
func (r *Router) IQ(target xmpp.Target, typ stanza.IQType, name stanza.Name, h xmpp.IQFunc) {
	r.thaw("IQ handler")
	k := iqKey{target, typ, name}
	if _, ok := r.tables.iq[k]; ok {
		panic(fmt.Sprintf("router: IQ %s {%s}%s registered twice", typ, name.Space, name.Local))
	}
	r.tables.iq[k] = h
	r.tables.spaces[spaceKey{target, name.Space}] = struct{}{}
}

func (r *Router) hook(k stanza.Kind, p xmpp.Point, prio int, h xmpp.Hook) {
	r.thaw("hook")
	r.tables.hooks[k][p] = append(r.tables.hooks[k][p], hook{prio, h})
}

// Message registers a hook for messages.
func (r *Router) Message(p xmpp.Point, prio int, h xmpp.Hook) { r.hook(stanza.Message, p, prio, h) }

// Presence registers a hook for presence.
func (r *Router) Presence(p xmpp.Point, prio int, h xmpp.Hook) { r.hook(stanza.Presence, p, prio, h) }

// IQHook registers a hook for IQs of all four types.
func (r *Router) IQHook(p xmpp.Point, prio int, h xmpp.Hook) { r.hook(stanza.IQ, p, prio, h) }

// Session registers a function that is told of every session that comes and
// goes; of one full JID never two at once, and always bound before closed.
func (r *Router) Session(f func(context.Context, xmpp.SessionEvent)) {
	r.thaw("session function")
	r.tables.events = append(r.tables.events, f)
}

// StreamFeature registers a feature for c2s to offer.
func (r *Router) StreamFeature(f xmpp.StreamFeature) {
	r.thaw("stream feature")
	r.tables.streams = append(r.tables.streams, f)
}

// Feature adds disco features of a target; known ones are kept once.
func (r *Router) Feature(t xmpp.Target, ns ...string) {
	r.thaw("feature")
	for _, n := range ns {
		if !slices.Contains(r.tables.features[t], n) {
			r.tables.features[t] = append(r.tables.features[t], n)
		}
	}
}

// Identity adds a disco identity of a target.
func (r *Router) Identity(t xmpp.Target, id xmpp.Identity) {
	r.thaw("identity")
	r.tables.idents[t] = append(r.tables.idents[t], id)
}

// Form adds a form to the disco#info of a target.
func (r *Router) Form(t xmpp.Target, f func() *form.Form) {
	r.thaw("form")
	r.tables.forms[t] = append(r.tables.forms[t], f)
}

// Domain adds a hosted component domain; it may be called after Load too. The
// name must be a canonical domain that is neither ours nor taken.
func (r *Router) Domain(d xmpp.Domain) error {
	j, err := jid.Parse(d.Name)
	switch {
	case err != nil:
		return fmt.Errorf("domain %q: %w", d.Name, err)
	case j.DomainJID() != j || j.String() != d.Name:
		return fmt.Errorf("domain %q: not a canonical domain name", d.Name)
	case j == r.domain:
		return fmt.Errorf("domain %q: is the server's own", d.Name)
	case d.Handler == nil:
		return fmt.Errorf("domain %q: has no handler", d.Name)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.hosted.Load()
	if _, ok := old.byName[d.Name]; ok {
		return fmt.Errorf("domain %q: registered twice", d.Name)
	}
	next := &hosted{byName: make(map[string]xmpp.Handler, len(old.list)+1), list: append(slices.Clone(old.list), d)}
	for _, o := range next.list {
		next.byName[o.Name] = o.Handler
	}
	r.hosted.Store(next)
	return nil
}

// Sessions returns the bound resources of an account; none: nil. The slice is
// shared and must not be changed.
func (r *Router) Sessions(account jid.JID) []xmpp.Session {
	account = account.Bare()
	r.mu.RLock()
	defer r.mu.RUnlock()
	l := r.sessions[account]
	return l[:len(l):len(l)]
}

// find returns the session with that full JID, nil without one.
func (r *Router) find(full jid.JID) *Session {
	for _, s := range r.Sessions(full) {
		if s := s.(*Session); s.jid == full {
			return s
		}
	}
	return nil
}

// Exists reports a local account, by any of its addresses.
func (r *Router) Exists(account jid.JID) bool {
	return account.Domain() == r.conf.Domain && account.Local() != "" && r.conf.Accounts.Exists(account.Local())
}

// Domainpart returns the server's own domain.
func (r *Router) Domainpart() string { return r.conf.Domain }

// Domains returns the hosted component domains in order of registration. The
// slice is shared and must not be changed.
func (r *Router) Domains() []xmpp.Domain { return r.hosted.Load().list }

// Features returns what was registered for exactly that target.
func (r *Router) Features(t xmpp.Target) []string { return slices.Clone(r.tables.features[t]) }

// Identities returns what was registered for exactly that target.
func (r *Router) Identities(t xmpp.Target) []xmpp.Identity { return slices.Clone(r.tables.idents[t]) }

// Forms returns the forms of exactly that target as they are now.
func (r *Router) Forms(t xmpp.Target) []*form.Form {
	var list []*form.Form
	for _, f := range r.tables.forms[t] {
		if x := f(); x != nil {
			list = append(list, x)
		}
	}
	return list
}

// StreamFeatures returns the stream features in order of registration.
func (r *Router) StreamFeatures() []xmpp.StreamFeature { return slices.Clone(r.tables.streams) }

// Table lends a bucket of the store.
func (r *Router) Table(name string) xmpp.Table { return r.conf.Store.Table(name) }

// Tables commits changes to several tables together.
func (r *Router) Tables() xmpp.Tables { return r.conf.Store }

// Log returns the log.
func (r *Router) Log() *slog.Logger { return r.log }
