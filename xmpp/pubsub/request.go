package pubsub

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"

	"doorway/xmpp"
	"doorway/xmpp/form"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// request is one request about an owner's nodes.
type request struct {
	s    *Service
	of   jid.JID // the owner
	from jid.JID
	el   *stanza.Element // <pubsub/>
	what *stanza.Element // its first child, which says what is asked
	node string
}

// handler answers a request; the string is what is in the result's <pubsub/>,
// "" for an empty result.
type handler func(r *request, ctx context.Context) (string, error)

// handlers by namespace, type and element.
var handlers = map[string]map[stanza.IQType]map[string]handler{
	Space: {
		stanza.Get: {"items": (*request).items, "subscriptions": (*request).ownSubscriptions, "affiliations": (*request).ownAffiliations, "default": notHere("subscription-options"), "options": notHere("subscription-options")},
		stanza.Set: {"publish": (*request).publish, "retract": (*request).retract, "create": (*request).create, "subscribe": (*request).subscribe, "unsubscribe": (*request).unsubscribe, "options": notHere("subscription-options")},
	},
	SpaceOwner: {
		stanza.Get: {"configure": (*request).configuration, "default": (*request).defaults, "affiliations": (*request).affiliations, "subscriptions": (*request).subscriptions},
		stanza.Set: {"configure": (*request).configure, "delete": (*request).delete, "purge": (*request).purge, "affiliations": (*request).setAffiliations, "subscriptions": (*request).setSubscriptions},
	},
}

func notHere(feature string) handler {
	return func(*request, context.Context) (string, error) { return "", unsupported(feature) }
}

// Handle answers a request about the nodes of an owner: a get or set whose
// payload is <pubsub/> in Space or SpaceOwner.
func (s *Service) Handle(ctx context.Context, of jid.JID, iq *xmpp.IQ) (string, error) {
	space := iq.Payload.Space
	el, _ := iq.Child(space, "pubsub")
	r := &request{s: s, of: of.Bare(), from: iq.From, el: &el}
	for i := range el.Children {
		if el.Children[i].Name.Space == space {
			r.what = &el.Children[i]
			break
		}
	}
	if r.what == nil {
		return "", stanza.NewError(stanza.BadRequest, "The request does not say what is to be done.")
	}
	h := handlers[space][stanza.IQType(iq.Type)][r.what.Name.Local]
	if h == nil {
		return "", stanza.NewError(stanza.FeatureNotImplemented, "Nodes here do not know this request.")
	}
	r.node = r.what.Attr("node")
	inner, err := h(r, ctx)
	if err != nil || inner == "" {
		return "", err
	}
	return "<pubsub xmlns='" + space + "'>" + inner + "</pubsub>", nil
}

// need returns an error when the request names no node.
func (r *request) need() error {
	if r.node == "" {
		return fail("", stanza.BadRequest, "nodeid-required", "The request names no node.")
	}
	return nil
}

// readable has f look at a node that the asker may read.
func (r *request) readable(f func(a *account, n *node) error) error {
	if err := r.need(); err != nil {
		return err
	}
	a, err := r.s.acquire(r.of)
	if err != nil {
		return err
	}
	defer r.s.release(a)
	n := a.get(r.node)
	if n == nil {
		return noNode()
	}
	if err := r.s.mayRead(r.of, n, r.from); err != nil {
		return err
	}
	return f(a, n)
}

// publish is XEP-0060 §7.1.
func (r *request) publish(ctx context.Context) (string, error) {
	if err := r.need(); err != nil {
		return "", err
	}
	items, err := r.payloads()
	if err != nil {
		return "", err
	}
	op := &Op{Kind: Published, Node: r.node, Items: items}
	if o := r.el.Child(Space, "publish-options"); o != nil {
		f, err := form.Of(o)
		if err != nil || f == nil {
			return "", fail("", stanza.BadRequest, "invalid-options", "The options of the publication are no form.")
		}
		op.Require = func(c NodeConfig) (NodeConfig, error) { return c.require(f, &r.s.limits) }
	}
	err = r.s.Change(ctx, r.of, func(t *Tx) error {
		n := t.node(r.node)
		if err := n.mayPublish(r.of, r.from); err != nil {
			return err
		}
		if err := r.fits(t, n, op); err != nil {
			return err
		}
		return t.ask(op)
	})
	if err != nil {
		return "", err
	}
	var w xmlstream.Writer
	w.Start("", "publish", "node", r.node)
	for i := range op.Items {
		w.Start("", "item", "id", op.Items[i].ID).End()
	}
	return w.String(), nil
}

