package control

import (
	"context"

	"doorway/modem"
)

// ModemName is a request that names one modem, or all with "".
type ModemName struct {
	Name string `json:"name,omitempty"`
}

// Modems registers modem.status.
func Modems(s *Server, status func() []modem.Status) {
	Handle(s, "modem.status", func(_ context.Context, r ModemName) ([]modem.Status, error) {
		list := []modem.Status{}
		for _, st := range status() {
			if r.Name == "" || r.Name == st.Name {
				list = append(list, st)
			}
		}
		if r.Name != "" && len(list) == 0 {
			return nil, Refuse("There is no modem called %s. `doorway modem list` shows those in the configuration.", r.Name)
		}
		return list, nil
	})
}
