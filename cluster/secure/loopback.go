package secure

import (
	"fmt"
	"net"
)

// Loopback refuses plain text to any address but this machine's own; empty ones
// are passed over.
func Loopback(addrs []string) error {
	for _, a := range addrs {
		if a == "" {
			continue
		}
		host, _, err := net.SplitHostPort(a)
		if err != nil {
			return fmt.Errorf("address %q: %w", a, err)
		}
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return fmt.Errorf("%s: plain text is for loopback only; hand over credentials", a)
		}
	}
	return nil
}
