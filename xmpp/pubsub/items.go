package pubsub

import (
	"context"
	"slices"
	"strconv"

	"doorway/xmpp/form"
	"doorway/xmpp/jid"
	"doorway/xmpp/rsm"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// What one answer holds at most; the rest is asked for in pages. Clients that
// ask for no pages mostly do not know of them, and get all that fits.
const (
	maxPage      = 250
	maxItems     = 1000
	maxPageBytes = 512 << 10
)

// items is XEP-0060 §6.5: the newest first, all or the newest max_items, in
// pages, or those with the given ids. Without a request for pages an answer
// that is not all says so by a page's description (§6.5.4).
func (r *request) items(_ context.Context) (answer string, err error) {
	page, err := rsm.Of(r.el)
	if err != nil {
		return "", err
	}
	asked := r.el.Child(rsm.Space, "set") != nil
	limit := -1
	if v := r.what.Attr("max_items"); v != "" {
		if limit, err = strconv.Atoi(v); err != nil || limit < 0 {
			return "", stanza.NewError(stanza.BadRequest, "The number of items is no number.")
		}
	}
	var ids []string
	for i := range r.what.Children {
		if el := &r.what.Children[i]; el.Name == (stanza.Name{Space: Space, Local: "item"}) {
			ids = append(ids, el.Attr("id"))
		}
	}
	err = r.readable(func(a *account, n *node) error {
		if !n.row.Conf.Persist {
			return unsupported("persistent-items")
		}
		var list []string
		if len(ids) > 0 {
			list = ids[:min(len(ids), maxItems)]
		} else {
			index, err := r.s.entries(a, n)
			if err != nil {
				return err
			}
			for _, e := range slices.Backward(index) {
				list = append(list, e.id)
			}
			if limit >= 0 {
				list = list[:min(limit, len(list))]
			}
		}
		most := maxItems
		if asked {
			most = maxPage
		}
		p, err := cut(list, page, most, len(ids) > 0)
		if err != nil {
			return err
		}
		answer, err = r.write(n, p, len(list), asked && len(ids) == 0)
		return err
	})
	return answer, err
}

// part is a page of a list.
type part struct {
	ids      []string
	from     int
	backward bool
}

// cut takes the page out of the list (XEP-0059 §2), most at most.
func cut(list []string, page rsm.Request, most int, whole bool) (part, error) {
	if whole {
		return part{ids: list}, nil
	}
	from, to := 0, len(list)
	if page.After != "" {
		i := slices.Index(list, page.After)
		if i < 0 {
			return part{}, stanza.NewError(stanza.ItemNotFound, "The item that the page is to follow is not there.")
		}
		from = i + 1
	}
	if page.Before != "" {
		i := slices.Index(list, page.Before)
		if i < 0 {
			return part{}, stanza.NewError(stanza.ItemNotFound, "The item that the page is to stand before is not there.")
		}
		to = i
	}
	size := page.Limit(most)
	from = min(from, to)
	if page.Backward {
		from = max(from, to-size)
	} else {
		to = min(to, from+size)
	}
	return part{list[from:to], from, page.Backward}, nil
}

// write reads and writes the items of a page, as many as fit.
func (r *request) write(n *node, p part, count int, asked bool) (string, error) {
	var items []*Item
	size, cutAt := 0, len(p.ids)
	for i := range p.ids {
		k := i
		if p.backward {
			k = len(p.ids) - 1 - i
		}
		it, _, err := r.s.readItem(r.of, n.name, p.ids[k])
		if err != nil {
			return "", err
		}
		if it == nil {
			continue // not there, or gone meanwhile
		}
		if size += len(it.XML); size > maxPageBytes && len(items) > 0 {
			cutAt = i
			break
		}
		items = append(items, it)
	}
	if p.backward {
		slices.Reverse(items)
		p.from += len(p.ids) - cutAt
	}
	var w xmlstream.Writer
	w.Start("", "items", "node", n.name)
	for _, it := range items {
		it.write(&w, true)
	}
	w.End()
	if asked || len(items) < count && cutAt < len(p.ids) || len(p.ids) < count {
		res := rsm.Result{Index: p.from, Count: count}
		if len(items) > 0 {
			res.First, res.Last = items[0].ID, items[len(items)-1].ID
		}
		w.Raw(res.XML())
	}
	return w.String(), nil
}

// Names calls f with the name and title of each node that viewer may read.
func (s *Service) Names(of, viewer jid.JID, f func(name, title string)) error {
	a, err := s.acquire(of)
	if err != nil {
		return err
	}
	defer s.release(a)
	for _, n := range a.list() {
		if s.mayRead(a.owner, n, viewer) == nil {
			f(n.name, n.row.Conf.Title)
		}
	}
	return nil
}

// Describe is the metadata of a node (XEP-0060 §5.4) as a form; ok is false
// when viewer may not know of it or it is not there.
func (s *Service) Describe(of, viewer jid.JID, name string) (f *form.Form, ok bool, err error) {
	err = s.visible(of, viewer, name, func(a *account, n *node) error {
		c := &n.row.Conf
		f, ok = form.New(form.Result, formMeta,
			form.Field{Var: "pubsub#owner", Kind: form.JIDMulti, Values: []string{a.owner.String()}},
			form.Field{Var: "pubsub#num_items", Kind: form.TextSingle, Values: []string{strconv.Itoa(n.row.Count)}},
			form.Field{Var: "pubsub#num_subscribers", Kind: form.TextSingle, Values: []string{strconv.Itoa(len(n.row.Subs))}},
		), true
		for i := range options {
			switch o := &options[i]; o.name {
			case "pubsub#title", "pubsub#description", "pubsub#type", "pubsub#access_model", "pubsub#publish_model", "pubsub#max_items":
				if v := o.get(c); v[0] != "" {
					f.Fields = append(f.Fields, form.Field{Var: o.name, Kind: form.TextSingle, Label: o.label, Values: v})
				}
			}
		}
		return nil
	})
	return f, ok, err
}

// IDs returns the ids of a node's items, the newest first; ok as in Describe.
func (s *Service) IDs(of, viewer jid.JID, name string) (ids []string, ok bool, err error) {
	err = s.visible(of, viewer, name, func(a *account, n *node) error {
		index, err := s.entries(a, n)
		for _, e := range slices.Backward(index) {
			ids = append(ids, e.id)
		}
		ok = true
		return err
	})
	return ids, ok, err
}

// visible has f look at a node, if it is there and viewer may read it.
func (s *Service) visible(of, viewer jid.JID, name string, f func(*account, *node) error) error {
	a, err := s.acquire(of)
	if err != nil {
		return err
	}
	defer s.release(a)
	n := a.get(name)
	if n == nil || s.mayRead(a.owner, n, viewer) != nil {
		return nil
	}
	return f(a, n)
}