// payloads reads the items to be published (XEP-0060 §7.1.3.5, §7.1.3.6).
func (r *request) payloads() ([]Item, error) {
	var items []Item
	for i := range r.what.Children {
		el := &r.what.Children[i]
		if el.Name != (stanza.Name{Space: Space, Local: "item"}) {
			continue
		}
		it := Item{ID: el.Attr("id")}
		switch len(el.Children) {
		case 0:
			return nil, fail("", stanza.BadRequest, "payload-required", "An item needs something in it.")
		case 1:
		default:
			return nil, fail("", stanza.BadRequest, "invalid-payload", "An item holds one element.")
		}
		if it.XML = el.Children[0].XML(); it.ID == "" {
			it.ID = rand.Text()
		}
		if r.from.Bare() != r.of {
			it.Publisher = r.from.Bare()
		}
		if slices.ContainsFunc(items, func(o Item) bool { return o.ID == it.ID }) {
			return nil, stanza.NewError(stanza.BadRequest, "Two items have the same id.")
		}
		items = append(items, it)
	}
	if len(items) == 0 {
		return nil, fail("", stanza.BadRequest, "item-required", "There is no item to publish.")
	}
	return items, nil
}

// fits checks what a node demands of payloads, and that nobody overwrites what
// others have published.
func (r *request) fits(t *Tx, n *node, op *Op) error {
	if n == nil {
		return nil
	}
	owns := n.affiliation(r.of, r.from) == owner
	i := -1
	for k := range r.what.Children {
		el := &r.what.Children[k]
		if el.Name != (stanza.Name{Space: Space, Local: "item"}) {
			continue
		}
		i++
		if typ := n.row.Conf.Type; typ != "" && el.Children[0].Name.Space != typ {
			return fail("", stanza.BadRequest, "invalid-payload", "Items of this node are of the namespace "+typ+".")
		}
		if owns {
			continue
		}
		old, err := t.Item(op.Node, op.Items[i].ID)
		if err != nil {
			return err
		}
		if old != nil && old.Publisher != op.Items[i].Publisher {
			return forbidden("This item was published by somebody else.")
		}
	}
	return nil
}

// retract is XEP-0060 §7.2.
func (r *request) retract(ctx context.Context) (string, error) {
	if err := r.need(); err != nil {
		return "", err
	}
	op := &Op{Kind: Retracted, Node: r.node, Tell: true}
	if b, ok := form.Bool(r.what.Attr("notify")); ok {
		op.Tell = b
	}
	for i := range r.what.Children {
		if el := &r.what.Children[i]; el.Name == (stanza.Name{Space: Space, Local: "item"}) {
			id := el.Attr("id")
			if id == "" {
				return "", fail("", stanza.BadRequest, "item-required", "The item to remove has no id.")
			}
			if !slices.ContainsFunc(op.Items, func(o Item) bool { return o.ID == id }) {
				op.Items = append(op.Items, Item{ID: id})
			}
		}
	}
	if len(op.Items) == 0 {
		return "", fail("", stanza.BadRequest, "item-required", "There is no item to remove.")
	}
	return "", r.s.Change(ctx, r.of, func(t *Tx) error {
		n := t.node(r.node)
		if n == nil {
			return noNode()
		}
		if err := r.mayRetract(t, n, op); err != nil {
			return err
		}
		if !n.row.Conf.Persist {
			return unsupported("persistent-items") // XEP-0060 §7.2.3.6
		}
		return t.ask(op)
	})
}

// mayRetract: the owner may remove everything, a publisher what it has published.
func (r *request) mayRetract(t *Tx, n *node, op *Op) error {
	if n.affiliation(r.of, r.from) == owner {
		return nil
	}
	if err := n.mayPublish(r.of, r.from); err != nil {
		return err
	}
	for i := range op.Items {
		it, err := t.Item(op.Node, op.Items[i].ID)
		if err != nil {
			return err
		}
		if it == nil || it.Publisher != r.from.Bare() {
			return forbidden("You can remove what you have published yourself only.")
		}
	}
	return nil
}

