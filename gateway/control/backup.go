package control

import "context"

// BackupCopy is the answer of backup.copy: a verified copy in the data folder,
// which the caller packs into a backup and deletes.
type BackupCopy struct {
	Name   string `json:"name"` // in the data folder
	At     string `json:"at"`   // RFC 3339
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	Schema int    `json:"schema"`
	Domain string `json:"domain"`
}

// Backup registers backup.copy. The caller, not the server, writes the backup
// file: a hardened service may write to the data folder only.
func Backup(s *Server, copyState func(ctx context.Context) (BackupCopy, error)) {
	Handle(s, "backup.copy", func(ctx context.Context, _ struct{}) (BackupCopy, error) { return copyState(ctx) })
}
