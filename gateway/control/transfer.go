package control

import (
	"context"
	"time"

	"doorway/gateway/transfer"
)

// transferLimit is how long an export or an import may take.
const transferLimit = time.Hour

// ExportRequest is the request of user.export: an account, or all with "".
type ExportRequest struct {
	Local string `json:"local,omitempty"`
}

// Exported is its answer: a file in the data folder, which the caller moves to
// where it belongs.
type Exported struct {
	Name     string   `json:"name"` // in the data folder
	Accounts []string `json:"accounts"`
}

// ImportRequest is the request of user.import: a flattened file that the caller
// has put into the data folder, and deletes.
type ImportRequest struct {
	Name  string `json:"name"`
	Trial bool   `json:"trial,omitempty"`
}

// Transferred is its answer.
type Transferred struct {
	transfer.Report
	// Problem is what is wrong with the file as a whole, from the first line that
	// cannot be read on.
	Problem *transfer.Problem `json:"problem,omitempty"`
}

// Transfer registers user.export and user.import. The caller, not the server,
// handles files outside the data folder, as with backups.
func Transfer(s *Server, domain string, export func(ctx context.Context, local string) (Exported, error), take func(ctx context.Context, r ImportRequest) (Transferred, error)) {
	Handle(s, "user.export", func(ctx context.Context, r ExportRequest) (Exported, error) {
		if r.Local == "" {
			return export(ctx, "")
		}
		local, err := localpart(r.Local, domain)
		if err != nil {
			return Exported{}, err
		}
		return export(ctx, local)
	})
	Handle(s, "user.import", take)
	s.limits["user.export"], s.limits["user.import"] = transferLimit, transferLimit
}
