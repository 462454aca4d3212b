package hook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// The styles of a delivery's body.
const (
	// Doorway is JSON: type, timestamp and data.
	Doorway = "doorway"
	// Form has type, timestamp and the members of data as fields of an HTML form.
	Form = "form"
	// SMSEagle is what an SMSEagle sends for a text that came in: the form fields sender, timestamp (local time,
	// YYYYMMDDhhmmss), text, msgid (a number) and apikey. Other events have no such form.
	SMSEagle = "smseagle"
)

// Styles lists what a hook can have.
var Styles = []string{Doorway, Form, SMSEagle}

// checkStyle refuses what does not go together, and fills in what goes without saying.
func checkStyle(h *Hook, apiKey string) error {
	if h.Style == "" {
		h.Style = Doorway
	}
	if h.Method == "" {
		h.Method = http.MethodPost
	}
	eagle := h.Style == SMSEagle
	switch {
	case !eagle && h.Style != Doorway && h.Style != Form:
		return refuse("There is no style %.40q. The styles are %s.", h.Style, strings.Join(Styles, ", "))
	case h.Method != http.MethodPost && (h.Method != http.MethodGet || !eagle):
		return refuse("The method of a webhook is POST, and may be GET in the style %s.", SMSEagle)
	case apiKey != "" && !eagle:
		return refuse("An API key goes with the style %s only; other deliveries are signed.", SMSEagle)
	case len(apiKey) > 200 || strings.ContainsFunc(apiKey, func(c rune) bool { return c < ' ' }):
		return refuse("The API key has at most 200 characters and no line breaks.")
	case eagle && (len(h.Events) > 1 || len(h.Events) == 1 && h.Events[0] != SMSReceived):
		return refuse("The style %s knows the event %s only.", SMSEagle, SMSReceived)
	case eagle:
		h.Events = []string{SMSReceived}
	}
	return nil
}

// request makes the request of a delivery, but for its headers, and returns what is signed: the body or, with GET, the query
// that was added to the hook's address. number tells deliveries apart.
func request(r record, p payload, number uint64) (req *http.Request, signed []byte, err error) {
	signed, kind := []byte(p.Body), "application/json"
	if r.Style == Form || r.Style == SMSEagle {
		var v url.Values
		if r.Style == Form {
			v, err = form(p.Body)
		} else {
			v, err = eagle(p.Body, number, r.APIKey)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("body of %s: %w", p.Event, err)
		}
		signed, kind = []byte(v.Encode()), "application/x-www-form-urlencoded"
	}
	var body io.Reader
	if r.Method != http.MethodGet {
		body = bytes.NewReader(signed)
	}
	req, err = http.NewRequest(http.MethodPost, r.URL, body)
	if err != nil {
		return nil, nil, err
	}
	if r.Method == http.MethodGet {
		req.Method = http.MethodGet
		req.URL.RawQuery = strings.TrimPrefix(req.URL.RawQuery+"&"+string(signed), "&")
		return req, signed, nil
	}
	req.Header.Set("Content-Type", kind)
	return req, signed, nil
}

// form makes form fields of a JSON body: those of data beside type and timestamp.
func form(body []byte) (url.Values, error) {
	var e struct {
		Type, Timestamp string
		Data            map[string]any
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return nil, err
	}
	v := url.Values{"type": {e.Type}, "timestamp": {e.Timestamp}}
	for name, x := range e.Data {
		v.Set(name, fmt.Sprint(x))
	}
	return v, nil
}

// eagle makes the fields of SMSEagle's callback of the JSON body of a text that came in, or of a test.
func eagle(body []byte, number uint64, apiKey string) (url.Values, error) {
	var e struct {
		Timestamp time.Time
		Data      received
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return nil, err
	}
	d := e.Data
	if d.From == "" {
		d.From, d.ReceivedAt = "doorway", e.Timestamp // a test
	}
	return url.Values{"sender": {d.From}, "timestamp": {d.ReceivedAt.Local().Format("20060102150405")}, "text": {d.Text},
		"msgid": {strconv.FormatUint(number, 10)}, "apikey": {apiKey}}, nil
}
