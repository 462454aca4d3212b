package roster

// state is one of the nine subscription states of RFC 6121 appendix A.1, seen
// from the user whose roster it is. An unknown contact is in state none.
type state uint8

const (
	none      state = iota // "None"
	noneOut                // "None + Pending Out"
	noneIn                 // "None + Pending In"
	noneOutIn              // "None + Pending Out+In"
	to                     // "To"
	toIn                   // "To + Pending In"
	from                   // "From"
	fromOut                // "From + Pending Out"
	both                   // "Both"
	states                 // how many there are
)

// stateOf composes a state. A pending request beside the subscription it asks
// for has no meaning and is dropped.
func stateOf(hasTo, hasFrom, out, in bool) state {
	switch {
	case hasTo && hasFrom:
		return both
	case hasTo && in:
		return toIn
	case hasTo:
		return to
	case hasFrom && out:
		return fromOut
	case hasFrom:
		return from
	case out && in:
		return noneOutIn
	case out:
		return noneOut
	case in:
		return noneIn
	}
	return none
}

// hasTo reports that the user sees the contact.
func (s state) hasTo() bool { return s == to || s == toIn || s == both }

// hasFrom reports that the contact sees the user.
func (s state) hasFrom() bool { return s == from || s == fromOut || s == both }

// out reports a request of the user that waits for the contact's answer.
func (s state) out() bool { return s == noneOut || s == noneOutIn || s == fromOut }

// in reports a request of the contact that waits for the user's answer.
func (s state) in() bool { return s == noneIn || s == noneOutIn || s == toIn }

// granted is the state after the user's approval of a pending or future request.
func (s state) granted() state { return stateOf(s.hasTo(), true, s.out(), false) }

// subscription is the value of the roster item's attribute (RFC 6121 §2.1.2.5).
func (s state) subscription() string {
	switch {
	case s == both:
		return "both"
	case s.hasTo():
		return "to"
	case s.hasFrom():
		return "from"
	}
	return "none"
}

// verb is a type of subscription stanza.
type verb uint8

const (
	subscribe verb = iota
	unsubscribe
	subscribed
	unsubscribed
	verbs // how many there are
)

// String is the type attribute.
func (v verb) String() string {
	return [verbs]string{"subscribe", "unsubscribe", "subscribed", "unsubscribed"}[v]
}

// verbOf reports whether a presence type manages subscriptions.
func verbOf(typ string) (verb, bool) {
	switch typ {
	case "subscribe":
		return subscribe, true
	case "unsubscribe":
		return unsubscribe, true
	case "subscribed":
		return subscribed, true
	case "unsubscribed":
		return unsubscribed, true
	}
	return 0, false
}

// outCell says what becomes of a stanza the user sends.
type outCell struct {
	route   bool  // to the contact
	next    state // the user's new state
	approve bool  // noted as a pre-approval (RFC 6121 §3.4)
}

// outbound is RFC 6121 appendix A.2. Where the standard says SHOULD NOT route,
// the stanza is not routed. An outbound unsubscribed also takes back a
// pre-approval, in every state (§3.2.2, §3.4.2).
var outbound = [verbs][states]outCell{
	subscribe: { // A.2.1
		none:      {route: true, next: noneOut},
		noneOut:   {route: true, next: noneOut},
		noneIn:    {route: true, next: noneOutIn},
		noneOutIn: {route: true, next: noneOutIn},
		to:        {route: true, next: to},
		toIn:      {route: true, next: toIn},
		from:      {route: true, next: fromOut},
		fromOut:   {route: true, next: fromOut},
		both:      {route: true, next: both},
	},
	unsubscribe: { // A.2.2
		none:      {route: true, next: none},
		noneOut:   {route: true, next: none},
		noneIn:    {route: true, next: noneIn},
		noneOutIn: {route: true, next: noneIn},
		to:        {route: true, next: none},
		toIn:      {route: true, next: noneIn},
		from:      {route: true, next: from},
		fromOut:   {route: true, next: from},
		both:      {route: true, next: from},
	},
	subscribed: { // A.2.3
		none:      {next: none, approve: true},
		noneOut:   {next: noneOut, approve: true},
		noneIn:    {route: true, next: from},
		noneOutIn: {route: true, next: fromOut},
		to:        {next: to, approve: true},
		toIn:      {route: true, next: both},
		from:      {next: from},
		fromOut:   {next: fromOut},
		both:      {next: both},
	},
	unsubscribed: { // A.2.4
		none:      {next: none},
		noneOut:   {next: noneOut},
		noneIn:    {route: true, next: none},
		noneOutIn: {route: true, next: noneOut},
		to:        {next: to},
		toIn:      {route: true, next: to},
		from:      {route: true, next: none},
		fromOut:   {route: true, next: noneOut},
		both:      {route: true, next: to},
	},
}

// reply is what the server answers in the user's name.
type reply uint8

const (
	silent         reply = iota
	asSubscribed         // auto-reply "subscribed"
	asUnsubscribed       // auto-reply "unsubscribed"
)

// inCell says what becomes of a stanza the contact sends.
type inCell struct {
	deliver bool
	next    state
	reply   reply
}

// inbound is RFC 6121 appendix A.3. Where the standard says SHOULD NOT deliver,
// the stanza is not delivered; where it says SHOULD auto-reply, it is answered.
// A pre-approved subscribe takes preApproved instead.
var inbound = [verbs][states]inCell{
	subscribe: { // A.3.1
		none:      {deliver: true, next: noneIn},
		noneOut:   {deliver: true, next: noneOutIn},
		noneIn:    {next: noneIn},
		noneOutIn: {next: noneOutIn},
		to:        {deliver: true, next: toIn},
		toIn:      {next: toIn},
		from:      {next: from, reply: asSubscribed},
		fromOut:   {next: fromOut, reply: asSubscribed},
		both:      {next: both, reply: asSubscribed},
	},
	unsubscribe: { // A.3.2
		none:      {next: none},
		noneOut:   {next: noneOut},
		noneIn:    {deliver: true, next: none, reply: asUnsubscribed},
		noneOutIn: {deliver: true, next: noneOut, reply: asUnsubscribed},
		to:        {next: to},
		toIn:      {deliver: true, next: to, reply: asUnsubscribed},
		from:      {deliver: true, next: none, reply: asUnsubscribed},
		fromOut:   {deliver: true, next: noneOut, reply: asUnsubscribed},
		both:      {deliver: true, next: to, reply: asUnsubscribed},
	},
	subscribed: { // A.3.3
		none:      {next: none},
		noneOut:   {deliver: true, next: to},
		noneIn:    {next: noneIn},
		noneOutIn: {deliver: true, next: toIn},
		to:        {next: to},
		toIn:      {next: toIn},
		from:      {next: from},
		fromOut:   {deliver: true, next: both},
		both:      {next: both},
	},
	unsubscribed: { // A.3.4
		none:      {next: none},
		noneOut:   {deliver: true, next: none},
		noneIn:    {next: noneIn},
		noneOutIn: {deliver: true, next: noneIn},
		to:        {deliver: true, next: none},
		toIn:      {deliver: true, next: noneIn},
		from:      {next: from},
		fromOut:   {deliver: true, next: from},
		both:      {deliver: true, next: from},
	},
}

// preApproved is A.3.1 note [1] and RFC 6121 §3.4.2: the request is answered
// in the user's name and the user is not asked.
func preApproved(s state) inCell {
	return inCell{next: s.granted(), reply: asSubscribed}
}
