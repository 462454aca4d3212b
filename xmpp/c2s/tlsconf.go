package c2s

import (
	"crypto"
	_ "crypto/sha256" // links the hashes of certificate signatures
	_ "crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"sync/atomic"

	"doorway/xmpp/sasl"
)

// alpn is the protocol name of direct TLS (XEP-0368 §3).
const alpn = "xmpp-client"

// endpoints finds out which certificate a handshake served, which crypto/tls
// does not tell, and keeps the hash of the newest one (RFC 5929 §4).
type endpoints struct{ last atomic.Pointer[endpoint] }

type endpoint struct {
	cert *tls.Certificate
	hash []byte
}

// watch returns a copy of c that is strict about versions, speaks the given
// ALPN names, and notes on the connection what it serves.
func (e *endpoints) watch(c *tls.Config, protos []string) *tls.Config {
	user := c.Clone()
	w := c.Clone()
	w.MinVersion = max(w.MinVersion, tls.VersionTLS12)
	w.NextProtos = protos
	w.Certificates = nil
	w.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		cert, err := choose(user, hello)
		if s, ok := hello.Conn.(*sock); ok && err == nil {
			s.endPoint = e.of(cert)
		}
		return cert, err
	}
	if ask := c.GetConfigForClient; ask != nil {
		var cache atomic.Pointer[[2]*tls.Config] // what was answered last, and its copy
		w.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			own, err := ask(hello)
			if own == nil || err != nil {
				return nil, err
			}
			if p := cache.Load(); p != nil && p[0] == own {
				return p[1], nil
			}
			inner := own.Clone()
			inner.GetConfigForClient = nil
			pair := &[2]*tls.Config{own, e.watch(inner, protos)}
			cache.Store(pair)
			return pair[1], nil
		}
	}
	return w
}

var errNoCertificate = errors.New("no certificate configured")

// choose selects a certificate as crypto/tls would.
func choose(c *tls.Config, hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c.GetCertificate != nil && (len(c.Certificates) == 0 || hello.ServerName != "") {
		if cert, err := c.GetCertificate(hello); cert != nil || err != nil {
			return cert, err
		}
	}
	if len(c.Certificates) == 0 {
		return nil, errNoCertificate
	}
	i := slices.IndexFunc(c.Certificates, func(cert tls.Certificate) bool {
		return hello.SupportsCertificate(&cert) == nil
	})
	return &c.Certificates[max(i, 0)], nil
}

// of hashes the certificate: with the hash of its signature, SHA-256 in place
// of MD5 and SHA-1; nil where the signature names none (RFC 5929 §4.1).
func (e *endpoints) of(cert *tls.Certificate) []byte {
	if p := e.last.Load(); p != nil && p.cert == cert {
		return p.hash
	}
	p := &endpoint{cert: cert}
	leaf := cert.Leaf
	if leaf == nil && len(cert.Certificate) > 0 {
		leaf, _ = x509.ParseCertificate(cert.Certificate[0]) // ignored: without a leaf there is no binding
	}
	if leaf != nil {
		if h := signatureHash(leaf.SignatureAlgorithm); h != 0 {
			w := h.New()
			w.Write(leaf.Raw)
			p.hash = w.Sum(nil)
		}
	}
	e.last.Store(p)
	return p.hash
}

func signatureHash(a x509.SignatureAlgorithm) crypto.Hash {
	switch a {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.ECDSAWithSHA1,
		x509.SHA256WithRSA, x509.SHA256WithRSAPSS, x509.ECDSAWithSHA256:
		return crypto.SHA256
	case x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384:
		return crypto.SHA384
	case x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512:
		return crypto.SHA512
	}
	return 0
}

// binding is what a TLS connection offers: tls-exporter on TLS 1.3, and on
// 1.2 only with the extended master secret (crypto/tls refuses otherwise).
func binding(c *tls.Conn, endPoint []byte) sasl.Binding {
	b := sasl.Binding{TLS: true, EndPoint: endPoint}
	cs := c.ConnectionState()
	export := func() []byte {
		// RFC 9266 §2: a context of zero length, 32 bytes.
		key, err := cs.ExportKeyingMaterial("EXPORTER-Channel-Binding", []byte{}, 32)
		if err != nil {
			return nil
		}
		return key
	}
	if cs.Version >= tls.VersionTLS13 { // there it never fails
		b.Export = export
	} else {
		b.Exporter = export()
	}
	return b
}
