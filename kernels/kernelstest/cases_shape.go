package kernelstest

import (
	"fmt"

	"github.com/espalier-ml/espalier/kernels"
)

func (s *suite) shape() {
	for _, acc := range both {
		s.transpose(acc)
		s.slab(acc)
		for _, z := range [][]int{{7}, {5, 9}, {3, 8, 5}, {2, 3, 4, 16}, {70, 6}} {
			for axis := range z {
				rest := append(append([]int{}, z[:axis]...), z[axis+1:]...)
				if len(rest) == 0 {
					rest = []int{1}
				}
				name := fmt.Sprintf("%s axis %d", dims(z...), axis)
				s.one("expand "+name+flags("acc", acc), func(m *Memory) kernels.Op {
					return &kernels.Expand{X: m.Random("x", rest...), Y: m.Sum(acc, "y", z...), Axis: axis, Alpha: 0.3, Acc: acc}
				})
				s.one("reduce "+name+flags("mean", acc), func(m *Memory) kernels.Op {
					return &kernels.Reduce{X: m.Random("x", z...), Y: m.Out("y", rest...), Axis: axis, Mean: acc}
				})
			}
		}
	}
}

func (s *suite) transpose(acc bool) {
	for _, c := range []struct{ shape, perm []int }{
		{[]int{5}, []int{0}}, {[]int{5, 7}, []int{1, 0}}, {[]int{33, 64}, []int{1, 0}}, {[]int{3, 5, 8}, []int{0, 2, 1}},
		{[]int{3, 5, 8}, []int{2, 0, 1}}, {[]int{2, 5, 3, 16}, []int{0, 2, 1, 3}}, {[]int{2, 3, 4, 5}, []int{3, 2, 1, 0}},
		{[]int{2, 3, 4, 5, 6}, []int{1, 4, 0, 3, 2}}, {[]int{6, 4}, []int{0, 1}},
	} {
		y := make([]int, len(c.perm))
		for i, axis := range c.perm {
			y[i] = c.shape[axis]
		}
		s.one(fmt.Sprintf("transpose %s by %v", dims(c.shape...), c.perm)+flags("acc", acc), func(m *Memory) kernels.Op {
			return &kernels.Transpose{X: m.Random("x", c.shape...), Y: m.Sum(acc, "y", y...), Perm: c.perm, Acc: acc}
		})
	}
}

func (s *suite) slab(acc bool) {
	for _, c := range []struct {
		x, y                []int
		axis, from, to, len int
	}{
		{[]int{5}, []int{9}, 0, 1, 3, 4},
		{[]int{6, 7}, []int{6, 12}, 1, 0, 5, 7},
		{[]int{6, 12}, []int{6, 7}, 1, 5, 0, 7}, // covers Y
		{[]int{3, 7, 4}, []int{3, 5, 4}, 1, 2, 1, 3},
		{[]int{9, 3, 2}, []int{4, 3, 2}, 0, 5, 0, 4},
		{[]int{2, 3, 3, 16}, []int{2, 3, 3, 40}, 3, 0, 24, 16},
	} {
		s.one(fmt.Sprintf("slab %s %d from %d to %s %d of axis %d", dims(c.x...), c.len, c.from, dims(c.y...), c.to, c.axis)+flags("acc", acc), func(m *Memory) kernels.Op {
			return &kernels.Slab{X: m.Random("x", c.x...), Y: m.Random("y", c.y...), Axis: c.axis, From: c.from, To: c.to, Len: c.len, Acc: acc}
		})
	}
}

func (s *suite) gather() {
	for _, c := range []struct {
		v, d  int
		index []int
	}{{1, 1, []int{1}}, {9, 5, []int{7}}, {30, 16, []int{3, 8}}, {4, 33, []int{70}}, {100, 64, []int{2, 9}}} {
		name := fmt.Sprintf("%s by %s", dims(c.v, c.d), dims(c.index...))
		y := append(append([]int{}, c.index...), c.d)
		s.one("gather "+name, func(m *Memory) kernels.Op {
			return &kernels.Gather{Table: m.Random("table", c.v, c.d), Index: m.Index("index", 0, c.v, c.index...), Y: m.Out("y", y...)}
		})
		for _, acc := range both {
			s.one("gathergrad "+name+flags("acc", acc), func(m *Memory) kernels.Op {
				return &kernels.GatherGrad{DTable: m.Sum(acc, "dtable", c.v, c.d), Index: m.Index("index", 0, c.v, c.index...), DY: m.Random("dy", y...), Acc: acc}
			})
		}
	}
}

