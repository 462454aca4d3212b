package hook

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"syscall"
	"time"

	"doorway/transports"
)

const (
	workers     = 4 // hooks that are told at the same time
	answerLimit = 10 * time.Second
	retryFor    = 24 * time.Hour
)

// pauses between the tries of a delivery; the last one repeats.
var pauses = [...]time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, time.Hour, 4 * time.Hour}

// errForbidden says that an address may not be called.
var errForbidden = errors.New("this address may not be called by webhooks")

// permit refuses the machine itself and what is no address of one other machine.
func permit(a netip.Addr) error {
	a = a.Unmap()
	switch {
	case !a.IsValid(), a.IsLoopback(), a.IsLinkLocalUnicast(), a.IsMulticast(), a.IsUnspecified(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return fmt.Errorf("%s: %w", a, errForbidden)
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return fmt.Errorf("look at the addresses of this machine: %w", err)
	}
	for _, o := range own {
		if p, err := netip.ParsePrefix(o.String()); err == nil && p.Addr().Unmap() == a {
			return fmt.Errorf("%s is this machine: %w", a, errForbidden)
		}
	}
	return nil
}

// dialer goes straight to permitted addresses (design §11): the check is made where the connection is, after the name was
// resolved, so that no answer of a name server gets around it.
func dialer(permit func(netip.Addr) error) *net.Dialer {
	return &net.Dialer{Timeout: answerLimit, Control: func(_, address string, _ syscall.RawConn) error {
		a, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("%s: %w", address, errForbidden)
		}
		return permit(a.Addr())
	}}
}

// roundTrip sends one request over a connection of its own (RFC 9112) and returns its status. It is all that deliveries
// need of a client: no redirects, proxies, cookies, or connections that are kept; the one of net/http costs the binary 0.7 MB.
func (h *Hooks) roundTrip(ctx context.Context, req *http.Request) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	u := req.URL
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	conn, err := h.dial.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if end, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(end); err != nil {
			return 0, err
		}
	}
	if u.Scheme == "https" {
		c := tls.Client(conn, &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12, RootCAs: h.o.Roots})
		if err := c.HandshakeContext(ctx); err != nil {
			return 0, err
		}
		conn = c
	}
	req.Close = true
	if err := req.Write(conn); err != nil {
		return 0, err
	}
	r := bufio.NewReader(io.LimitReader(conn, maxAnswer))
	for {
		resp, err := http.ReadResponse(r, req)
		if err != nil {
			return 0, err
		}
		resp.Body.Close() // what the receiver says beside its status is nobody's business
		if resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			return resp.StatusCode, nil
		}
	}
}

// maxAnswer is how much of an answer is read.
const maxAnswer = 32 << 10

// Run delivers until ctx ends; a delivery under way is waited for, ten seconds at most.
func (h *Hooks) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	var mu sync.Mutex // guards errs
	var errs []error
	task := func(f func() error) {
		wg.Go(func() { // waited for below
			if err := f(); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
	}
	task(func() error { return h.queue.Run(ctx) })
	for range workers {
		task(func() error { return h.queue.Serve(ctx, transports.Lease{}, h.deliver) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// deliver makes one try.
func (h *Hooks) deliver(ctx context.Context, it transports.Item) error {
	job := it.Job()
	var p payload
	if err := json.Unmarshal(job.Payload, &p); err != nil {
		return it.Save(transports.Failed, nil, "The record of this delivery is damaged.")
	}
	r, ok := h.get(p.Hook)
	switch {
	case !ok:
		return it.Save(transports.Cancelled, nil, "The webhook was removed.")
	case r.Off != "" && job.Priority != byHand:
		return it.Save(transports.Cancelled, nil, "The webhook is switched off: "+r.Off)
	}
	number := p.Number
	if number == 0 {
		number = job.ID
	}
	code, err := h.post(context.WithoutCancel(ctx), r, p, number)
	now := h.o.Now()
	p.Code = code
	raw, bad := json.Marshal(p)
	if bad != nil {
		return bad
	}
	switch {
	case err == nil && code >= 200 && code < 300:
		return it.Save(transports.Delivered, raw, fmt.Sprintf("answered %d", code))
	case err == nil && code == http.StatusGone:
		why := "The receiver answered 410, which means that it wants no more deliveries. Switch the webhook on again with `doorway webhook enable`."
		if err := h.edit(r.ID, func(r *record) { r.Off = why }); err != nil && !errors.Is(err, ErrUnknown) {
			return err
		}
		h.o.Log.Warn("webhook switched off, its receiver is gone", "comp", "hook", "ref", r.ID)
		return it.Save(transports.Failed, raw, why)
	}
	why := reason(code, err)
	pause := h.pauses[min(max(job.Attempts-1, 0), len(h.pauses)-1)]
	at := now.Add(time.Duration(float64(pause) * (0.8 + 0.4*rand.Float64())))
	if at.Sub(job.Created) > retryFor || p.Event == Test || errors.Is(err, errForbidden) {
		h.o.Log.Warn("webhook delivery given up", "comp", "hook", "ref", r.ID, "job", job.ID, "err", why)
		return it.Save(transports.Failed, raw, why)
	}
	h.o.Log.Debug("webhook delivery failed", "comp", "hook", "ref", r.ID, "job", job.ID, "err", why)
	return it.Retry(at, raw, why)
}

// reason explains a failed try to a person; the address of a hook may hold a key, so it is left out.
func reason(code int, err error) string {
	var dns *net.DNSError
	var nerr net.Error
	switch {
	case err == nil && code >= 300 && code < 400:
		return fmt.Sprintf("The receiver answered %d, a redirect, which is not followed. Enter the address it leads to.", code)
	case err == nil:
		return fmt.Sprintf("The receiver answered %d instead of 200.", code)
	case errors.Is(err, errForbidden):
		return "The address of the webhook belongs to this machine or to no single one, so it is not called. Use the address of another machine."
	case errors.As(err, &dns):
		return "The name in the webhook's address is not known: " + dns.Name + ". Check it and the name server of this box."
	case errors.Is(err, syscall.ECONNREFUSED):
		return "Nothing answers at the webhook's address: the connection was refused."
	case errors.As(err, &nerr) && nerr.Timeout():
		return "The receiver gave no answer within ten seconds."
	}
	return "The delivery failed: " + err.Error() + "."
}

// post makes one request and returns its status.
func (h *Hooks) post(ctx context.Context, r record, p payload, number uint64) (int, error) {
	req, body, err := request(r, p, number)
	if err != nil {
		return 0, err
	}
	now := h.o.Now()
	at := strconv.FormatInt(now.Unix(), 10)
	signature := Sign(r.Secret, p.ID, at, body)
	if now.Before(r.OldUntil) {
		signature += " " + Sign(r.Old, p.ID, at, body)
	}
	req.Header.Set("User-Agent", "doorway")
	req.Header.Set("webhook-id", p.ID)
	req.Header.Set("webhook-timestamp", at)
	req.Header.Set("webhook-signature", signature)
	return h.roundTrip(ctx, req)
}

// Sign returns a signature of webhook-signature (Standard Webhooks §Signature scheme).
func Sign(secret []byte, id, timestamp string, body []byte) string {
	m := hmac.New(sha256.New, secret)
	_, _ = fmt.Fprintf(m, "%s.%s.", id, timestamp) // ignored: a hash never fails
	_, _ = m.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(m.Sum(nil))
}
