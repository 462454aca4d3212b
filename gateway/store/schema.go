package store

import (
	"encoding/json"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

// schemaVersion is what this program writes. A new bucket needs no new
// version: a missing one is made when the file opens, and an older program
// leaves a bucket it does not know alone. A change of meaning of keys or
// values does need one, with a migration below and a golden database.
const schemaVersion = 1

// class says in which file a bucket lies and how long its commits may wait.
type class uint8

const (
	state   class = iota // must survive; committed at once
	archive              // churns, may be trimmed or dropped; commits may linger
)

// alloc is by how much a file of the class grows.
func (c class) alloc() int {
	if c == archive {
		return archiveAlloc
	}
	return stateAlloc
}

// archiveLinger is how long a change of the archive waits for company. A chat
// acknowledgement hangs on it, so it stays below what a person notices.
const archiveLinger = 100 * time.Millisecond

// bucket describes one table.
type bucket struct {
	name string
	class
	ordered bool // keys only ever grow: pages are filled to 0.9 when they split
	doc     string
}

// schema is the fixed list of tables. Values are JSON with a version field
// "v", but where the line says otherwise.
var schema = []bucket{
	{"accounts", state, false, "localpart → account with its SCRAM keys (gateway/people)"},
	{"people", state, false, "id → person; id, NUL, photo → the image itself, as bytes; localpart, NUL, rooms → bookmarks given (gateway/people)"},
	{"groups", state, false, "id → group with its members, and who sees them (gateway/people)"},
	{"settings", state, false, "name → a value of the box itself, such as the seed of fake salts"},
	{"service", state, false, "admins, blacklist, motd, welcome → what administrators set by commands (XEP-0133)"},
	{"logins", state, false, "owner → its last login, and which greetings it had (XEP-0133)"},
	{"roster", state, false, "owner, NUL, contact → roster item with its subscription (RFC 6121 §2)"},
	{"requests", state, false, "owner, NUL, contact → subscription request that waits for an answer (RFC 6121 §3.1.3)"},
	{"offline", state, false, "owner, NUL, be64(id) → message that waits for its recipient, as XML (XEP-0160)"},
	{"blocking", state, false, "owner → the addresses it has blocked (XEP-0191)"},
	{"vcard", state, false, "owner → vCard as XML; owner, NUL, photo → SHA-1 of its photo (XEP-0054, XEP-0153)"},
	{"private", state, false, "owner, NUL, namespace, NUL, name → element a client keeps here, as XML (XEP-0049)"},
	{"pubsub_nodes", state, false, "owner, NUL, node → its configuration, affiliations, subscriptions, and how much is in it (XEP-0060)"},
	{"pubsub_items", state, false, "owner, NUL, node, NUL, id → item that was published there (XEP-0060)"},
	{"bookmarks", state, false, "owner, NUL, room → the bookmark that the server has last offered (XEP-0402)"},
	{"lastactivity", state, false, "owner → when the account was last online and what it said (XEP-0012)"},
	{"rooms", state, false, "room → its configuration, subject and secret, or why it is gone; room, NUL, vcard → its vCard (XEP-0045)"},
	{"room_users", state, false, "room, NUL, bare JID → affiliation and registered nick (XEP-0045 §5.2, §7.10)"},
	{"archive_prefs", state, false, "owner → what its archive keeps (XEP-0441)"},
	{"outbox", state, false, "network, NUL, be64(id) → job with its journal (gateway/queue)"},
	{"outbox_due", state, false, "network, NUL, class, be64(time), be64(id) → what the queue keeps in memory of a job"},
	{"outbox_keys", state, false, "network, NUL, idempotency key → id of the job it made, for 48 hours"},
	{"sms", state, false, "the SMS transport's own: inbound journal, parts of long messages, index of status reports"},
	{"bridge", state, false, "references already seen, who a number is in conversation with, who sees its presence, what rooms with phones have heard"},
	{"tokens", state, false, "id → token of a program that uses the HTTP API, its secret as a hash (gateway/token)"},
	{"api_replies", state, false, "token, NUL, idempotency key → the reply that was given, for 24 hours (gateway/api)"},
	{"webhooks", state, false, "id → where events go, and the key that signs them (gateway/hook)"},
	{"spool", state, false, "out/ name → file in the drop folder checked; in/ ref, rep/ ref, state → file to write into incoming, or when it was (gateway/spool)"},
	{"pin_attempts", state, false, "ICCID → SIM PIN tries left, so that a restart never burns another"},

	{"archive", archive, true, "be64(id) → archived message in order of time (XEP-0313)"},
	{"archive_index", archive, false, "owner, NUL, be64(id), and owner, SOH, contact, NUL, be64(id) → the contact's JID; NUL, size → what the archive takes"},
	{"room_history", archive, false, "room, NUL, be64(id) → one of the last messages of a room (XEP-0045 §7.2.13)"},
	{"smslog", archive, true, "be64(time), be64(id) → one line of the SMS log"},
}

// metaBucket holds what the store knows of the file itself: the schema's
// version, and the time of the last commit that a probe asked for.
const (
	metaBucket = "meta"
	keySchema  = "schema"
	keyAlive   = "alive"
)

// migration brings one file from schema to-1 to schema to. All that a file
// needs run in one transaction, after a copy of the file was made.
type migration struct {
	to    int
	doc   string
	apply func(tx *bbolt.Tx, c class) error
}

// migrations in rising order, without gaps, from 2 on: version 1 is the empty
// file with its buckets.
var migrations []migration

// fileSchema reads the version of a file; 0 for one without a meta bucket.
func fileSchema(tx *bbolt.Tx) (int, error) {
	b := tx.Bucket([]byte(metaBucket))
	if b == nil {
		return 0, nil
	}
	var n int
	if err := json.Unmarshal(b.Get([]byte(keySchema)), &n); err != nil {
		return 0, fmt.Errorf("read schema version: %w", err)
	}
	return n, nil
}

// setSchema records the version and makes the buckets that are missing.
func setSchema(tx *bbolt.Tx, c class, version int) error {
	b, err := tx.CreateBucketIfNotExists([]byte(metaBucket))
	if err != nil {
		return fmt.Errorf("make bucket %s: %w", metaBucket, err)
	}
	raw, err := json.Marshal(version)
	if err != nil {
		return err
	}
	if err := b.Put([]byte(keySchema), raw); err != nil {
		return fmt.Errorf("write schema version: %w", err)
	}
	for _, s := range schema {
		if s.class != c {
			continue
		}
		if _, err := tx.CreateBucketIfNotExists([]byte(s.name)); err != nil {
			return fmt.Errorf("make bucket %s: %w", s.name, err)
		}
	}
	return nil
}

// complete reports that all buckets of the class are there.
func complete(tx *bbolt.Tx, c class) bool {
	for _, s := range schema {
		if s.class == c && tx.Bucket([]byte(s.name)) == nil {
			return false
		}
	}
	return true
}
