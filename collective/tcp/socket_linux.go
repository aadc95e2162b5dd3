package tcp

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tune sets a socket's options: no delay for short frames; retransmissions
// that do not back off at once, as heartbeats that are lost must come through
// within Options.Silence; and an error for data that nobody acknowledges for
// much longer than that.
func tune(c *net.TCPConn, o *Options) error {
	if err := c.SetNoDelay(true); err != nil {
		return err
	}
	c.SetKeepAlive(false) // heartbeats do that
	if o.Buffer > 0 {
		c.SetReadBuffer(o.Buffer)
		c.SetWriteBuffer(o.Buffer)
	}
	if o.Silence <= 0 {
		return nil
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_THIN_LINEAR_TIMEOUTS, 1) // not everywhere
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(8*o.Silence/time.Millisecond))
	})
	if err == nil {
		err = failed
	}
	return err
}

// writeNow writes what the socket takes without waiting.
func writeNow(fd uintptr, b []byte) (int, error) {
	for {
		n, err := syscall.Write(int(fd), b)
		switch err {
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, nil
		default:
			return max(n, 0), err
		}
	}
}