// create is XEP-0060 §8.1, with a configuration of §8.1.3.
func (r *request) create(ctx context.Context) (string, error) {
	if r.from.Bare() != r.of {
		return "", forbidden("You can create nodes in your own account only.")
	}
	if r.node == "" { // XEP-0060 §8.1.2, without instant nodes
		return "", fail("", stanza.NotAcceptable, "nodeid-required", "A new node needs a name.")
	}
	c := r.s.defaultConfig(r.node)
	if el := r.el.Child(Space, "configure"); el != nil && len(el.Children) > 0 {
		f, err := form.Of(el)
		if err != nil {
			return "", stanza.NewError(stanza.BadRequest, "The configuration cannot be read.")
		}
		if f != nil {
			if c, err = c.configure(f, &r.s.limits); err != nil {
				return "", err
			}
		}
	}
	err := r.s.Change(ctx, r.of, func(t *Tx) error { return t.ask(&Op{Kind: Created, Node: r.node, Conf: &c}) })
	return "", err
}

// configuration is XEP-0060 §8.2.1.
func (r *request) configuration(_ context.Context) (string, error) {
	n, release, err := r.owned()
	if err != nil {
		return "", err
	}
	defer release()
	var w xmlstream.Writer
	return w.Start("", "configure", "node", r.node).Raw(n.row.Conf.form(form.Ask).XML()).End().String(), nil
}

// owned returns a node of which the asker is an owner.
func (r *request) owned() (*node, func(), error) {
	if err := r.need(); err != nil {
		return nil, nil, err
	}
	a, err := r.s.acquire(r.of)
	if err != nil {
		return nil, nil, err
	}
	n := a.get(r.node)
	err = n.owns(r.of, r.from)
	if err == nil && n == nil {
		err = noNode()
	}
	if err != nil {
		r.s.release(a)
		return nil, nil, err
	}
	return n, func() { r.s.release(a) }, nil
}

// defaults is XEP-0060 §8.3.
func (r *request) defaults(_ context.Context) (string, error) {
	if r.from.Bare() != r.of {
		return "", forbidden("You can ask this of your own account only.")
	}
	c := r.s.defaultConfig(r.node)
	return "<default>" + c.form(form.Ask).XML() + "</default>", nil
}

// change makes a change of a node that the asker owns.
func (r *request) change(ctx context.Context, f func(t *Tx, n *node) error) error {
	if err := r.need(); err != nil {
		return err
	}
	return r.s.Change(ctx, r.of, func(t *Tx) error {
		n := t.node(r.node)
		if err := n.owns(r.of, r.from); err != nil {
			return err
		}
		if n == nil {
			return noNode()
		}
		return f(t, n)
	})
}

// configure is XEP-0060 §8.2.4 and §8.2.5; a cancelled form changes nothing.
func (r *request) configure(ctx context.Context) (string, error) {
	f, err := form.Of(r.what)
	if err != nil || f == nil {
		return "", stanza.NewError(stanza.BadRequest, "There is no form that configures the node.")
	}
	return "", r.change(ctx, func(t *Tx, n *node) error {
		if f.Type == form.Cancel {
			return nil
		}
		c, err := n.row.Conf.configure(f, &r.s.limits)
		if err != nil {
			return err
		}
		return t.ask(&Op{Kind: Configured, Node: r.node, Conf: &c})
	})
}

// delete is XEP-0060 §8.4.
func (r *request) delete(ctx context.Context) (string, error) {
	return "", r.change(ctx, func(t *Tx, _ *node) error { return t.ask(&Op{Kind: Deleted, Node: r.node}) })
}

// purge is XEP-0060 §8.5.
func (r *request) purge(ctx context.Context) (string, error) {
	return "", r.change(ctx, func(t *Tx, n *node) error {
		if !n.row.Conf.Persist {
			return unsupported("persistent-items")
		}
		return t.ask(&Op{Kind: Purged, Node: r.node})
	})
}

// people reads the items of a list that give somebody something.
func (r *request) people(local, attr string) (map[jid.JID]string, error) {
	list := make(map[jid.JID]string)
	for i := range r.what.Children {
		el := &r.what.Children[i]
		if el.Name != (stanza.Name{Space: SpaceOwner, Local: local}) {
			continue
		}
		j, err := jid.Parse(el.Attr("jid"))
		if err != nil {
			return nil, fail("", stanza.BadRequest, "invalid-jid", fmt.Sprintf("%q is no address.", el.Attr("jid")))
		}
		list[j.Clone()] = strings.Clone(el.Attr(attr))
	}
	if len(list) == 0 {
		return nil, stanza.NewError(stanza.BadRequest, "The request names nobody.")
	}
	return list, nil
}
