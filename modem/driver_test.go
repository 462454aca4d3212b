package modem

import (
	"testing"
	"time"

	"doorway/modem/emulator"
)

func TestStartSendReceive(t *testing.T) {
	t.Parallel()
	began := time.Now()
	r := newRig(t, emulator.Config{}, nil)
	r.ready()
	t.Logf("ready after %v", time.Since(began))
	st := r.d.Status()
	if st.IMEI != "490154203237518" || st.IMSI != "262019000000001" || st.ICCID == "" || st.Operator != "Emulated Network" ||
		st.RSSI != -73 || st.SMSC != "+491710760000" || st.Registration != "home" || st.Model != "EMU-1" || st.StorageSize == 0 {
		t.Errorf("status %+v", st)
	}
	r.standing()
}
