package api

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// Problem is an answer that says no (RFC 9457).
type Problem struct {
	Type     string  `json:"type"` // /problems/ and the slug
	Title    string  `json:"title"`
	Status   int     `json:"status"`
	Detail   string  `json:"detail,omitempty"` // a sentence with what to do next
	Instance string  `json:"instance,omitempty"`
	Errors   []Fault `json:"errors,omitempty"`

	retry int // seconds of Retry-After, 0 for none
	slug  string
}

// Fault is one place of a request that is wrong.
type Fault struct {
	Pointer string `json:"pointer"` // JSON pointer (RFC 6901) into the request's body
	Detail  string `json:"detail"`
}

// kind is a row of the table of problems.
type kind struct {
	slug   string
	status int
	title  string
	about  string // the page at /problems/slug
}

var kinds = []kind{
	{"unauthorized", 401, "Unauthorized", "The request has no valid token. Send one as Authorization: Bearer TOKEN. `doorway token add NAME` makes one; a token that was revoked or has expired is not taken any more."},
	{"forbidden-scope", 403, "Not allowed with this token", "The token lacks the scope that this needs. Make a token with that scope: `doorway token add NAME --scope SCOPE`."},
	{"plain-http", 403, "Not allowed without TLS", "A token that travels without TLS can be read on the way, so it is not taken. Use https, or allow the network of the old device: `doorway token add NAME --network 192.168.1.0/24`."},
	{"not-found", 404, "Not found", "There is nothing at this address, or there is no text or webhook with this id."},
	{"method-not-allowed", 405, "Method not allowed", "The address exists, but not for this method; the header Allow lists the methods it knows."},
	{"not-waiting", 409, "Too late", "Only a text that waits can be withdrawn. This one is being sent, or was sent."},
	{"idempotency-in-progress", 409, "The first request is under way", "A request with this Idempotency-Key is being worked on. Wait, and ask again with the same key."},
	{"too-large", 413, "Too large", "A request may have at most one megabyte."},
	{"invalid-body", 400, "The request cannot be read", "The body must be one JSON object as the API's description at /api/v1/openapi.json has it; errors names what is wrong in it."},
	{"unknown-field", 400, "Unknown field", "The body has a field that means nothing here, perhaps because of a typing error."},
	{"invalid-parameter", 400, "Invalid parameter", "A parameter in the address or a header has a value that means nothing."},
	{"no-recipient", 422, "No recipient", "There is nobody to send to."},
	{"bad-number", 422, "Not a phone number", "None of the recipients is a number that can be texted. Write numbers with + and the country code."},
	{"opted-out", 422, "The recipient wants no texts", "The recipient has texted STOP. Only START from that number, or the administrator on the recipient's behalf, changes that."},
	{"refused", 422, "Not allowed here", "The house does not allow this: a number abroad, a premium number, a number on a list, an empty text, or one that is too long."},
	{"idempotency-mismatch", 422, "Idempotency-Key used before", "This Idempotency-Key came with another request within the last day. Use a new key for each request, and the old one only to repeat it."},
	{"rate-limited", 429, "Too many", "Too many requests with a wrong token came from this address, the token has made all the requests of its rate, or the texts of today are used up. The header Retry-After says how many seconds to wait."},
	{"internal", 500, "A fault of doorway", "This should not happen. doorway's log has the details."},
	{"store-unavailable", 503, "Not stored", "The request could not be stored, so nothing was done. Repeat it after the time in Retry-After; look at the disk if it goes on."},
	{"starting", 503, "Starting", "doorway is just starting or stopping. Repeat the request after the time in Retry-After."},
}

func kindOf(slug string) kind {
	for _, k := range kinds {
		if k.slug == slug {
			return k
		}
	}
	return kind{"internal", 500, "A fault of doorway", ""}
}

// problem makes a Problem of a kind with a sentence.
func problem(slug, detail string, faults ...Fault) *Problem {
	k := kindOf(slug)
	p := &Problem{Type: "/problems/" + k.slug, Title: k.title, Status: k.status, Detail: detail, Errors: faults, slug: k.slug}
	switch k.slug {
	case "store-unavailable", "starting":
		p.retry = 10
	case "idempotency-in-progress":
		p.retry = 1
	}
	return p
}

// refuse answers with a problem.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, p *Problem) {
	if p.Instance == "" {
		p.Instance = r.URL.Path
	}
	if p.retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(p.retry))
	}
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="doorway"`)
	}
	b, err := json.Marshal(p)
	if err != nil {
		s.c.Log.Error("answer cannot be encoded", "comp", "api", "err", err)
		b = []byte("{}")
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	s.write(w, append(b, '\n'))
}

// explain is the page of a kind of problem.
func (s *Server) explain(w http.ResponseWriter, r *http.Request) {
	k := kindOf(r.PathValue("slug"))
	if k.slug != r.PathValue("slug") {
		s.refuse(w, r, problem("not-found", "There is no such kind of problem."))
		return
	}
	var d document
	d.raw("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>")
	d.text(k.title).raw("</title>\n<style>\n").raw(style).raw("</style>\n</head>\n<body>\n<h1>").text(k.title, " (", k.status, " ", k.slug, ")").raw("</h1>\n<p>")
	d.text(strings.ReplaceAll(k.about, "`", "")).raw("</p>\n</body>\n</html>\n")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	s.write(w, []byte(d.b.String()))
}
