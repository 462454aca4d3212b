package c2s

// A goroutine's stack begins with 2 KiB and is copied each time it has to
// double. These let it grow once to what its work is known to need: a TLS
// handshake takes 32 KiB, the first stanzas of a client 8. What an idle
// reader does not need the garbage collector takes back.

//go:noinline
func deepen32() byte {
	var frame [17 << 10]byte
	return touch(frame[:])
}

//go:noinline
func deepen8() byte {
	var frame [5 << 10]byte
	return touch(frame[:])
}

// touch keeps the compiler from leaving the frame out.
//
//go:noinline
func touch(b []byte) byte { return b[len(b)-1] }
