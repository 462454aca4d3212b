package presence

import (
	"strconv"
	"strings"

	"doorway/xmpp/stanza"
)

// check validates available presence and returns its priority (RFC 6121
// §4.7.2): at most one show of the four defined ones, at most one priority, an
// integer from −128 to 127. Nothing is parsed when neither word occurs.
func check(st *stanza.Stanza) (priority int8, err error) {
	inner := st.Inner()
	if !strings.Contains(inner, "priority") && !strings.Contains(inner, "show") {
		return 0, nil
	}
	var shows, priorities int
	els := st.Elements()
	for i := range els {
		el := &els[i]
		if el.Name.Space != "" && el.Name.Space != "jabber:client" {
			continue
		}
		text := strings.TrimSpace(el.Text)
		switch el.Name.Local {
		case "show":
			shows++
			switch text {
			case "away", "chat", "dnd", "xa":
			default:
				return 0, stanza.NewError(stanza.BadRequest, "The show of a presence is away, chat, dnd or xa.")
			}
		case "priority":
			priorities++
			n, err := strconv.ParseInt(text, 10, 8)
			if err != nil {
				return 0, stanza.NewError(stanza.BadRequest, "A priority is a whole number from -128 to 127.")
			}
			priority = int8(n)
		default:
			continue
		}
		if shows > 1 || priorities > 1 || len(el.Children) > 0 {
			return 0, stanza.NewError(stanza.BadRequest, "A presence has one show and one priority at most, in plain text.")
		}
	}
	return priority, nil
}