func (s *suite) channelMap() {
	for _, c := range []struct {
		x      []int
		stride int
		of     []int32
	}{
		{[]int{1, 1, 1, 1}, 1, []int32{0}},
		{[]int{2, 4, 4, 16}, 1, channels(16, 16, 8)},
		{[]int{3, 5, 7, 3}, 2, []int32{-1, 2, 0, -1, 1}},
		{[]int{2, 8, 8, 16}, 2, channels(16, 32, 8)},
		{[]int{9, 3, 3, 5}, 3, []int32{4, 1}},
		{[]int{2, 4, 4, 8}, 1, []int32{-1, -1, -1}},
	} {
		y := []int{c.x[0], (c.x[1]-1)/c.stride + 1, (c.x[2]-1)/c.stride + 1, len(c.of)}
		name := fmt.Sprintf("%s to %s", dims(c.x...), dims(y...))
		s.one("channelmap "+name, func(m *Memory) kernels.Op {
			return &kernels.ChannelMap{X: m.Random("x", c.x...), Y: m.Out("y", y...), Stride: c.stride, Map: c.of}
		})
		for _, acc := range both {
			s.one("channelmapgrad "+name+flags("acc", acc), func(m *Memory) kernels.Op {
				return &kernels.ChannelMapGrad{DY: m.Random("dy", y...), DX: m.Sum(acc, "dx", c.x...), Stride: c.stride, Map: c.of, Acc: acc}
			})
		}
	}
}

// channels maps c channels to k, after `before` empty ones.
func channels(c, k, before int) []int32 {
	m := make([]int32, k)
	for i := range m {
		m[i] = int32(i - before)
		if i < before || i-before >= c {
			m[i] = -1
		}
	}
	return m
}

func (s *suite) pool() {
	for _, c := range []struct {
		x                   []int
		window, stride, pad int
	}{
		{[]int{1, 1, 1, 1}, 1, 1, 0}, {[]int{2, 8, 8, 16}, 2, 2, 0}, {[]int{3, 7, 9, 5}, 3, 2, 1}, {[]int{2, 6, 6, 33}, 3, 1, 1},
		{[]int{9, 5, 5, 8}, 3, 3, 0}, {[]int{2, 5, 4, 3}, 4, 1, 3}, {[]int{1, 16, 16, 4}, 16, 16, 0},
	} {
		y := []int{c.x[0], kernels.Conv{Stride: c.stride, Pad: c.pad}.Out(c.x[1], c.window), kernels.Conv{Stride: c.stride, Pad: c.pad}.Out(c.x[2], c.window), c.x[3]}
		for _, maximum := range both {
			name := fmt.Sprintf("%s window %d stride %d pad %d", dims(c.x...), c.window, c.stride, c.pad) + flags("max", maximum)
			pool := func(m *Memory) *kernels.Pool {
				o := &kernels.Pool{X: m.Coarse("x", c.x...), Y: m.Out("y", y...), Max: maximum, Window: c.window, Stride: c.stride, Pad: c.pad}
				if maximum {
					o.Where = m.Bytes("where", y...)
				}
				return o
			}
			s.one("pool "+name, func(m *Memory) kernels.Op { return pool(m) })
			for _, acc := range both {
				s.add("poolgrad "+name+flags("acc", acc), func(m *Memory) []kernels.Op {
					f := pool(m)
					return []kernels.Op{f, &kernels.PoolGrad{DY: m.Random("dy", y...), Where: f.Where, DX: m.Sum(acc, "dx", c.x...),
						Max: maximum, Window: c.window, Stride: c.stride, Pad: c.pad, Acc: acc}}
				})
			}
		}
	}
	s.one("pool max without positions", func(m *Memory) kernels.Op {
		return &kernels.Pool{X: m.Spread("x", -9, 1, 2, 5, 5, 8), Y: m.Out("y", 2, 3, 3, 8), Max: true, Window: 3, Stride: 2, Pad: 1}
	})
	for _, x := range [][]int{{1, 1, 1, 1}, {2, 8, 8, 64}, {3, 5, 7, 5}, {70, 2, 3, 17}} {
		y := []int{x[0], x[3]}
		s.one("globalpool "+dims(x...), func(m *Memory) kernels.Op {
			return &kernels.GlobalPool{X: m.Random("x", x...), Y: m.Out("y", y...)}
		})
		for _, acc := range both {
			s.one("globalpoolgrad "+dims(x...)+flags("acc", acc), func(m *Memory) kernels.Op {
				return &kernels.GlobalPoolGrad{DY: m.Random("dy", y...), DX: m.Sum(acc, "dx", x...), Acc: acc}
			})
		}
	}
}
