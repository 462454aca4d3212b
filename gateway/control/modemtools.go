package control

import (
	"context"
	"errors"
	"time"

	"doorway/modem"
)

// ModemAT is the request of modem.at: one command line for one modem. Name may
// be empty when there is only one.
type ModemAT struct {
	Name  string `json:"name,omitempty"`
	Line  string `json:"line"`
	Force bool   `json:"force,omitempty"`
}

// talkLimit is how long a USSD dialogue may take: the driver gives up before.
const talkLimit = 4 * time.Minute

// ModemUSSD is the request of modem.ussd: a code, or the answer to a question
// of the network.
type ModemUSSD struct {
	Name string `json:"name,omitempty"`
	Code string `json:"code"`
}

// ModemTools registers modem.at, modem.ussd, modem.credit, modem.record and modem.probe. scan looks at the serial
// devices without touching those that are in use.
func ModemTools(s *Server, drivers func() []*modem.Driver, scan func(context.Context) ([]modem.Found, error)) {
	Handle(s, "modem.at", func(ctx context.Context, r ModemAT) (modem.Answer, error) {
		d, err := oneModem(drivers(), r.Name)
		if err != nil {
			return modem.Answer{}, err
		}
		a, err := d.Command(ctx, r.Line, r.Force)
		var refused *modem.RefusedError
		switch {
		case errors.As(err, &refused):
			return a, &Error{Usage: !refused.Forced, Text: refused.Text}
		case errors.Is(err, modem.ErrDown):
			return a, Refuse("The modem cannot be asked now. %s", d.Status().Text)
		}
		return a, err
	})
	s.limits["modem.ussd"], s.limits["modem.credit"] = talkLimit, talkLimit
	Handle(s, "modem.ussd", func(ctx context.Context, r ModemUSSD) (modem.Reply, error) {
		d, err := oneModem(drivers(), r.Name)
		if err != nil {
			return modem.Reply{}, err
		}
		reply, err := d.USSD(ctx, r.Code)
		return reply, talkError(d, err)
	})
	Handle(s, "modem.credit", func(ctx context.Context, r ModemName) (modem.Balance, error) {
		d, err := oneModem(drivers(), r.Name)
		if err != nil {
			return modem.Balance{}, err
		}
		b, err := d.Credit(ctx)
		return b, talkError(d, err)
	})
	Handle(s, "modem.record", func(_ context.Context, r ModemName) (modem.Recording, error) {
		d, err := oneModem(drivers(), r.Name)
		if err != nil {
			return modem.Recording{}, err
		}
		return d.Record(), nil
	})
	Handle(s, "modem.probe", func(ctx context.Context, _ struct{}) ([]modem.Found, error) { return scan(ctx) })
}

// talkError makes a sentence of an error of USSD.
func talkError(d *modem.Driver, err error) error {
	var talk *modem.TalkError
	switch {
	case errors.As(err, &talk):
		return &Error{Usage: talk.Usage, Text: talk.Text}
	case errors.Is(err, modem.ErrDown):
		return Refuse("The modem cannot be asked now. %s", d.Status().Text)
	}
	return err
}

func oneModem(list []*modem.Driver, name string) (*modem.Driver, error) {
	for _, d := range list {
		if d.Status().Name == name || name == "" && len(list) == 1 {
			return d, nil
		}
	}
	switch {
	case name != "":
		return nil, Refuse("There is no modem called %s. `doorway modem list` shows those in the configuration.", name)
	case len(list) == 0:
		return nil, Refuse("No modem is configured. Add a section [[modem]] with device = \"auto\" to doorway.toml.")
	}
	return nil, &Error{Usage: true, Text: "There are several modems: say which one with --modem NAME."}
}
