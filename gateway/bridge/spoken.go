package bridge

import (
	"strconv"
	"strings"

	"doorway/xmpp/stanza"
)

const nsFallback = "urn:xmpp:fallback:0"

// spoken is what is worth a text in a message to a room, "" for nothing: its
// body without the quotation that a reply carries for clients that do not know
// replies (XEP-0428, XEP-0461).
func spoken(st *stanza.Stanza) string {
	for _, x := range noTexts {
		if st.HasChild(x.space, x.local) && x.why != encrypted {
			return ""
		}
	}
	body := st.Body()
	for _, e := range st.Elements() {
		if e.Name.Space != nsFallback || e.Name.Local != "fallback" || e.Attr("for") != nsReply {
			continue
		}
		if part := e.Child("", "body"); part != nil {
			body = without(body, part.Attr("start"), part.Attr("end"))
		}
	}
	body = strings.TrimSpace(body)
	if body != "" && st.HasChild(nsCorrect, "replace") {
		return "(corrected) " + body
	}
	return body
}

// without leaves the characters from start to end out of a body (XEP-0428 §2.2 counts code points); numbers that
// are none, or not of this body, leave all of it.
func without(body, start, end string) string {
	runes := []rune(body)
	from, err := strconv.Atoi(start)
	to, err2 := strconv.Atoi(end)
	if err != nil || err2 != nil || from < 0 || to > len(runes) || from >= to || to-from == len(runes) {
		return body
	}
	return string(runes[:from]) + string(runes[to:])
}

func isEncrypted(st *stanza.Stanza) bool {
	for _, x := range noTexts {
		if x.why == encrypted && st.HasChild(x.space, x.local) {
			return true
		}
	}
	return false
}
