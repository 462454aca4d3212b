package emulator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"
)

// Client talks to the control socket of an emulator that runs as a process of
// its own. It is safe for concurrent use.
type Client struct {
	Socket string
}

// Do sends one request. An answer that names an error is returned as one.
func (c Client) Do(ctx context.Context, r Request) (Response, error) {
	var out Response
	var d net.Dialer
	var conn net.Conn
	err := shortPath(c.Socket, func(p string) (err error) {
		conn, err = d.DialContext(ctx, "unix", p)
		return err
	})
	if err != nil {
		return out, fmt.Errorf("no emulator answers at %s: %w", c.Socket, err)
	}
	defer conn.Close()
	limit, ok := ctx.Deadline()
	if !ok {
		limit = time.Now().Add(10 * time.Second)
	}
	if err := conn.SetDeadline(limit); err != nil {
		return out, err
	}
	if err := json.NewEncoder(conn).Encode(r); err != nil {
		return out, err
	}
	if err := json.NewDecoder(conn).Decode(&out); err != nil {
		return out, fmt.Errorf("answer of the emulator: %w", err)
	}
	if out.Error != "" {
		return out, errors.New(out.Error)
	}
	return out, nil
}

// Send makes the phone with a number text the modem.
func (c Client) Send(ctx context.Context, number, text string) error {
	_, err := c.Do(ctx, Request{Op: "send", From: number, Text: text})
	return err
}

// Call makes the phone with a number call the modem, which rings so many times.
func (c Client) Call(ctx context.Context, number string, rings int) error {
	_, err := c.Do(ctx, Request{Op: "call", From: number, Rings: rings})
	return err
}

// Log returns the messages that a phone received.
func (c Client) Log(ctx context.Context, number string) ([]PhoneMessage, error) {
	r, err := c.Do(ctx, Request{Op: "log", Number: number})
	var out []PhoneMessage
	for _, m := range r.Messages {
		if !m.Sent {
			out = append(out, m)
		}
	}
	return out, err
}

// Phones lists the phones.
func (c Client) Phones(ctx context.Context) ([]PhoneConfig, error) {
	r, err := c.Do(ctx, Request{Op: "phones"})
	return r.Phones, err
}
