package pdu

import (
	"errors"
	"testing"
	"time"

	"github.com/warthog618/sms"
)

func TestStatusReport(t *testing.T) {
	at := time.Date(2026, 11, 22, 18, 9, 5, 0, time.UTC)
	r := StatusReport{MR: 200, To: vienna, Time: at, Done: at.Add(time.Minute), Status: StatusExpired}
	b, err := EncodeStatusReport(r)
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeStatusReport(b)
	if err != nil || got.MR != 200 || got.To != vienna || !got.Time.Equal(at) || !got.Done.Equal(r.Done) || got.Status != StatusExpired || got.Remarks != nil {
		t.Errorf("%+v %v", got, err)
	}
	p, err := sms.Unmarshal(b)
	if err != nil || p.MR != 200 || p.RA.Number() != vienna.String() || p.ST != 0x46 || !p.DT.Time.Equal(r.Done) {
		t.Errorf("another implementation reads %+v %v", p, err)
	}
	b[len(b)-8] = 0xFF // the discharge time
	b = append(b, 0xFF, 1, 2, 3)
	if got, err := DecodeStatusReport(b); err != nil || got.Status != StatusExpired || !got.Done.IsZero() || len(got.Remarks) != 1 {
		t.Errorf("with a broken time and octets behind: %+v %v", got, err)
	}
	if _, err := DecodeStatusReport(b[:12]); !errors.Is(err, ErrShort) {
		t.Error(err)
	}
	if _, err := DecodeStatusReport([]byte{0x04, 0, 0}); !errors.Is(err, ErrKind) {
		t.Error(err)
	}
}

func TestStatusClasses(t *testing.T) {
	for st, want := range map[Status]StatusClass{
		0: Delivered, 1: Unconfirmed, 2: Unconfirmed, 0x1F: Unconfirmed, 0x20: Trying, 0x3F: Trying, 0x40: Failed, 0x46: Failed,
		0x5F: Failed, 0x60: GaveUp, 0x7F: GaveUp, 0x80: Reserved, 0xFF: Reserved,
	} {
		if got := st.Class(); got != want || st.Final() != (want != Trying) || st.String() == "" {
			t.Errorf("%02x: %s", byte(st), got)
		}
	}
	if got := Status(0x46).String(); got != "validity period expired" {
		t.Error(got)
	}
}
