package bridge

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"doorway/transports"
	"doorway/xmpp"
	"doorway/xmpp/jid"
	"doorway/xmpp/stanza"
)

// Rooms lets contacts take part in rooms (XEP-0045) whose members they are
// through a group: each is an occupant by its own address, and what is said
// there goes to it as a text. The gateway is in such a room itself; it hears for
// all contacts, and speaks for who is no occupant.
type Rooms struct {
	Domain string          // of the rooms
	Groups xmpp.GroupRooms // those with Texts; nil: none
	// Also are rooms that the gateway is in to pass on texts, which are among the recipients of texts; nil: none.
	Also func() []jid.JID
	// Name is what a contact is called in rooms, "" for its id.
	Name func(transports.ContactID) string
	// Account is the address of the person who has a contact's number and another address; the zero JID for none.
	Account func(transports.ContactID) jid.JID
	// Wanted is nil for a contact that may be sent something; nil Wanted: all.
	Wanted func(transports.ContactID) error
	// Cost is what sending a body costs, in the unit of PerDay.
	Cost func(body string) int
	// PerDay bounds what goes from one room to contacts in a day; 0 is no bound.
	PerDay int
	// Answer answers a contact by itself, under a guard against loops.
	Answer func(to transports.ContactID, ref transports.Ref, text string)
}

const (
	roomBuffer  = 4 << 20          // bytes of stanzas from rooms that wait; beyond that the rooms are entered anew
	roomLate    = time.Hour        // what was said longer ago, while the gateway was off, is not sent any more
	roomNamed   = 12 * time.Hour   // a text says again which room it comes from
	roomEcho    = time.Hour        // the same words of a contact go to other contacts once
	roomRefresh = 5 * time.Minute  // names and wishes are looked at so often
	roomStatus  = 10 * time.Second // the gateway's presence in a room changes no more often
)

// hall is the rooms that contacts take part in. One goroutine, run, handles what
// rooms send and keeps the seats; say is called by the session's.
type hall struct {
	b *Bridge
	c Rooms

	wake chan struct{} // capacity 1

	inMu  sync.Mutex // guards in, bytes, lost; a leaf
	in    []*stanza.Stanza
	bytes int
	lost  bool // something did not fit

	mu    sync.Mutex // guards what follows; not held while sending
	rooms map[jid.JID]*hallRoom
	out   map[outKey]bool // contacts that have left a room
	dirty bool            // groups or wishes have changed
	fresh time.Time       // when they were looked at last; zero: rooms are not known
}

type outKey struct {
	contact transports.ContactID
	room    jid.JID
}

// outRecord is the record "out/"+contact+NUL+room: a contact that left, or was made to.
type outRecord struct {
	V  int       `json:"v"`
	At time.Time `json:"at"`
}

// roomRecord is the record "room/"+room.
type roomRecord struct {
	V      int       `json:"v"`
	At     time.Time `json:"at"`             // when the last message was dealt with
	Last   string    `json:"last,omitempty"` // its id
	Day    string    `json:"day,omitempty"`  // of what follows
	Used   int       `json:"used,omitempty"`
	Warned bool      `json:"warned,omitempty"`
	Closed bool      `json:"closed,omitempty"` // the bound is reached
}

// hallRoom is one room.
type hallRoom struct {
	jid   jid.JID
	label string
	seats map[jid.JID]*seat  // by the occupant's full JID
	deaf  int                // contacts that may be sent nothing, and have no seat
	nicks map[string]jid.JID // who has them, as far as the room tells
	rec   roomRecord

	past  []*stanza.Stanza // what was said before the gateway entered
	whole bool             // all of that is here
	ready bool             // and has been dealt with
	echo  map[string]time.Time
	told  string // the gateway's presence, as the room knows it
	when  time.Time
}

func newHall(b *Bridge, c Rooms) (*hall, error) {
	j, err := jid.Parse(c.Domain)
	if err != nil {
		return nil, fmt.Errorf("domain of rooms %q: %w", c.Domain, err)
	}
	c.Domain = j.String()
	h := &hall{b: b, c: c, wake: make(chan struct{}, 1), rooms: map[jid.JID]*hallRoom{}, out: map[outKey]bool{}, dirty: true}
	err = b.c.Table.Range("out/", "out0", false, func(key string, _ []byte) bool {
		contact, room, _ := strings.Cut(strings.TrimPrefix(key, "out/"), "\x00")
		if j, err := jid.Parse(room); err == nil {
			h.out[outKey{transports.ContactID(contact), j}] = true
		}
		return true
	})
	if c.Groups != nil {
		c.Groups.Watch(func(context.Context, xmpp.GroupRoomChange) { h.changed() })
	}
	return h, err
}

