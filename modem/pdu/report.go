package pdu

import (
	"fmt"
	"time"
)

// Status is TP-ST of a status report (3GPP TS 23.040 §9.2.3.15).
type Status byte

// Status values of note.
const (
	StatusDelivered     Status = 0x00
	StatusUnconfirmed   Status = 0x01 // forwarded, the SMSC can not confirm it
	StatusReplaced      Status = 0x02
	StatusNoResponse    Status = 0x22 // the SMSC goes on trying
	StatusRejected      Status = 0x42 // by the recipient
	StatusNotObtainable Status = 0x43
	StatusExpired       Status = 0x46
	StatusNotExisting   Status = 0x49
)

// StatusClass groups status values by what a sender does about them.
type StatusClass string

// Classes of status values.
const (
	Delivered   StatusClass = "delivered"
	Unconfirmed StatusClass = "unconfirmed" // completed, and nobody knows whether it was read
	Trying      StatusClass = "trying"      // not final: the SMSC goes on
	Failed      StatusClass = "failed"      // permanent
	GaveUp      StatusClass = "gave-up"     // a temporary cause, and the SMSC has stopped trying
	Reserved    StatusClass = "reserved"    // treat as failed, and log
)

// Class returns the group.
func (s Status) Class() StatusClass {
	switch {
	case s == 0:
		return Delivered
	case s < 0x20:
		return Unconfirmed
	case s < 0x40:
		return Trying
	case s < 0x60:
		return Failed
	case s < 0x80:
		return GaveUp
	}
	return Reserved
}

// Final reports that no further report is expected.
func (s Status) Final() bool { return s.Class() != Trying }

// String says the cause in words for a sentence, for example "validity period expired".
func (s Status) String() string {
	switch s {
	case 0x00:
		return "delivered"
	case 0x01:
		return "forwarded, without confirmation"
	case 0x02:
		return "replaced by a later message"
	case 0x40:
		return "remote procedure error"
	case 0x41:
		return "incompatible destination"
	case 0x42:
		return "rejected by the recipient"
	case 0x43:
		return "number not obtainable"
	case 0x44, 0x64:
		return "quality of service not available"
	case 0x45:
		return "no interworking with that network"
	case 0x46:
		return "validity period expired"
	case 0x47:
		return "deleted by the sender"
	case 0x48:
		return "deleted by the service centre"
	case 0x49:
		return "message does not exist"
	case 0x60:
		return "congestion"
	case 0x61:
		return "recipient busy"
	case 0x62:
		return "no response from the recipient"
	case 0x63:
		return "service rejected"
	case 0x65:
		return "error at the recipient"
	}
	return fmt.Sprintf("%s (status 0x%02X)", s.Class(), byte(s))
}

// StatusReport tells what became of a sent part. MR, To and Status are what
// matters; the times are zero when unreadable.
type StatusReport struct {
	MR      byte // reference that the modem gave the part
	To      Number
	Time    time.Time // when the service centre accepted the part
	Done    time.Time // when Status came about
	Status  Status
	More    bool
	Remarks []string
}

// DecodeStatusReport reads a STATUS-REPORT TPDU (3GPP TS 23.040 §9.2.2.3).
// Optional fields behind the status are not read.
func DecodeStatusReport(tpdu []byte) (StatusReport, error) {
	var r StatusReport
	if len(tpdu) < 2 {
		return r, ErrShort
	}
	if KindOf(tpdu, false) != KindStatusReport {
		return r, ErrKind
	}
	r.More = tpdu[0]&0x04 == 0
	r.MR = tpdu[1]
	to, rest, err := readAddress(tpdu[2:])
	if err != nil {
		return r, fmt.Errorf("recipient: %w", err)
	}
	r.To = to
	if len(rest) < 15 {
		return r, ErrShort
	}
	if r.Time, err = readTime(rest[:7]); err != nil {
		r.Remarks = append(r.Remarks, "acceptance: "+err.Error())
	}
	if r.Done, err = readTime(rest[7:14]); err != nil {
		r.Remarks = append(r.Remarks, "discharge: "+err.Error())
	}
	r.Status = Status(rest[14])
	return r, nil
}

// EncodeStatusReport makes a STATUS-REPORT TPDU, as a service centre does.
func EncodeStatusReport(r StatusReport) ([]byte, error) {
	first := byte(0x06)
	if r.More {
		first = 0x02
	}
	b, err := appendAddress([]byte{first, r.MR}, r.To)
	if err != nil {
		return nil, err
	}
	b = appendTime(appendTime(b, r.Time), r.Done)
	return append(b, byte(r.Status)), nil
}
