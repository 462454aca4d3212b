package command

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"doorway/xmpp/jid"
)

const (
	idRandom = 12 // bytes
	idHash   = 12 // bytes
)

// ids makes ids of executions that only their owner can use and nobody can
// guess. The key lives as long as the process.
type ids struct{ key [32]byte }

func newIDs() ids {
	var i ids
	_, _ = rand.Read(i.key[:]) // ignored: it ends the program rather than fail
	return i
}

// make returns a new id for an asker and the command's address.
func (i *ids) make(asker, at jid.JID, node string) string {
	var b [idRandom]byte
	_, _ = rand.Read(b[:]) // ignored: it ends the program rather than fail
	nonce := hex.EncodeToString(b[:])
	return nonce + i.hash(nonce, asker, at, node)
}

// made reports an id that make returned for them.
func (i *ids) made(id string, asker, at jid.JID, node string) bool {
	if len(id) != 2*(idRandom+idHash) {
		return false
	}
	nonce, hash := id[:2*idRandom], id[2*idRandom:]
	return hmac.Equal([]byte(hash), []byte(i.hash(nonce, asker, at, node)))
}

func (i *ids) hash(nonce string, asker, at jid.JID, node string) string {
	h := hmac.New(sha256.New, i.key[:])
	h.Write([]byte(strings.Join([]string{nonce, asker.String(), at.String(), node}, "\x00")))
	return hex.EncodeToString(h.Sum(nil)[:idHash])
}
