// Package certs gives doorway its TLS certificate: one that the box's own
// small CA issues, or the PEM files that the configuration names.
//
// The CA is made once (ECDSA P-256, ten years) and constrained to the domain,
// .local and private addresses (RFC 5280 §4.2.1.10), so that a person who
// trusts it does not trust it for anything else. Its leaf holds all names and
// addresses of the box, lives 397 days and is renewed at two thirds of that,
// or when a name or address changes; open streams are not touched, since each
// handshake asks for the newest certificate. The chain that is sent includes
// the CA. Nothing is minted while the clock is before the build date.
//
// Files in the data folder, all of them outside of the store and of plain
// backups: ca/ca.pem, ca/ca.key (0600), ca/leaf.pem, ca/leaf.key (0600).
//
// Left out: ACME, revocation.
//
// Goroutines: none but the caller's of Run.
package certs

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Error is an error with a sentence for the person who runs the box.
type Error struct {
	Text string // a sentence, with what to do next
	Err  error  // for the log
}

func (e *Error) Error() string { return e.Text }
func (e *Error) Unwrap() error { return e.Err }

// ErrNoCertificate is what a handshake fails with while there is none; Problem
// says why.
var ErrNoCertificate = errors.New("no certificate yet")

// ErrClock says that the clock is before the build date.
var ErrClock = errors.New("clock before build date")

// Options of Certs.
type Options struct {
	// Domain is the XMPP domain in ASCII (A-labels). Certificates of the own
	// CA name it with conference., upload. and sms. before it.
	Domain string
	// Names are further DNS names, such as other component domains. Those
	// below Domain or .local are always possible; others only when they were
	// given when the CA was made.
	Names []string
	// Hostname is the box's own; "" asks the system. <host>.local is a name.
	Hostname string
	// Addresses returns the box's current IPs; nil asks the system. Loopback
	// is always added, public addresses are left out.
	Addresses func() []netip.Addr
	// Certificate and Key are PEM files to be used instead of the own CA.
	Certificate, Key string
	// Built is the time before which no clock is believed; zero takes it from
	// the build.
	Built time.Time
	Now   func() time.Time // nil: time.Now
	Log   *slog.Logger     // nil: none
}

// Certs holds the current certificate. Safe for concurrent use.
type Certs struct {
	o       Options
	dir     string
	current atomic.Pointer[tls.Certificate]

	mu      sync.Mutex // guards what follows, and the files
	ca      *authority // nil with configured files, and while the clock is wrong
	files   [2]stamp   // of the configured files as they were loaded
	problem error
}

// stamp tells whether a file changed.
type stamp struct {
	size int64
	mod  time.Time
}

// Open loads or makes the certificate; dir is the data folder. With a wrong
// clock and no certificate yet it succeeds all the same: handshakes fail until
// Run finds the clock set. Errors meant for a person are *Error.
func Open(dir string, o Options) (*Certs, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Built.IsZero() {
		o.Built = BuildTime()
	}
	if o.Addresses == nil {
		o.Addresses = systemAddresses
	}
	if o.Hostname == "" {
		o.Hostname, _ = os.Hostname() // ignored: a box without a name has no <host>.local
	}
	c := &Certs{o: o, dir: filepath.Join(dir, "ca")}
	if err := c.Reload(); err != nil && !errors.Is(err, ErrClock) {
		return nil, err
	}
	return c, nil
}

// TLSConfig returns a new configuration for a server: TLS 1.2 or newer, the
// newest certificate at each handshake.
func (c *Certs) TLSConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.Certificate()
		},
	}
}

// Certificate returns the current certificate, with Leaf set, or
// ErrNoCertificate. The caller must not change it.
func (c *Certs) Certificate() (*tls.Certificate, error) {
	if cert := c.current.Load(); cert != nil {
		return cert, nil
	}
	return nil, ErrNoCertificate
}

// CAFile returns the path of the own CA's certificate (PEM), "" when
// configured files are used. While the clock is wrong at the first start the
// file is not there yet.
func (c *Certs) CAFile() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.o.Certificate != "" {
		return ""
	}
	return filepath.Join(c.dir, "ca.pem")
}

