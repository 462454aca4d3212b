package token

import (
	"strconv"
	"strings"
	"time"
)

// Rate bounds the requests of a token: N in each Per, also all at once. The zero value is no bound.
type Rate struct {
	N   int
	Per time.Duration
}

// periods are what a rate may count in.
var periods = map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}

// maxRate bounds the N of a Rate.
const maxRate = 100000

// ParseRate reads a rate such as "60/m"; "" is none. An error is an *Error.
func ParseRate(s string) (Rate, error) {
	if s == "" {
		return Rate{}, nil
	}
	number, unit, _ := strings.Cut(s, "/")
	n, err := strconv.Atoi(number)
	per := periods[unit]
	if err != nil || n < 1 || n > maxRate || per == 0 {
		return Rate{}, refuse("%.20q is not a rate. Write how many requests in what time, such as 5/s, 60/m, 1000/h or 5000/d.", s)
	}
	return Rate{n, per}, nil
}

func (r Rate) String() string {
	for unit, per := range periods {
		if per == r.Per {
			return strconv.Itoa(r.N) + "/" + unit
		}
	}
	return ""
}

// MarshalText writes the form that ParseRate reads.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText is ParseRate.
func (r *Rate) UnmarshalText(b []byte) (err error) {
	*r, err = ParseRate(string(b))
	return err
}

// Take counts a request of a token, and returns 0; when the token's rate is used up it returns how long that lasts and counts
// nothing. What was counted is in memory only.
func (b *Book) Take(id string) time.Duration {
	now := b.now()
	b.mu.Lock()
	defer b.mu.Unlock()
	rate := b.byID[id].Rate
	if rate.N == 0 {
		return 0
	}
	// Each request takes a step of the period, and time gives it back.
	full := b.spent[id]
	if full.Before(now) || full.Sub(now) > rate.Per { // the latter: the clock was put back
		full = now
	}
	full = full.Add(rate.Per / time.Duration(rate.N))
	if wait := full.Sub(now) - rate.Per; wait > 0 {
		return wait
	}
	b.spent[id] = full
	return 0
}
