package modem

import "context"

// Driver implements Modem on one port.
type Driver struct{}

// New makes a Driver; Run starts it.
func New(c Config) *Driver { panic("skeleton") }

func (d *Driver) Run(ctx context.Context) error { panic("skeleton") }
func (d *Driver) Send(ctx context.Context, tpdu []byte, onAir func() error) (byte, error) {
	panic("skeleton")
}
func (d *Driver) Burst(ctx context.Context, n int) func() { panic("skeleton") }
func (d *Driver) Late() <-chan Late                       { panic("skeleton") }
func (d *Driver) Inbox() <-chan Stored                    { panic("skeleton") }
func (d *Driver) Status() Status                          { panic("skeleton") }
func (d *Driver) Changed() <-chan struct{}                { panic("skeleton") }
func (d *Driver) Probe(ctx context.Context) error         { panic("skeleton") }
