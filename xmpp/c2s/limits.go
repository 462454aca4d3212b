package c2s

import (
	"time"

	"doorway/xmpp/xmlstream"
)

// Limits bounds what a client may take. A zero field means its default,
// given behind it; a negative one, where that is said, no limit.
type Limits struct {
	Unauthenticated int // connections before authentication, in all: 1024
	PerAddress      int // the same from one address (IPv6: one /64): 128

	Negotiation time.Duration // from accept to bind: 60 s, however slowly bytes trickle in
	Element     time.Duration // from the first byte of an element to its last: 60 s
	Idle        time.Duration // silence before the server asks for a sign of life: 5 min
	Answer      time.Duration // silence after that before it gives up: 60 s
	Stall       time.Duration // a write in which no byte moves: 30 s
	Closing     time.Duration // for the closing handshake: 5 s

	PreAuth  xmlstream.Limits // xmlstream.PreAuthLimits
	PostAuth xmlstream.Limits // xmlstream.DefaultLimits

	Queue        int // bytes queued for a client and not yet written: 1 MiB
	UnackedBytes int // bytes written and not yet acknowledged (XEP-0198): 2 MiB
	Unacked      int // the same in stanzas: 10,000

	Resume     time.Duration // how long a lost stream may be resumed (XEP-0198 §5): 5 min; negative: not at all
	ResumeIdle time.Duration // the same for a client that said that nobody looks at it: 10 min
	Absent     int           // stanzas queued meanwhile, and no more bytes than Queue: 1,000

	// Input of one stream. Above its rate a stream is slowed down once it
	// has used up Burst of allowance; ten times that ends it.
	StanzaRate int           // stanzas a second: 200; negative: none
	ByteRate   int           // bytes a second: 256 KiB; negative: none
	Burst      time.Duration // 10 s

	// Trim is how long the process must be quiet, after it has allocated
	// more than 4 MiB, before unused memory is returned to the system: 15 s;
	// negative: never.
	Trim time.Duration
}

// Effective is l with the defaults in place of zero fields: what a Server made
// with l enforces.
func (l Limits) Effective() Limits { return l.withDefaults() }

func (l Limits) withDefaults() Limits {
	number(&l.Unauthenticated, 1024)
	number(&l.PerAddress, 128)
	number(&l.Negotiation, 60*time.Second)
	number(&l.Element, 60*time.Second)
	number(&l.Idle, 5*time.Minute)
	number(&l.Answer, 60*time.Second)
	number(&l.Stall, 30*time.Second)
	number(&l.Closing, 5*time.Second)
	if l.PreAuth == (xmlstream.Limits{}) {
		l.PreAuth = xmlstream.PreAuthLimits
	}
	if l.PostAuth == (xmlstream.Limits{}) {
		l.PostAuth = xmlstream.DefaultLimits
	}
	number(&l.Queue, 1<<20)
	number(&l.UnackedBytes, 2<<20)
	number(&l.Unacked, 10_000)
	number(&l.Resume, 5*time.Minute)
	number(&l.ResumeIdle, 10*time.Minute)
	number(&l.Absent, 1000)
	number(&l.StanzaRate, 200)
	number(&l.ByteRate, 256<<10)
	number(&l.Burst, 10*time.Second)
	number(&l.Trim, 15*time.Second)
	return l
}

func number[T int | time.Duration](v *T, usual T) {
	if *v == 0 {
		*v = usual
	}
}
