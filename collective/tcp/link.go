package tcp

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/codec"
	"github.com/espalier-ml/espalier/collective/fold"
	"github.com/espalier-ml/espalier/collective/queue"
)

// peer is another rank.
type peer struct {
	rank  collective.Rank
	links []*link // 0 for control, then those for data
	out   []*link // for data to the peer
	in    []*link // for data from the peer
	slots [][]byte

	heard atomic.Uint32 // tick of the last sign of life

	// Guarded by Comm.mu.
	left      bool   // it said bye, aborted, or its control link is closed
	completed uint64 // operations it had completed when it left
	heardBye  bool   // it knows that this rank leaves
	broken    string // how a data link was lost, empty if none was
	brokenAt  uint32 // tick
}

// link is one connection with a peer. Its sender goroutine writes frames in
// the order of the queue, its receiver goroutine reads them.
type link struct {
	comm  *Comm
	peer  *peer
	index int // among the links of the pair
	turn  int // among those of the direction: it carries every len(in)-th segment
	conn  net.Conn

	// For writing without the sender, if nothing is in front: nil under TLS.
	raw   syscall.RawConn
	try   func(fd uintptr) bool // writes tryBuf
	buf   []byte                // what is to be written
	wrote int
	fault error

	mu      sync.Mutex // guards what follows
	work    sync.Cond  // the queue has work, or last was set
	queue   queue.Ring[frame]
	writing bool  // the sender is
	last    bool  // no frame comes any more
	count   uint8 // frames sent
	active  bool  // something was sent since the last heartbeat

	// The sender's own.
	head [headerBytes]byte
	vecs [][]byte
	out  net.Buffers

	// begins are this rank's begin frames of three operations in turn: who
	// begins the fourth has proof that the first two were received, so that
	// the sender is done with the first.
	begins [3][]byte

	// coded holds a segment that the sender has encoded or the receiver has
	// to decode: a link carries data one way only.
	coded []byte

	// The receiver's own.
	got    uint8 // frames received
	fold   *fold.Folder
	codes  [][]byte // by rank: a block of decoded values, nil until needed
	in     [headerBytes]byte
	closed atomic.Bool
}

// frame is one to be sent. data must stay as it is until it is written.
type frame struct {
	header
	data  []byte
	rest  [][]byte // followed by as many bytes of each of these, from lo
	lo    int
	sum   uint32      // of data
	known bool        // sum is set
	whole bool        // data is the rest of a frame that has its header
	room  bool        // data has room for the header at its front
	track bool        // the operation waits until it is written
	code  codec.Codec // data is float32, to be encoded first; nil for none
}

func newLink(c *Comm, p *peer, index int, conn net.Conn) *link {
	l := &link{comm: c, peer: p, index: index, conn: conn, queue: queue.NewRing[frame](16)}
	l.work.L = &l.mu
	if s, ok := conn.(syscall.Conn); ok {
		l.raw, _ = s.SyscallConn()
	}
	l.try = func(fd uintptr) bool {
		l.wrote, l.fault = writeNow(fd, l.buf)
		return true
	}
	if index == 0 {
		for i := range l.begins {
			l.begins[i] = make([]byte, headerBytes+signatureBytes, headerBytes+signatureBytes+c.short)
		}
	} else {
		l.fold = fold.New(c.info.World)
	}
	return l
}

func (l *link) String() string {
	return fmt.Sprintf("link %d between rank %d and rank %d", l.index, l.peer.rank, l.comm.info.Rank)
}

// enqueue leaves a frame to the sender.
func (l *link) enqueue(f frame) {
	l.mu.Lock()
	l.queue.Push(f)
	if !l.writing {
		l.work.Signal()
	}
	l.mu.Unlock()
}

// post sends a short frame whose header has room at the front of b, at once
// if the socket takes it. It never waits. b must stay as it is until the
// frame is written.
func (l *link) post(h header, b []byte, sum uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last {
		return
	}
	f := frame{header: h, data: b, sum: sum, known: true, room: true}
	if l.raw != nil && !l.writing && l.queue.Empty() {
		l.stamp(&f, b)
		l.buf, l.wrote, l.fault = b, 0, nil
		if err := l.raw.Write(l.try); err == nil && l.fault == nil && l.wrote == len(b) {
			return
		}
		f = frame{data: b[l.wrote:], whole: true} // the sender finds the fault as well
	}
	l.queue.Push(f)
	l.work.Signal()
}

