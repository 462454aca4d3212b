package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"doorway/gateway/token"
)

const (
	bodyLimit   = 1 << 20
	replyAge    = 24 * time.Hour
	pruneEvery  = time.Hour
	maxKeyBytes = 255
)

// Table keeps the replies to requests with an Idempotency-Key.
type Table interface {
	Get(key string, v any) (bool, error)
	Write(changes map[string]any) error
	Range(from, to string, reverse bool, f func(key string, raw []byte) (more bool)) error
}

// reply is a row of the table: token, NUL, key.
type reply struct {
	V      int       `json:"v"`
	Hash   string    `json:"hash"` // of method, path and body
	Status int       `json:"status"`
	Body   []byte    `json:"body"`
	At     time.Time `json:"at"` // of the request
}

// running are the keys that are being worked on.
type running struct {
	mu   sync.Mutex // guards keys
	keys map[string]bool
}

func (r *running) begin(key string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.keys[key] {
		return false
	}
	if r.keys == nil {
		r.keys = map[string]bool{}
	}
	r.keys[key] = true
	return true
}

func (r *running) end(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.keys, key)
}

// change answers a POST. f gets the body and a name of the request that is the same when it is repeated, "" without an
// Idempotency-Key, and returns what is answered; it may be called again for a request that was cut off before its answer was
// kept, and must then do nothing twice.
type change func(ctx context.Context, who token.Token, body []byte, name string, r *http.Request) (status int, answer any, p *Problem)

// once makes a handler of a change: the same Idempotency-Key gets the same answer for a day.
func (s *Server) once(f change) handler {
	return func(w http.ResponseWriter, r *http.Request, who token.Token) *Problem {
		body, p := readBody(w, r)
		if p != nil {
			return p
		}
		key, p := idempotencyKey(r)
		if p != nil {
			return p
		}
		if key == "" {
			return s.run(w, r, who, body, f)
		}
		return s.repeatable(w, r, who, body, key, f)
	}
}

// each makes a handler of a change that is made anew each time.
func (s *Server) each(f change) handler {
	return func(w http.ResponseWriter, r *http.Request, who token.Token) *Problem {
		body, p := readBody(w, r)
		if p != nil {
			return p
		}
		return s.run(w, r, who, body, f)
	}
}

func (s *Server) run(w http.ResponseWriter, r *http.Request, who token.Token, body []byte, f change) *Problem {
	status, answer, p := f(context.WithoutCancel(r.Context()), who, body, "", r)
	if p != nil {
		return p
	}
	s.json(w, status, answer)
	return nil
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, *Problem) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyLimit))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, problem("too-large", "The request is larger than one megabyte.")
	case err != nil:
		return nil, problem("invalid-body", "The request ended before its end.")
	}
	return body, nil
}

func idempotencyKey(r *http.Request) (string, *Problem) {
	keys := r.Header.Values("Idempotency-Key")
	if len(keys) == 0 {
		return "", nil
	}
	if k := keys[0]; len(keys) > 1 || k == "" || len(k) > maxKeyBytes || strings.ContainsFunc(k, func(c rune) bool { return c < '!' || c > '~' }) {
		return "", problem("invalid-parameter", "The header Idempotency-Key must have 1 to 255 visible ASCII characters, without spaces.")
	}
	return keys[0], nil
}

