package sms

import (
	"errors"
	"io"
	"log/slog"
	"testing"

	"doorway/modem/pdu"
	"doorway/transports"
)

var discard = slog.New(slog.NewTextHandler(io.Discard, nil))

func TestContactID(t *testing.T) {
	de, us, it, none := New(Config{Country: "49"}), New(Config{Country: "1"}), New(Config{Country: "39"}), New(Config{})
	for _, c := range []struct {
		n          *Network
		typed, got string
	}{
		{de, "0155 501-01", "+4915550101"},
		{de, "+49 155 50101", "+4915550101"},
		{de, "+49 (0) 155 / 50101", "+4915550101"},
		{de, "+49(0)155.50101", "+4915550101"},
		{de, "0049 155 50101", "+4915550101"},
		{de, "004915550101", "+4915550101"},
		{de, "(0155) 50101", "+4915550101"},
		{de, "0155\u00a0501–01", "+4915550101"},
		{de, "4915550101", "+4915550101"},
		{de, "tel:+49-155-50101", "+4915550101"},
		{de, "+447700900123", "+447700900123"},
		{de, "5050", "5050"},
		{de, "22 22 22", "222222"},
		{us, "(202) 555-0101", "+12025550101"},
		{us, "1 202 555 0101", "+12025550101"},
		{it, "06 5550 1011", "+390655501011"},
		{none, "+447700900123", "+447700900123"},
		{none, "00447700900123", "+447700900123"},
	} {
		if got, err := c.n.ContactID(c.typed); err != nil || string(got) != c.got {
			t.Errorf("%q: %q, %v", c.typed, got, err)
		}
	}
	for _, bad := range []string{"", "bob", "call me", "+", "()", "12", "155 501 01", "+4915550101x", "++49155", "49+155", "+0155501", "+123", "+1234567890123456", "０１５５", "*100#"} {
		_, err := de.ContactID(bad)
		var te *transports.Error
		if !errors.As(err, &te) || te.Kind != transports.NotFound || len(te.Text) < 20 {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := none.ContactID("0155 50101"); err == nil {
		t.Error("a national number without a country")
	}
}

func FuzzContactID(f *testing.F) {
	for _, s := range []string{"0155 501-01", "+49 (0) 155", "5050", "bob", "tel:+1"} {
		f.Add(s)
	}
	n := New(Config{Country: "49"})
	f.Fuzz(func(t *testing.T, s string) {
		id, err := n.ContactID(s)
		if err != nil {
			return
		}
		if again, err := n.ContactID(string(id)); err != nil || again != id {
			t.Fatalf("%q gives %q and then %q, %v", s, id, again, err)
		}
		if _, err := pdu.ParseNumber(string(id)); err != nil {
			t.Fatalf("%q: %v", id, err)
		}
	})
}

func TestWithoutOptions(t *testing.T) {
	tpdus, _, err := pdu.Encode("hi", pdu.Options{To: pduNumber(bob), StatusReport: true, Validity: 24e9 * 3600, RejectDuplicates: true})
	if err != nil {
		t.Fatal(err)
	}
	s, err := pdu.DecodeSubmit(withoutOptions(tpdus[0]))
	if err != nil || s.StatusReport || s.Validity != 0 || s.RejectDuplicates || s.Text() != "hi" || s.To.String() != bob {
		t.Fatalf("%+v, %v", s, err)
	}
}