// changed has the seats looked at again.
func (h *hall) changed() {
	if h == nil {
		return
	}
	h.mu.Lock()
	h.dirty = true
	h.mu.Unlock()
	h.stir()
}

func (h *hall) stir() {
	if h == nil {
		return
	}
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// isRoom says whether an address is that of a room.
func (h *hall) isRoom(j jid.JID) bool { return h != nil && j.Domain() == h.c.Domain && j.Local() != "" }

// take keeps a stanza of a room for run; false for one that is none. It does not block.
func (h *hall) take(st *stanza.Stanza) bool {
	if h == nil || st.Kind == stanza.IQ || st.From.Domain() != h.c.Domain {
		return false
	}
	if st.To.Local() != "" && (st.Type == "groupchat" || st.Kind == stanza.Presence && st.Type != stanza.TypeError && !strings.Contains(st.Inner(), "110")) {
		return true // the gateway hears and sees it too
	}
	h.inMu.Lock()
	if h.bytes+st.Size() > roomBuffer {
		h.lost = true
	} else {
		h.in, h.bytes = append(h.in, st), h.bytes+st.Size()
	}
	h.inMu.Unlock()
	h.stir()
	return true
}

func (h *hall) taken() (list []*stanza.Stanza, lost bool) {
	h.inMu.Lock()
	defer h.inMu.Unlock()
	list, lost = h.in, h.lost
	h.in, h.bytes, h.lost = nil, 0, false
	return list, lost
}

// run keeps contacts in their rooms until ctx ends, and leaves the rooms then.
func (h *hall) run(ctx context.Context) {
	h.mu.Lock()
	clear(h.rooms)
	h.dirty, h.fresh = true, time.Time{}
	h.mu.Unlock()
	if h.b.current(ctx) == nil { // before that it is not known who may be sent something
		return
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		for {
			list, lost := h.taken()
			for _, st := range list {
				h.handle(ctx, st)
			}
			if lost {
				h.b.log.Warn("rooms said more than could be kept, they are entered anew")
				h.again()
			}
			if len(list) == 0 {
				break
			}
		}
		h.remember(ctx)
		timer.Reset(h.arrange(ctx))
		select {
		case <-ctx.Done():
			h.leaveAll(context.WithoutCancel(ctx))
			return
		case <-h.wake:
		case <-timer.C:
		}
	}
}

// open says whether it is known who is in which room.
func (h *hall) open() bool {
	if h == nil {
		return true
	}
	h.mu.Lock()
	closed := h.fresh.IsZero()
	h.mu.Unlock()
	return !closed
}

// again has the gateway enter all rooms anew, with what it may have missed.
func (h *hall) again() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.rooms {
		r.forget()
		if s := r.seats[h.gateway()]; s != nil {
			s.inside, s.next = false, time.Time{}
		}
	}
}

// forget is for who enters anew: the room tells it what was said before.
func (r *hallRoom) forget() { r.past, r.whole, r.ready = nil, false, false }

// gateway is the occupant that hears.
func (h *hall) gateway() jid.JID {
	j, _ := h.b.self.WithResource(h.b.info.Type) // ignored: a word
	return j
}

// readRecord reads what is known of a room.
func (h *hall) readRecord(room jid.JID) (rec roomRecord) {
	if _, err := h.b.c.Table.Get("room/"+room.String(), &rec); err != nil {
		h.b.log.Error("record of a room unreadable", "room", room.String(), "err", err)
	}
	rec.V = 1
	return rec
}

func (h *hall) keep(r *hallRoom) {
	h.b.c.Table.Later(map[string]any{"room/" + r.jid.String(): r.rec}, func(err error) {
		if err != nil {
			h.b.log.Error("record of a room not stored", "room", r.jid.String(), "err", err)
		}
	})
}

// last is who is in conversation with a contact; false for nobody.
func (b *Bridge) last(c transports.ContactID) (l correspondent, ok bool) {
	if found, err := b.c.Table.Get("last/"+string(c), &l); err != nil || !found {
		return l, false
	}
	return l, b.c.Now().Sub(l.At) <= answerWithin
}

// setLast notes who is in conversation with a contact. Should the record be lost, the answer goes to who answers for it.
func (b *Bridge) setLast(c transports.ContactID, l correspondent) {
	l.V, l.At = 1, b.c.Now()
	b.c.Table.Later(map[string]any{"last/" + string(c): l}, func(err error) {
		if err != nil {
			b.log.Error("last correspondent not stored", "net", masked(c), "err", err)
		}
	})
}

// originOf is what travels with a text of a room.
func (b *Bridge) originOf(from jid.JID, id string, to jid.JID) string {
	raw, _ := json.Marshal(origin{From: from, ID: id, To: to, Room: true, At: b.c.Now().Unix()}) // ignored: cannot fail
	return string(raw)
}
