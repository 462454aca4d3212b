package doctor

import (
	"time"

	"doorway/gateway/health"
	"doorway/gateway/store"
	"doorway/modem"
	"doorway/transports"
)

// Facts is the running server's own view; it travels over the admin socket.
type Facts struct {
	Version string    `json:"version"`
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	Config  string    `json:"config"` // the file it was started with
	// Pending keys were changed in the file and wait for a reload, Restart
	// keys for a restart. Fault is why the file cannot be read now.
	Pending []string `json:"pending,omitempty"`
	Restart []string `json:"restart,omitempty"`
	Fault   string   `json:"fault,omitempty"`

	Doors       []Door                   `json:"doors"`
	Watchdog    time.Duration            `json:"watchdog"` // the service manager's limit; 0: nobody watches
	Panics      int                      `json:"panics"`
	Findings    []health.Finding         `json:"findings"`
	Fingerprint string                   `json:"ca_fingerprint,omitempty"` // SHA-256 of the own CA
	Files       []store.FileSize         `json:"files"`
	Modems      []modem.Status           `json:"modems"`
	Queue       map[transports.State]int `json:"queue"`
	// Oldest is since when the text that waits longest could have been sent;
	// zero when none waits.
	Oldest time.Time `json:"oldest,omitzero"`
}

// Kinds of Door.
const (
	STARTTLS  = "c2s"
	DirectTLS = "c2s_tls"
	HTTP      = "http"
)

// Door is a listener.
type Door struct {
	Kind string `json:"kind"`
	Want string `json:"want"`           // as configured
	Addr string `json:"addr,omitempty"` // as it is; "" when it could not be had
}
