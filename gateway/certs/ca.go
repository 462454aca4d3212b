package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

const (
	caLife   = 10 * 365 * 24 * time.Hour
	leafLife = 397 * 24 * time.Hour // with the skew below at most 398 days
	skew     = time.Hour            // certificates begin this much earlier, for clients whose clock is behind
)

// private are the addresses that the CA may certify: private use (RFC 1918,
// RFC 4193), link-local (RFC 3927, RFC 4291) and loopback.
var private = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("fc00::/7"),
	netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("::1/128"),
}

// authority is the own CA.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// oldest is the clock that is believed when the build says nothing.
var oldest = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// BuildTime is the time of the commit that this program was built from.
func BuildTime() time.Time {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key != "vcs.time" {
				continue
			}
			if t, err := time.Parse(time.RFC3339, s.Value); err == nil {
				return t
			}
		}
	}
	return oldest
}

// renew makes what is missing or due of CA and leaf. mu is held.
func (c *Certs) renew() error {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return &Error{Text: fmt.Sprintf("The folder %s for certificates cannot be made: %v. Give the data folder to the user that runs doorway.", c.dir, err), Err: err}
	}
	now := c.o.Now()
	if c.ca == nil {
		ca, err := c.loadCA()
		if errors.Is(err, fs.ErrNotExist) {
			if err := c.clock(now); err != nil {
				return err
			}
			ca, err = c.makeCA(now)
		}
		if err != nil {
			return err
		}
		c.ca = ca
	}
	names, ips := c.subjects()
	if names == nil {
		return &Error{
			Text: fmt.Sprintf("The CA in %s was made for another domain and cannot sign for %s. Move that folder away to get a new CA, which everybody has to trust anew.", c.dir, c.o.Domain),
			Err:  errors.New("domain outside of the CA's name constraints"),
		}
	}
	cert := c.current.Load()
	if cert == nil {
		cert = c.loadLeaf()
	}
	if cert != nil && fresh(cert.Leaf, names, ips, now) {
		c.current.Store(cert)
		return nil
	}
	if err := c.clock(now); err != nil {
		if cert != nil {
			c.current.Store(cert) // better an old one than none
		}
		return err
	}
	cert, err := c.makeLeaf(names, ips, now)
	if err != nil {
		return err
	}
	c.current.Store(cert)
	return nil
}

// clock refuses to mint with a clock that cannot be right.
func (c *Certs) clock(now time.Time) error {
	if !now.Before(c.o.Built) {
		return nil
	}
	return &Error{
		Text: fmt.Sprintf("The clock says %s, which is before this doorway was built, so no certificate is made. Set the clock or connect a time server; doorway goes on by itself.", now.UTC().Format("2006-01-02 15:04 UTC")),
		Err:  ErrClock,
	}
}

// fresh reports that a leaf is right for the names and not due for renewal.
func fresh(leaf *x509.Certificate, names []string, ips []net.IP, now time.Time) bool {
	life := leaf.NotAfter.Sub(leaf.NotBefore)
	if now.Before(leaf.NotBefore) || now.After(leaf.NotBefore.Add(life*2/3)) {
		return false
	}
	return slices.Equal(leaf.DNSNames, names) && slices.EqualFunc(leaf.IPAddresses, ips, net.IP.Equal)
}

// subjects returns the names and addresses of the leaf, those that the CA may
// not sign left out; no names when that is so for the domain itself.
func (c *Certs) subjects() (names []string, ips []net.IP) {
	domain := strings.ToLower(c.o.Domain)
	if !c.permits(domain) {
		return nil, nil
	}
	names = []string{domain}
	for _, label := range []string{"conference.", "upload.", "sms."} {
		names = append(names, label+domain)
	}
	extra := slices.Clone(c.o.Names)
	if host, _, _ := strings.Cut(c.o.Hostname, "."); host != "" && host != "localhost" {
		extra = append(extra, host+".local")
	}
	for _, n := range extra {
		if n = strings.ToLower(n); n != "" && c.permits(n) && !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	addrs := append([]netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()}, c.o.Addresses()...)
	var good []netip.Addr
	for _, a := range addrs {
		a = a.Unmap().WithZone("")
		if slices.ContainsFunc(private, func(p netip.Prefix) bool { return p.Contains(a) }) && !slices.Contains(good, a) {
			good = append(good, a)
		}
	}
	slices.SortFunc(good[2:], netip.Addr.Compare) // the order of interfaces means nothing
	for _, a := range good {
		ips = append(ips, a.AsSlice())
	}
	return names, ips
}

// permits reports that the CA may sign for a DNS name.
func (c *Certs) permits(name string) bool {
	if c.ca == nil || len(c.ca.cert.PermittedDNSDomains) == 0 {
		return true
	}
	return slices.ContainsFunc(c.ca.cert.PermittedDNSDomains, func(base string) bool {
		return name == base || strings.HasSuffix(name, "."+base)
	})
}

// systemAddresses asks the system for the addresses of all interfaces.
func systemAddresses() []netip.Addr {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil // ignored: loopback is there in any case
	}
	var out []netip.Addr
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p.Addr())
		}
	}
	return out
}