// stamp gives a frame its number on the link and writes its header. l.mu is
// held.
func (l *link) stamp(f *frame, dst []byte) {
	f.count, f.length = l.count, uint32(len(f.data)*(1+len(f.rest)))
	if f.room {
		f.length -= headerBytes
	}
	l.count++
	l.active = true
	l.comm.id.put(dst, &f.header, f.sum)
}

// finish lets the sender end when all is written.
func (l *link) finish() {
	l.mu.Lock()
	l.last = true
	l.work.Signal()
	l.mu.Unlock()
}

// send is the sender goroutine.
func (l *link) send() error {
	for {
		f, ok := l.next()
		if !ok {
			return nil
		}
		if err := l.write(&f); err != nil {
			return err
		}
		if f.track {
			l.comm.cur.sent(&f.header)
			l.comm.done(1)
		}
	}
}

// next waits for a frame to send.
func (l *link) next() (f frame, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writing = false
	for l.queue.Empty() {
		if l.last {
			return f, false
		}
		l.work.Wait()
	}
	l.writing = true
	return l.queue.Pop(), true
}

func (l *link) write(f *frame) error {
	if f.whole {
		_, err := l.conn.Write(f.data)
		return err
	}
	if f.code != nil {
		f.data = encode(l.coded, f.code, f.data)
	}
	if !f.known {
		f.sum = checksum(f.data)
		for _, b := range f.rest {
			f.sum = extend(f.sum, b[f.lo:][:len(f.data)])
		}
	}
	head := l.head[:]
	if f.room {
		head = f.data
	}
	l.mu.Lock()
	l.stamp(f, head)
	l.mu.Unlock()
	if f.room || len(f.data) == 0 {
		_, err := l.conn.Write(head)
		return err
	}
	l.vecs = append(l.vecs[:0], head, f.data)
	for _, b := range f.rest {
		l.vecs = append(l.vecs, b[f.lo:][:len(f.data)])
	}
	l.out = l.vecs
	_, err := l.out.WriteTo(l.conn)
	return err
}

// beat sends a heartbeat if nothing else was sent since the last call.
func (l *link) beat() {
	l.mu.Lock()
	quiet := !l.active && !l.last && !l.writing && l.queue.Empty()
	l.active = false
	l.mu.Unlock()
	if quiet {
		l.enqueue(frame{header: header{kind: frameBeat}})
	}
}

// readHeader reads and checks the next header of a link that carries bodies
// of at most limit bytes.
func (l *link) readHeader(limit int) (header, uint32, error) {
	if _, err := io.ReadFull(l.conn, l.in[:]); err != nil {
		return header{}, 0, err
	}
	return l.accept(l.in[:], limit)
}

// accept checks a header and its number.
func (l *link) accept(b []byte, limit int) (header, uint32, error) {
	h, sum, err := l.comm.id.parse(b, limit)
	if err != nil {
		return h, 0, err
	}
	if h.count != l.got {
		return h, 0, fmt.Errorf("%w: frame number %d, want %d: one was lost, repeated or changed", errCorrupt, h.count, l.got)
	}
	l.got++
	l.peer.heard.Store(l.comm.clock.Load())
	return h, sum, nil
}

// socket is the connection below TLS: closing it never waits.
func (l *link) socket() net.Conn {
	if t, ok := l.conn.(*tls.Conn); ok {
		return t.NetConn()
	}
	return l.conn
}

// close ends both goroutines of the link.
func (l *link) close() {
	if l.closed.CompareAndSwap(false, true) {
		l.socket().Close()
	}
}

// closeWrite says that no frame comes any more.
func (l *link) closeWrite() {
	if s, ok := l.socket().(interface{ CloseWrite() error }); ok {
		s.CloseWrite()
	}
}
