package tcp

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/espalier-ml/espalier/collective"
)

func TestHeaderRoundTrip(t *testing.T) {
	id := identity{group: 0xdeadbeef, gen: 7}
	want := header{kind: frameGather, count: 255, op: 1 << 31, sig: 5, seg: 99, length: 1000}
	b := make([]byte, headerBytes)
	id.put(b, &want, 0x12345678)
	got, sum, err := id.parse(b, 1000)
	if got != want || sum != 0x12345678 || err != nil {
		t.Errorf("parsed %+v, %x, %v", got, sum, err)
	}
}

func TestHeaderRefuses(t *testing.T) {
	id := identity{group: 1, gen: 7}
	frame := func(by identity, h header) []byte {
		b := make([]byte, headerBytes)
		by.put(b, &h, 0)
		return b
	}
	flipped := frame(id, header{kind: frameBeat})
	flipped[13] ^= 4
	tests := []struct {
		name  string
		b     []byte
		is    error
		words string
	}{
		{"a bit flipped", flipped, errCorrupt, "header begins with"},
		{"zeros", make([]byte, headerBytes), errCorrupt, "header begins with"},
		{"older generation", frame(identity{1, 6}, header{kind: frameBeat}), errForeign, "generation 6, want 7"},
		{"other run", frame(identity{2, 7}, header{kind: frameBeat}), errForeign, "another run"},
		{"no kind", frame(id, header{}), errCorrupt, "none"},
		{"unknown kind", frame(id, header{kind: frameKinds}), errCorrupt, "kind 10"},
		{"too long", frame(id, header{kind: frameBegin, length: 101}), errCorrupt, "101 bytes, want at most 100"},
		{"far too long", frame(id, header{kind: frameBegin, length: 1<<32 - 1}), errCorrupt, "want at most 100"},
	}
	for _, tt := range tests {
		if _, _, err := id.parse(tt.b, 100); !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.words) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestHelloRoundTrip(t *testing.T) {
	want := hello{version: version, world: 4, from: 3, to: 1, link: 2, links: 3, segment: 1 << 18, short: 1 << 15,
		gen: collective.Gen{Run: collective.RunID{1, 2}, N: 9, Chain: collective.Digest{3}}, config: collective.Digest{4}, order: Fast}
	b := make([]byte, helloBytes)
	want.put(b)
	got, err := readHello(b)
	if err != nil || got != want {
		t.Errorf("read %+v, %v", got, err)
	}
	if err := got.check(&want); err != nil {
		t.Error(err)
	}
	b[60] ^= 1
	if _, err := readHello(b); !errors.Is(err, ErrRefused) {
		t.Errorf("a flipped bit: %v", err)
	}
}

func TestSignatureRoundTrip(t *testing.T) {
	want := signature{kind: collective.KindSendRecv, dtype: collective.Float64, outType: collective.Int64, op: collective.Max,
		to: -1, from: 3, bucket: -7, in: 1 << 40, out: 5, seq: 6, plan: 7}
	b := make([]byte, signatureBytes)
	want.put(b)
	if got := readSignature(b); got != want {
		t.Errorf("read %+v", got)
	}
	text := (&signature{kind: collective.KindAllReduce, dtype: collective.Float32, op: collective.Sum, in: 7, seq: 1, bucket: 3, plan: 0xab}).String()
	if want := "allreduce of float32[7] sum (seq 1 bucket 3 plan 00000000000000ab)"; text != want {
		t.Errorf("reads %q, want %q", text, want)
	}
}

// Whatever arrives on a listening socket is refused or is a hello, and never
// makes this side read more than a hello.
func FuzzGreeting(f *testing.F) {
	o := Options{Plain: true}.withDefaults()
	gen := collective.Gen{N: 4}
	m := newMesh(gen, 0, []string{"a", "b"}, &o)
	good := m.own
	good.from, good.to = 1, 0
	b := make([]byte, helloBytes)
	good.put(b)
	f.Add(b)
	f.Add(b[:20])
	f.Add([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n" + strings.Repeat("x", 200)))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		var answer hello
		h, err := hear(r)
		if err == nil {
			answer, err = m.check(&h)
		}
		if err == nil && (h.gen != gen || h.from != 1 || h.to != 0 || h.link >= h.links || answer.to != 1) {
			t.Errorf("let in %+v", h)
		}
		if read := len(data) - r.Len(); read > helloBytes {
			t.Errorf("read %d bytes", read)
		}
		readAnswer(bytes.NewReader(data)) // must not panic
	})
}

// Whatever arrives on a link ends in an error, without a panic or a byte
// written to memory that nobody expects to change.
func FuzzFrames(f *testing.F) {
	id := identity{groupHash(collective.Gen{}), 0}
	frames := func(kinds ...frameKind) (b []byte) {
		for i, k := range kinds {
			body := make([]byte, signatureBytes)
			(&signature{kind: collective.KindBarrier}).put(body)
			h := header{kind: k, count: uint8(i), op: 1, length: uint32(len(body))}
			at := len(b)
			b = append(b, make([]byte, headerBytes)...)
			id.put(b[at:], &h, checksum(body))
			b = append(b, body...)
		}
		return b
	}
	f.Add(frames(frameBegin), false)
	f.Add(frames(frameScatter, frameGather), true)
	f.Add(frames(frameAbort, frameBye), false)
	f.Fuzz(func(t *testing.T, data []byte, bulk bool) {
		here := make([]net.Conn, 2)
		there := make([]net.Conn, 2)
		for i := range here {
			here[i], there[i] = net.Pipe()
		}
		c := newComm(collective.Gen{}, 0, [][]net.Conn{nil, here}, Options{Plain: true, Heartbeat: 5 * time.Millisecond, Silence: 15 * time.Millisecond}.withDefaults())
		for _, conn := range there {
			go io.Copy(io.Discard, conn)
		}
		link := 0
		if bulk {
			link = 1
		}
		there[link].Write(data)
		for _, conn := range there {
			conn.Close()
		}
		<-c.gone
	})
}
