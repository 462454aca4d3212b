package token

import (
	"fmt"
	"time"
)

// maxOverlap bounds how long an old secret may be taken beside the new one.
const maxOverlap = 90 * 24 * time.Hour

// Rotate gives a token, by its id or name, a new secret and returns it. The one before is taken for overlap more, and one
// that was still taken from an earlier rotation no longer. ErrUnknown. It returns after fsync.
func (b *Book) Rotate(which string, overlap time.Duration) (Token, string, error) {
	if overlap < 0 || overlap > maxOverlap {
		return Token{}, "", refuse("The old secret can be valid for 90 days at most, such as --overlap 24h; 0 ends it at once.")
	}
	raw, err := random()
	if err != nil {
		return Token{}, "", err
	}
	b.change.Lock()
	defer b.change.Unlock()
	old, err := b.find(which)
	if err != nil {
		return Token{}, "", err
	}
	now := b.now()
	if !old.Expires.IsZero() && !now.Before(old.Expires) {
		return Token{}, "", refuse("The token %q has expired. Revoke it and make a new one.", old.Name)
	}
	secret := secretOf(raw)
	// Memory first: a use that is noted meanwhile must not write the old record after the new one.
	r := b.update(old.ID, func(r *record) {
		r.Old, r.OldUntil, r.OldUsed = "", time.Time{}, time.Time{}
		if overlap > 0 {
			r.Old, r.OldUntil = r.Hash, now.Add(overlap).Round(time.Second).UTC()
		}
		r.Hash = hashOf(secret)
	})
	if err := b.table.Write(map[string]any{r.ID: r}); err != nil {
		back := b.update(r.ID, func(r *record) { r.Hash, r.Old, r.OldUntil, r.OldUsed = old.Hash, old.Old, old.OldUntil, old.OldUsed })
		b.table.Later(map[string]any{r.ID: back}, nil) // if the disk takes anything again
		return Token{}, "", fmt.Errorf("keep token: %w", err)
	}
	return r.Token, secret, nil
}

// update changes a token in memory.
func (b *Book) update(id string, f func(*record)) record {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.byID[id]
	b.unlist(r)
	f(&r)
	b.list(r)
	return r
}

// list makes a token known by its hashes. mu is held.
func (b *Book) list(r record) {
	b.byID[r.ID], b.byHash[r.Hash] = r, r.ID
	if r.Old != "" {
		b.byHash[r.Old] = r.ID
	}
}

// unlist is the contrary of list. mu is held.
func (b *Book) unlist(r record) {
	delete(b.byID, r.ID)
	delete(b.byHash, r.Hash)
	delete(b.byHash, r.Old)
}