func (s *Server) repeatable(w http.ResponseWriter, r *http.Request, who token.Token, body []byte, key string, f change) *Problem {
	row := who.ID + "\x00" + key
	if !s.running.begin(row) {
		return problem("idempotency-in-progress", "A request with this Idempotency-Key is being worked on. Ask again in a moment.")
	}
	defer s.running.end(row)
	h := sha256.New()
	fmt.Fprintf(h, "%s\x00%s\x00", r.Method, r.URL.Path)
	h.Write(body)
	hash := hex.EncodeToString(h.Sum(nil))
	var old reply
	found, err := s.c.Replies.Get(row, &old)
	found = found && time.Since(old.At) < replyAge
	switch {
	case err != nil:
		return s.unavailable(err)
	case found && old.Hash != hash:
		return problem("idempotency-mismatch", "This Idempotency-Key came with another request. Use a new key for each request.")
	case found && old.Status != 0:
		w.Header().Set("Idempotency-Replayed", "true")
		s.raw(w, old.Status, old.Body)
		return nil
	case !found:
		// The request itself is kept before anything is done, so that another one with its key is told from its repetition
		// also when this one is cut off.
		old = reply{V: 1, Hash: hash, At: time.Now().Round(0)}
		if err := s.c.Replies.Write(map[string]any{row: old}); err != nil {
			return s.unavailable(err)
		}
	}
	// With its time, since the key of a request of yesterday may be used for another.
	name := row + "\x00" + strconv.FormatInt(old.At.UnixNano(), 36)
	// A client that goes away does not stop what it has begun.
	status, answer, p := f(context.WithoutCancel(r.Context()), who, body, name, r)
	if p != nil {
		if p.Status != http.StatusServiceUnavailable { // nothing was done: the key is free again
			if err := s.c.Replies.Write(map[string]any{row: nil}); err != nil {
				return s.unavailable(err)
			}
		}
		return p
	}
	b, err := json.Marshal(answer)
	if err != nil {
		s.c.Log.Error("answer cannot be encoded", "comp", "api", "err", err)
		return problem("internal", "doorway has a fault here; its log has the details.")
	}
	b = append(b, '\n')
	if err := s.c.Replies.Write(map[string]any{row: reply{V: 1, Hash: hash, Status: status, Body: b, At: old.At}}); err != nil {
		return s.unavailable(err) // repeated, it does nothing twice
	}
	s.raw(w, status, b)
	return nil
}

func (s *Server) unavailable(err error) *Problem {
	s.c.Log.Error("request not stored", "comp", "api", "err", err)
	return problem("store-unavailable", "The request could not be stored, so it was not done. Repeat it in a moment.")
}

// Run forgets replies that are over a day old, until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	t := time.NewTicker(pruneEvery)
	defer t.Stop()
	for {
		if err := s.prune(time.Now()); err != nil {
			s.c.Log.Error("old replies not deleted", "comp", "api", "err", err)
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *Server) prune(now time.Time) error {
	for from := ""; ; {
		old, last := map[string]any{}, ""
		err := s.c.Replies.Range(from, "", false, func(key string, raw []byte) bool {
			last = key
			var r reply
			if json.Unmarshal(raw, &r) != nil || now.Sub(r.At) >= replyAge {
				old[key] = nil
			}
			return len(old) < 100
		})
		if err != nil {
			return err
		}
		if len(old) > 0 {
			if err := s.c.Replies.Write(old); err != nil {
				return err
			}
		}
		if len(old) < 100 {
			return nil
		}
		from = last + "\x00"
	}
}

// decode reads a body of one JSON object without unknown fields.
func decode(body []byte, v any) *Problem {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil && d.More() {
		err = errors.New("more than one value")
	}
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrong):
		return problem("invalid-body", "A field has a value of the wrong kind.", Fault{"/" + strings.ReplaceAll(wrong.Field, ".", "/"), "This must be " + jsonKind(wrong.Type) + ", not " + wrong.Value + "."})
	case strings.HasPrefix(err.Error(), "json: unknown field "):
		name := strings.Trim(strings.TrimPrefix(err.Error(), "json: unknown field "), `"`)
		return problem("unknown-field", "The field "+name+" means nothing here.", Fault{"/" + name, "Remove this field."})
	}
	return problem("invalid-body", "The body is not one JSON object: "+err.Error()+".")
}

// jsonKind names what JSON calls a Go type.
func jsonKind(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Int, reflect.Int64, reflect.Uint64, reflect.Float64:
		return "a number"
	}
	return "a string"
}
