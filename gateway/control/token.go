package control

import (
	"context"
	"net/netip"
	"time"

	"doorway/gateway/hook"
	"doorway/gateway/token"
)

// TokenAdd is the request of token.add.
type TokenAdd struct {
	Name     string    `json:"name"`
	Scopes   []string  `json:"scopes,omitempty"`
	Networks []string  `json:"networks,omitempty"`
	Expires  time.Time `json:"expires,omitzero"`
	Rate     string    `json:"rate,omitempty"` // such as 60/m
}

// Rotate is the request of token.rotate and webhook.rotate.
type Rotate struct {
	Name    string        `json:"name"`
	Overlap time.Duration `json:"overlap"` // ns: how long the old secret is good beside the new one
}

// TokenMade is its answer; the secret is shown only here.
type TokenMade struct {
	token.Token
	Secret string `json:"secret"`
}

// Name is a request that names one thing.
type Name struct {
	Name string `json:"name"`
}

// Tokens registers token.add, list, rotate and revoke.
func Tokens(s *Server, b *token.Book) {
	Handle(s, "token.add", func(_ context.Context, r TokenAdd) (TokenMade, error) {
		rate, err := token.ParseRate(r.Rate)
		if err != nil {
			return TokenMade{}, &Error{Usage: true, Text: err.Error()}
		}
		t := token.Token{Name: r.Name, Scopes: r.Scopes, Expires: r.Expires, Rate: rate}
		for _, n := range r.Networks {
			p, err := netip.ParsePrefix(n)
			if a, e := netip.ParseAddr(n); err != nil && e == nil {
				p, err = netip.PrefixFrom(a, a.BitLen()), nil
			}
			if err != nil {
				return TokenMade{}, &Error{Usage: true, Text: n + " is not a network: write it such as 192.168.1.0/24."}
			}
			t.Networks = append(t.Networks, p.Masked())
		}
		made, secret, err := b.Add(t)
		return TokenMade{made, secret}, err
	})
	Handle(s, "token.list", func(context.Context, struct{}) ([]token.Token, error) { return b.List(), nil })
	Handle(s, "token.rotate", func(_ context.Context, r Rotate) (TokenMade, error) {
		made, secret, err := b.Rotate(r.Name, r.Overlap)
		return TokenMade{made, secret}, err
	})
	Handle(s, "token.revoke", func(_ context.Context, r Name) (token.Token, error) { return b.Revoke(r.Name) })
}

// WebhookAdd is the request of webhook.add.
type WebhookAdd struct {
	URL    string   `json:"url"`
	Events []string `json:"events,omitempty"`
	Style  string   `json:"style,omitempty"`
	Method string   `json:"method,omitempty"`
	APIKey string   `json:"api_key,omitempty"`
}

// WebhookMade is its answer; the secret is shown only here.
type WebhookMade struct {
	hook.Hook
	Secret string `json:"secret"`
}

// Resend is the request of webhook.resend.
type Resend struct {
	Name     string `json:"name"`
	Delivery uint64 `json:"delivery"`
}

const (
	deliveriesShown = 50               // of a webhook
	attemptLimit    = 30 * time.Second // of a person's patience; a receiver has ten seconds
)

// Webhooks registers webhook.add, list, show, test, resend, rotate, enable and remove.
func Webhooks(s *Server, h *hook.Hooks) {
	Handle(s, "webhook.add", func(_ context.Context, r WebhookAdd) (WebhookMade, error) {
		made, secret, err := h.Add(hook.Hook{URL: r.URL, Events: r.Events, Style: r.Style, Method: r.Method}, r.APIKey)
		return WebhookMade{made, secret}, err
	})
	Handle(s, "webhook.list", func(context.Context, struct{}) ([]hook.Hook, error) { return h.List(), nil })
	Handle(s, "webhook.show", func(_ context.Context, r Name) ([]hook.Delivery, error) {
		return h.Deliveries(r.Name, deliveriesShown)
	})
	attempt := func(ctx context.Context, id uint64, err error) (hook.Delivery, error) {
		if err != nil {
			return hook.Delivery{}, err
		}
		ctx, cancel := context.WithTimeout(ctx, attemptLimit)
		defer cancel()
		return h.Wait(ctx, id)
	}
	Handle(s, "webhook.test", func(ctx context.Context, r Name) (hook.Delivery, error) {
		id, err := h.TestHook(ctx, r.Name)
		return attempt(ctx, id, err)
	})
	Handle(s, "webhook.resend", func(ctx context.Context, r Resend) (hook.Delivery, error) {
		id, err := h.Resend(ctx, r.Name, r.Delivery)
		return attempt(ctx, id, err)
	})
	Handle(s, "webhook.rotate", func(_ context.Context, r Rotate) (WebhookMade, error) {
		made, secret, err := h.Rotate(r.Name, r.Overlap)
		return WebhookMade{made, secret}, err
	})
	Handle(s, "webhook.enable", func(_ context.Context, r Name) (hook.Hook, error) {
		if err := h.Enable(r.Name); err != nil {
			return hook.Hook{}, err
		}
		return h.Get(r.Name)
	})
	Handle(s, "webhook.remove", func(_ context.Context, r Name) (struct{}, error) { return struct{}{}, h.Remove(r.Name) })
}