// makeCA mints the CA.
func (c *Certs) makeCA(now time.Time) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make CA key: %w", err)
	}
	domain := strings.ToLower(c.o.Domain)
	permitted := []string{domain, "local"}
	for _, n := range c.o.Names {
		n = strings.ToLower(n)
		if n != "" && !slices.ContainsFunc(permitted, func(p string) bool { return n == p || strings.HasSuffix(n, "."+p) }) {
			permitted = append(permitted, n)
		}
	}
	t := &x509.Certificate{
		SerialNumber:                serial(),
		Subject:                     pkix.Name{Organization: []string{"doorway"}, CommonName: "doorway CA of " + domain},
		NotBefore:                   now.Add(-skew).UTC().Truncate(time.Second),
		NotAfter:                    now.Add(caLife).UTC().Truncate(time.Second),
		KeyUsage:                    x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid:       true,
		IsCA:                        true,
		MaxPathLenZero:              true,
		PermittedDNSDomainsCritical: true, // RFC 5280 §4.2.1.10: must be
		PermittedDNSDomains:         permitted,
	}
	for _, p := range private {
		bits := 128
		if p.Addr().Is4() {
			bits = 32
		}
		t.PermittedIPRanges = append(t.PermittedIPRanges, &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), bits)})
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, &Error{Text: fmt.Sprintf("No CA can be made for the domain %q: %v. Check `domain` in doorway.toml.", c.o.Domain, err), Err: err}
	}
	// The key first: a certificate without its key would be distributed for nothing.
	if err := c.writePair("ca", [][]byte{der}, key); err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make CA: %w", err)
	}
	return &authority{cert, key}, nil
}

// makeLeaf mints a leaf and keeps it, so that a restart shows clients that
// pin it the same certificate.
func (c *Certs) makeLeaf(names []string, ips []net.IP, now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make leaf key: %w", err)
	}
	until := now.Add(leafLife)
	if until.After(c.ca.cert.NotAfter) {
		until = c.ca.cert.NotAfter
	}
	if !now.Before(until) {
		return nil, &Error{
			Text: fmt.Sprintf("The CA in %s ended on %s. Move that folder away to get a new CA, which everybody has to trust anew.", c.dir, until.Format(time.DateOnly)),
			Err:  errors.New("CA expired"),
		}
	}
	t := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: commonName(names[0])},
		NotBefore:             now.Add(-skew).UTC().Truncate(time.Second),
		NotAfter:              until.UTC().Truncate(time.Second),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		DNSNames:              names,
		IPAddresses:           ips,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, c.ca.cert, key.Public(), c.ca.key)
	if err != nil {
		return nil, &Error{Text: fmt.Sprintf("No certificate can be made for %s: %v. Check `domain` in doorway.toml.", strings.Join(names, ", "), err), Err: err}
	}
	chain := [][]byte{der, c.ca.cert.Raw}
	if err := c.writePair("leaf", chain, key); err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make leaf: %w", err)
	}
	return &tls.Certificate{Certificate: chain, PrivateKey: key, Leaf: leaf}, nil
}

// commonName fits a domain into the 64 characters of RFC 5280 appendix A.1.
func commonName(domain string) string {
	if len(domain) > 64 {
		return "doorway"
	}
	return domain
}

// serial is a random positive number of 127 bits (RFC 5280 §4.1.2.2).
func serial() *big.Int {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // ignored: it ends the program rather than fail
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b)
}

// loadCA reads the CA; fs.ErrNotExist when there is none.
func (c *Certs) loadCA() (*authority, error) {
	certPath, keyPath := filepath.Join(c.dir, "ca.pem"), filepath.Join(c.dir, "ca.key")
	_, certErr := os.Stat(certPath)
	_, keyErr := os.Stat(keyPath)
	if errors.Is(certErr, fs.ErrNotExist) {
		return nil, certErr // a key alone is left from a creation that was cut short
	}
	bad := func(err error) error {
		return &Error{
			Text: fmt.Sprintf("The CA in %s cannot be used: %v. Put ca.pem and ca.key back from a backup, or move the folder away to get a new CA, which everybody has to trust anew.", c.dir, err),
			Err:  fmt.Errorf("load CA: %w", err),
		}
	}
	if keyErr != nil {
		// Not %w: a missing key must not pass for a missing CA.
		return nil, &Error{
			Text: fmt.Sprintf("The key of the CA in %s cannot be read: %v. Put ca.key back from a backup, or move the folder away to get a new CA, which everybody has to trust anew.", c.dir, cause(keyErr)),
			Err:  fmt.Errorf("load CA: %v", keyErr),
		}
	}
	pair, err := tls.LoadX509KeyPair(certPath, keyPath)
	if err != nil {
		return nil, bad(err)
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok || !pair.Leaf.IsCA {
		return nil, bad(errors.New("it is not a CA"))
	}
	if err := os.Chmod(keyPath, 0o600); err != nil {
		return nil, bad(err)
	}
	return &authority{pair.Leaf, key}, nil
}

// loadLeaf returns the kept leaf of this CA, nil when there is none of use.
func (c *Certs) loadLeaf() *tls.Certificate {
	pair, err := tls.LoadX509KeyPair(filepath.Join(c.dir, "leaf.pem"), filepath.Join(c.dir, "leaf.key"))
	if err != nil || pair.Leaf.CheckSignatureFrom(c.ca.cert) != nil {
		return nil // ignored: another is made
	}
	return &pair
}

// writePair writes key and chain, each whole on disk before it gets its name.
func (c *Certs) writePair(name string, chain [][]byte, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode key: %w", err)
	}
	var text []byte
	for _, c := range chain {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c})...)
	}
	err = writeFile(filepath.Join(c.dir, name+".key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
	if err == nil {
		err = writeFile(filepath.Join(c.dir, name+".pem"), text, 0o644)
	}
	if err != nil {
		return &Error{Text: fmt.Sprintf("The certificate cannot be kept in %s: %v. Check the space on the disk and the owner of the folder.", c.dir, cause(err)), Err: err}
	}
	return nil
}

func writeFile(path string, data []byte, mode os.FileMode) error {
	tmp := path + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// cause is the system's word without the path.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
