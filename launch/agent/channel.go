package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	maxMessage = 128 << 10
	maxFiles   = 4
)

// channel is one end of the pair of sockets between an agent and a worker:
// a JSON object and perhaps some files a message. send may be called from any
// goroutine, recv from one.
type channel struct {
	conn *net.UnixConn
	mu   sync.Mutex // a message at a time
	wait time.Duration
	buf  []byte
	oob  []byte
}

// pair makes both ends: this process's and the file that a child inherits.
func pair() (*channel, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("pair of sockets: %w", err)
	}
	far := os.NewFile(uintptr(fds[1]), "agent")
	near, err := newChannel(os.NewFile(uintptr(fds[0]), "worker"))
	if err != nil {
		far.Close()
		return nil, nil, err
	}
	return near, far, nil
}

// newChannel takes the file over.
func newChannel(f *os.File) (*channel, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("socket of %s: %w", f.Name(), err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("socket of %s: %s, want a unix socket", f.Name(), c.LocalAddr().Network())
	}
	return &channel{conn: u, wait: time.Minute, buf: make([]byte, maxMessage), oob: make([]byte, unix.CmsgSpace(maxFiles*4))}, nil
}

// send writes a message. A peer that reads nothing for long is an error.
func (c *channel) send(v any, files ...*os.File) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(b) > maxMessage {
		return fmt.Errorf("message of %d bytes, want at most %d", len(b), maxMessage)
	}
	var oob []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = int(f.Fd())
		}
		oob = unix.UnixRights(fds...)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn.SetWriteDeadline(time.Now().Add(c.wait))
	_, _, err = c.conn.WriteMsgUnix(b, oob, nil)
	return err
}

// recv reads a message; the files are the caller's to close.
func (c *channel) recv(v any) ([]*os.File, error) {
	n, oobn, flags, _, err := c.conn.ReadMsgUnix(c.buf, c.oob)
	if err != nil {
		return nil, err
	}
	files, err := readFiles(c.oob[:oobn])
	if err == nil && flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		err = errors.New("message cut off")
	}
	if err == nil {
		err = json.Unmarshal(c.buf[:n], v)
	}
	if err != nil {
		closeAll(files)
		return nil, err
	}
	return files, nil
}

func readFiles(oob []byte) (files []*os.File, err error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			return files, err
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "received"))
		}
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

func (c *channel) close() { c.conn.Close() }
