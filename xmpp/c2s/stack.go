package c2s

// A goroutine's stack begins with 2 KiB and is copied each time it has to
// double. This lets it grow once to what a TLS handshake is known to need,
// 32 KiB. What an idle reader does not need the garbage collector takes back.

//go:noinline
func deepen32() byte {
	var frame [17 << 10]byte
	return touch(frame[:])
}

// touch keeps the compiler from leaving the frame out.
//
//go:noinline
func touch(b []byte) byte { return b[len(b)-1] }