// Fingerprint returns the SHA-256 of the own CA's certificate in lower-case
// hex; "" when there is none.
func (c *Certs) Fingerprint() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ca == nil {
		return ""
	}
	sum := sha256.Sum256(c.ca.cert.Raw)
	return hex.EncodeToString(sum[:])
}

// Problem is why the certificate is missing, old or about to end, in a
// sentence; nil when all is well.
func (c *Certs) Problem() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.problem != nil {
		return c.problem
	}
	if cert := c.current.Load(); cert != nil && c.o.Now().After(cert.Leaf.NotAfter) {
		return &Error{
			Text: fmt.Sprintf("The certificate ended on %s. Renew it, or check the clock.", cert.Leaf.NotAfter.Format(time.DateOnly)),
			Err:  errors.New("certificate expired"),
		}
	}
	return nil
}

// Reload reads the configured files again, or renews the own leaf when that is
// due. On an error the old certificate stays in use.
func (c *Certs) Reload() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.o.Certificate != "" || c.o.Key != "" {
		c.problem = c.loadFiles()
	} else {
		c.problem = c.renew()
	}
	return c.problem
}

// Use takes other PEM files in place of those it was opened with; open streams
// are not touched. On an error nothing changes. It cannot switch between
// configured files and the own CA.
func (c *Certs) Use(certificate, key string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.o.Certificate == "" || certificate == "" {
		return &Error{
			Text: "A running doorway cannot change between its own CA and a certificate from files. Restart it.",
			Err:  errors.New("switch of certificate source"),
		}
	}
	old := c.o
	c.o.Certificate, c.o.Key = certificate, key
	if err := c.loadFiles(); err != nil {
		c.o = old
		return err
	}
	c.problem = nil
	return nil
}

// loadFiles takes the configured PEM files. mu is held.
func (c *Certs) loadFiles() error {
	if c.o.Certificate == "" || c.o.Key == "" {
		return &Error{
			Text: "Only one of `certificate` and `key` is set. Give both PEM files, or neither to use the box's own CA.",
			Err:  errors.New("half a key pair"),
		}
	}
	stamps := c.stamps() // before reading: a change during it is seen by the next look
	cert, err := tls.LoadX509KeyPair(c.o.Certificate, c.o.Key)
	if err != nil {
		text := fmt.Sprintf("The certificate %s with the key %s cannot be used: %v. Both must be PEM files that belong together.", c.o.Certificate, c.o.Key, err)
		var p *fs.PathError
		if errors.As(err, &p) {
			text = fmt.Sprintf("The file %s cannot be read: %v. Check its path and that the user that runs doorway may read it.", p.Path, p.Err)
		}
		return &Error{Text: text, Err: fmt.Errorf("load certificate: %w", err)}
	}
	c.files = stamps
	c.current.Store(&cert)
	return nil
}

func (c *Certs) stamps() (s [2]stamp) {
	for i, path := range []string{c.o.Certificate, c.o.Key} {
		if st, err := os.Stat(path); err == nil { // ignored: loading tells
			s[i] = stamp{st.Size(), st.ModTime()}
		}
	}
	return s
}

// Times of Run.
const (
	lookEvery  = time.Minute      // for changed files and addresses, and the time of renewal
	clockEvery = 10 * time.Second // while the clock is wrong
)

// Run renews and reloads until ctx ends. It returns nil.
func (c *Certs) Run(ctx context.Context) error {
	for {
		wait := lookEvery
		if errors.Is(c.Problem(), ErrClock) {
			wait = clockEvery
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		}
		c.look()
	}
}

// look reloads when there is a reason to, and logs what came of it once.
func (c *Certs) look() {
	c.mu.Lock()
	before, was := c.current.Load(), c.problem
	due := c.o.Certificate == "" || c.problem != nil || c.stamps() != c.files
	c.mu.Unlock()
	if !due {
		return
	}
	err := c.Reload()
	switch after := c.current.Load(); {
	case err != nil && (was == nil || was.Error() != err.Error()):
		c.o.Log.Error("certificate not renewed", "comp", "certs", "err", err)
	case err == nil && (before == nil || !slices.EqualFunc(before.Certificate, after.Certificate, slices.Equal)):
		c.o.Log.Info("certificate renewed", "comp", "certs", "until", after.Leaf.NotAfter)
	}
}
