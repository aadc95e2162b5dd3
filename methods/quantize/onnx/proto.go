package onnx

import (
	"encoding/binary"
	"math"
)

// The little of protocol buffers and of onnx.proto that is needed. Numbers are
// those of fields.

// message is an encoded message.
type message []byte

func (m *message) varint(v uint64) { *m = binary.AppendUvarint(*m, v) }

func (m *message) int(field int, v int64) {
	m.varint(uint64(field) << 3)
	m.varint(uint64(v))
}

func (m *message) float(field int, v float32) {
	m.varint(uint64(field)<<3 | 5)
	*m = binary.LittleEndian.AppendUint32(*m, math.Float32bits(v))
}

func (m *message) bytes(field int, b []byte) {
	m.varint(uint64(field)<<3 | 2)
	m.varint(uint64(len(b)))
	*m = append(*m, b...)
}

func (m *message) text(field int, s string) { m.bytes(field, []byte(s)) }

// Element types of TensorProto.
const (
	typeFloat = 1
	typeInt8  = 3
	typeInt32 = 6
	typeInt64 = 7
	typeInt4  = 22
)

// tensor is a TensorProto.
func tensor(name string, kind int, dims []int, raw []byte) message {
	var m message
	for _, d := range dims {
		m.int(1, int64(d))
	}
	m.int(2, int64(kind))
	m.text(8, name)
	m.bytes(9, raw)
	return m
}

func floats(v []float32) []byte {
	b := make([]byte, 0, 4*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

func ints(v []int) []byte {
	b := make([]byte, 0, 8*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint64(b, uint64(x))
	}
	return b
}

// attribute is an AttributeProto: an int, a float, or ints.
func attribute(name string, value any) message {
	var m message
	m.text(1, name)
	switch v := value.(type) {
	case int:
		m.int(3, int64(v))
		m.int(20, 2)
	case float32:
		m.float(2, v)
		m.int(20, 1)
	case []int:
		for _, x := range v {
			m.int(8, int64(x))
		}
		m.int(20, 7)
	default:
		panic("onnx: no such kind of attribute")
	}
	return m
}

// node is a NodeProto.
func node(op, name string, in, out []string, attributes []message) message {
	var m message
	for _, s := range in {
		m.text(1, s)
	}
	for _, s := range out {
		m.text(2, s)
	}
	m.text(3, name)
	m.text(4, op)
	for _, a := range attributes {
		m.bytes(5, a)
	}
	return m
}

// value is a ValueInfoProto of which the first axis has a free length.
func value(name string, kind int, dims []int) message {
	var shape message
	for i, d := range dims {
		var dim message
		if i == 0 {
			dim.text(2, "N")
		} else {
			dim.int(1, int64(d))
		}
		shape.bytes(1, dim)
	}
	var t, typ, m message
	t.int(1, int64(kind))
	t.bytes(2, shape)
	typ.bytes(1, t)
	m.text(1, name)
	m.bytes(2, typ)
	return m
}

// model is a ModelProto around a graph.
func model(graph message, ir, opset int, metadata [][2]string) message {
	var set, m message
	set.text(1, "")
	set.int(2, int64(opset))
	m.int(1, int64(ir))
	m.text(2, "espalier")
	m.bytes(7, graph)
	m.bytes(8, set)
	for _, kv := range metadata {
		var p message
		p.text(1, kv[0])
		p.text(2, kv[1])
		m.bytes(14, p)
	}
	return m
}
