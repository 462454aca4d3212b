package doctor

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Days that a certificate should still have. The own CA's leaf is renewed
// long before, so fewer mean that renewal does not work.
const (
	leafWarn = 14 * 24 * time.Hour
	caWarn   = 180 * 24 * time.Hour
)

// certificate looks at the certificate that clients get: from the running
// server, else from the files.
func certificate(ctx context.Context, b *Box) []Line {
	const name = "certificate"
	var lines []Line
	leaf, err := served(ctx, b)
	switch {
	case err != nil:
		lines = append(lines, fail(name, err.Error()+".", "Read what the server complains of, and `journalctl -u doorway`."))
	case leaf == nil:
		leaf, err = stored(b)
		if err != nil {
			lines = append(lines, fail(name, err.Error()+".", "Name PEM files that belong together in [xmpp], or leave both empty so that the box's own CA issues one."))
		}
	}
	if leaf != nil {
		lines = append(lines, leafLine(leaf, b))
	}
	return append(lines, authority(b)...)
}

// served shakes hands with a listener of the running server; nil without one.
func served(ctx context.Context, b *Box) (*x509.Certificate, error) {
	if b.Facts == nil {
		return nil, nil
	}
	for _, d := range b.Facts.Doors {
		if d.Kind != DirectTLS || d.Addr == "" {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, checkLimit)
		defer cancel()
		conn, err := b.Dial(ctx, "tcp", reach(d.Addr))
		if err != nil {
			continue // the port's own line says so
		}
		defer conn.Close()
		t := tls.Client(conn, probeTLS(b))
		if err := t.HandshakeContext(ctx); err != nil {
			return nil, fmt.Errorf("the server gives no certificate: %w", err)
		}
		return t.ConnectionState().PeerCertificates[0], nil
	}
	return nil, nil
}

// stored reads the certificate from its file; nil when it is still to be made.
func stored(b *Box) (*x509.Certificate, error) {
	if b.Config != nil && b.Config.XMPP.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(b.Config.XMPP.Certificate, b.Config.XMPP.Key)
		if err != nil {
			return nil, fmt.Errorf("%s with %s cannot be used: %w", b.Config.XMPP.Certificate, b.Config.XMPP.Key, err)
		}
		return pair.Leaf, nil
	}
	return readPEM(filepath.Join(b.Dir, "ca", "leaf.pem"))
}

func readPEM(path string) (*x509.Certificate, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
		return nil, nil // not made yet; or a matter of the data folder's line
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, fmt.Errorf("%s holds no certificate", path)
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

func leafLine(leaf *x509.Certificate, b *Box) Line {
	const name = "certificate"
	now, until := b.Now(), leaf.NotAfter.Format(time.DateOnly)
	own := b.Config == nil || b.Config.XMPP.Certificate == ""
	renew := "Renew it where it came from, put the new files in place and run `doorway reload`."
	if own {
		renew = "doorway should have renewed it by itself. Check the clock and restart doorway."
	}
	switch {
	case now.Before(leaf.NotBefore):
		return fail(name, fmt.Sprintf("The certificate begins on %s, which is still to come.", leaf.NotBefore.Format(time.DateOnly)), "Check the clock.")
	case now.After(leaf.NotAfter):
		return fail(name, "The certificate ended on "+until+": clients refuse it.", renew)
	}
	if b.Config != nil {
		if err := leaf.VerifyHostname(b.Config.Domain); err != nil {
			return fail(name, fmt.Sprintf("The certificate is not for %s but for %q: clients refuse it.", b.Config.Domain, leaf.DNSNames), "Get one that names "+b.Config.Domain+", or leave certificate and key empty so that the box's own CA issues one.")
		}
	}
	if leaf.NotAfter.Sub(now) < leafWarn {
		return warn(name, "The certificate ends on "+until+", in "+span(leaf.NotAfter.Sub(now))+".", renew)
	}
	return ok(name, fmt.Sprintf("The certificate for %s is good until %s.", strings.Join(leaf.DNSNames, ", "), until))
}

// authority looks at the box's own CA, which clients trust.
func authority(b *Box) []Line {
	const name = "CA"
	if b.Config != nil && b.Config.XMPP.Certificate != "" {
		return nil
	}
	file := filepath.Join(b.Dir, "ca", "ca.pem")
	ca, err := readPEM(file)
	if err != nil {
		return []Line{fail(name, err.Error()+".", "Restore ca.pem and ca.key from a copy; with a new CA every client has to trust it anew.")}
	}
	if ca == nil {
		return nil
	}
	sum := sha256.Sum256(ca.Raw)
	print := hex.EncodeToString(sum[:])
	text := fmt.Sprintf("Clients trust %s, SHA-256 %s, until %s.", file, print, ca.NotAfter.Format(time.DateOnly))
	switch {
	case b.Facts != nil && b.Facts.Fingerprint != "" && b.Facts.Fingerprint != print:
		return []Line{fail(name, fmt.Sprintf("%s was changed: the running doorway uses a CA with SHA-256 %s, the file has %s.", file, b.Facts.Fingerprint, print), "Put the right file back, or restart doorway to use the new one.")}
	case ca.NotAfter.Sub(b.Now()) < caWarn:
		return []Line{warn(name, text, "Plan a new CA: every client has to trust it.")}
	}
	return []Line{ok(name, text)}
}
