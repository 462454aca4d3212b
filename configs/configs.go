// Package configs holds the files that are installed beside the binary; the
// commented sample of doorway.toml is also embedded, so that the binary can
// print it.
package configs

import _ "embed"

//go:embed doorway.toml
var sample []byte

// Sample returns the commented doorway.toml.
func Sample() []byte { return append([]byte(nil), sample...) }
