package pubsub

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"sort"
	"strings"
	"time"

	"doorway/xmpp/jid"
)

// smallItem is how large a last item may be that stays in memory, in bytes.
const smallItem = 1 << 10

// Item is one thing that was published.
type Item struct {
	ID        string
	Publisher jid.JID   // bare; zero for the owner
	At        time.Time // when it was published
	XML       string    // the payload, which means the same inside any stanza; "" for none
}

// node is a node as it was last committed, or staged. Its fields do not change
// once others may see it, but for what caches, which the account's mu guards.
type node struct {
	name string
	row  nodeRow
	// index is what is there, oldest first; not known, and empty, until whole.
	index []entry
	whole bool
	last  *Item // the last one, when it is small and was asked for
}

// entry is what is known of an item without reading it.
type entry struct {
	id   string
	seq  uint64
	size int
}

// nodeRow is a node on disk.
type nodeRow struct {
	V      int               `json:"v"` // 1
	Conf   NodeConfig        `json:"conf"`
	Affils map[string]string `json:"affils,omitempty"` // bare JID → affiliation; the owner's own is not there
	Subs   map[string]bool   `json:"subs,omitempty"`   // JIDs that are subscribed
	Seq    uint64            `json:"seq"`              // of the newest item ever
	Last   string            `json:"last,omitempty"`   // its id, while it is there
	Count  int               `json:"count,omitempty"`
	Bytes  int64             `json:"bytes,omitempty"` // of all payloads
}

// itemRow is an item on disk.
type itemRow struct {
	V         int    `json:"v"` // 1
	Seq       uint64 `json:"seq"`
	At        int64  `json:"at"` // microseconds since 1970
	Publisher string `json:"by,omitempty"`
	XML       string `json:"xml"`
}

// encode writes < and > as they are: most of an item consists of them.
func (r *itemRow) encode() json.RawMessage {
	var b bytes.Buffer
	b.Grow(len(r.XML) + len(r.XML)/8 + 96)
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(r) // ignored: strings and numbers only
	return bytes.TrimRight(b.Bytes(), "\n")
}

func (r *itemRow) item(id string) Item {
	by, _ := jid.Parse(r.Publisher) // ignored: "" is the owner
	return Item{ID: id, Publisher: by, At: time.UnixMicro(r.At).UTC(), XML: r.XML}
}

// Neither addresses nor what comes in XML holds a NUL.
func nodeKey(owner jid.JID, name string) string     { return owner.String() + "\x00" + name }
func itemKey(owner jid.JID, name, id string) string { return nodeKey(owner, name) + "\x00" + id }

// load reads an owner's nodes. One that cannot be read is logged and left out.
func (s *Service) load(owner jid.JID) (map[string]*node, error) {
	nodes := make(map[string]*node)
	space := nodeKey(owner, "")
	err := s.nodes.Range(space, owner.String()+"\x01", false, func(key string, raw []byte) bool {
		n := &node{name: strings.Clone(key[len(space):])}
		if err := json.Unmarshal(raw, &n.row); err != nil {
			s.log.Error("node unreadable", "user", owner.String(), "node", n.name, "err", err)
			return true
		}
		n.row.Conf.intern()
		n.know()
		nodes[n.name] = n
		return true
	})
	return nodes, err
}

// know fills in the index where the row says all.
func (n *node) know() {
	switch n.row.Count {
	case 0:
		n.index, n.whole = nil, true
	case 1:
		if n.row.Last != "" {
			n.index, n.whole = []entry{{n.row.Last, n.row.Seq, int(n.row.Bytes)}}, true
		}
	}
}

// readIndex reads what is there of a node's items, oldest first.
func (s *Service) readIndex(owner jid.JID, name string) ([]entry, error) {
	var index []entry
	var bad error
	space := itemKey(owner, name, "")
	err := s.items.Range(space, nodeKey(owner, name)+"\x01", false, func(key string, raw []byte) bool {
		var r itemRow
		if bad = json.Unmarshal(raw, &r); bad != nil {
			return false
		}
		index = append(index, entry{strings.Clone(key[len(space):]), r.Seq, len(r.XML)})
		return true
	})
	if err == nil {
		err = bad
	}
	sort.Slice(index, func(i, j int) bool { return index[i].seq < index[j].seq })
	return index, err
}

// readItem reads one item and its place; nil when it is not there.
func (s *Service) readItem(owner jid.JID, name, id string) (*Item, uint64, error) {
	var r itemRow
	ok, err := s.items.Get(itemKey(owner, name, id), &r)
	if err != nil || !ok {
		return nil, 0, err
	}
	it := r.item(id)
	return &it, r.Seq, nil
}

// get returns a node; nil for none.
func (a *account) get(name string) *node {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.nodes[name]
}

// list returns all nodes, sorted by name.
func (a *account) list() []*node {
	a.mu.Lock()
	defer a.mu.Unlock()
	nodes := slices.Collect(maps.Values(a.nodes))
	slices.SortFunc(nodes, func(x, y *node) int { return strings.Compare(x.name, y.name) })
	return nodes
}

// entries returns a node's index for a reader.
func (s *Service) entries(a *account, n *node) ([]entry, error) {
	a.mu.Lock()
	index, whole := n.index, n.whole
	a.mu.Unlock()
	if whole {
		return index, nil
	}
	return s.readIndex(a.owner, n.name) // not kept: a change may be on its way to the disk
}

// lastOf returns the last item of a node; nil for none.
func (s *Service) lastOf(a *account, n *node) (*Item, error) {
	if n.row.Last == "" {
		return nil, nil
	}
	a.mu.Lock()
	it := n.last
	a.mu.Unlock()
	if it != nil {
		return it, nil
	}
	it, seq, err := s.readItem(a.owner, n.name, n.row.Last)
	if err == nil && it != nil && len(it.XML) <= smallItem && seq <= n.row.Seq { // else it is on its way to the disk
		a.mu.Lock()
		n.last = it
		a.mu.Unlock()
	}
	return it, err
}

// clone is a copy to be changed.
func (n *node) clone() *node {
	c := &node{name: n.name, row: n.row, index: slices.Clone(n.index), whole: n.whole}
	c.row.Affils, c.row.Subs = maps.Clone(n.row.Affils), maps.Clone(n.row.Subs)
	return c
}

// weigh is about how many bytes a node takes in memory.
func (n *node) weigh() int {
	w := 420 + len(n.name) + len(n.row.Last) + len(n.row.Conf.Title) + len(n.row.Conf.Description) + len(n.row.Conf.Type)
	for _, e := range n.index {
		w += 56 + len(e.id)
	}
	for k := range n.row.Affils {
		w += 64 + len(k)
	}
	for k := range n.row.Subs {
		w += 48 + len(k)
	}
	for _, g := range n.row.Conf.Groups {
		w += 32 + len(g)
	}
	if n.last != nil {
		w += 120 + len(n.last.XML)
	}
	return w
}
