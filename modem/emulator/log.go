package emulator

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// Kinds of log entries.
const (
	LogRx            = "at-rx"          // bytes from the client, cut at CR, ESC and Ctrl-Z
	LogTx            = "at-tx"          // bytes to the client
	LogSubmit        = "submit"         // a part reached the service centre and was accepted
	LogReject        = "reject"         // a part reached the service centre and was refused
	LogDeliver       = "deliver"        // a part reached a modem
	LogReport        = "report"         // a status report reached a modem
	LogPhoneReceived = "phone-received" // a phone has a whole message
	LogPhoneSent     = "phone-sent"     // a phone texted
	LogPort          = "port"           // the port appeared or vanished
)

// Entry is one line of the log. Fields that do not apply are left out.
type Entry struct {
	At     time.Time `json:"at"`
	Kind   string    `json:"kind"`
	Modem  string    `json:"modem,omitempty"` // own number
	Data   string    `json:"data,omitempty"`  // raw bytes of at-rx and at-tx
	From   string    `json:"from,omitempty"`
	To     string    `json:"to,omitempty"`
	Text   string    `json:"text,omitempty"` // of this part, or of the whole message for a phone
	MR     *int      `json:"mr,omitempty"`
	Ref    int       `json:"ref,omitempty"`
	Seq    int       `json:"seq,omitempty"`
	Total  int       `json:"total,omitempty"`
	Parts  int       `json:"parts,omitempty"`
	Copy   int       `json:"copy,omitempty"` // how many times this very part has reached the service centre
	TPDU   string    `json:"tpdu,omitempty"` // hex
	Slot   string    `json:"slot,omitempty"` // as in ME:7, or "direct"
	Status string    `json:"status,omitempty"`
	Cause  int       `json:"cause,omitempty"` // +CMS ERROR
}

// journal writes entries, each with a single write call, so that a line that
// was begun is whole whatever happens to this or the client's process.
type journal struct {
	mu sync.Mutex // guards w
	w  io.Writer
}

func (j *journal) add(e Entry) {
	if j == nil || j.w == nil {
		return
	}
	e.At = time.Now()
	line, err := json.Marshal(e)
	if err != nil {
		return // ignored: an Entry always encodes
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	_, _ = j.w.Write(append(line, '\n')) // ignored: the modem goes on without its log
}

// ReadLog reads a log file. A last line without its end is left out.
func ReadLog(path string) ([]Entry, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []Entry
	r := bufio.NewReader(f)
	for n := 1; ; n++ {
		line, err := r.ReadBytes('\n')
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil {
			return out, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		out = append(out, e)
	}
}
