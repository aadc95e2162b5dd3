package kernels

import "slices"

func (o *Transpose) check(c *checker) {
	x := c.in("X", o.X, F32)
	sorted := slices.Sorted(slices.Values(o.Perm))
	for i, axis := range sorted {
		c.want(len(o.Perm) == len(x) && i == axis, "perm %v, want a permutation of the %d axes of X", o.Perm, len(x))
	}
	c.want(len(o.Perm) > 0, "perm is empty, want a permutation of the %d axes of X", len(x))
	if c.err != nil {
		return
	}
	y := make([]int, len(x))
	for i, axis := range o.Perm {
		y[i] = x[axis]
	}
	c.out("Y", o.Y, F32, y...)
}

func (o *Slab) check(c *checker) {
	x := c.in("X", o.X, F32)
	y := c.out("Y", o.Y, F32)
	c.want(o.Axis >= 0 && o.Axis < len(x), "axis %d, want 0 to %d", o.Axis, len(x)-1)
	if c.err != nil {
		return
	}
	same := len(x) == len(y)
	for i := range x {
		same = same && (i == o.Axis || x[i] == y[i])
	}
	c.want(same, "X is %v and Y %v, want them equal but for axis %d", o.X, o.Y, o.Axis)
	if c.err != nil {
		return
	}
	c.want(o.Len >= 1, "%d indices, want at least 1", o.Len)
	c.want(within(o.From, o.Len, x[o.Axis]), "X is %v, want [%d, %d) on axis %d", o.X, o.From, o.From+o.Len, o.Axis)
	c.want(within(o.To, o.Len, y[o.Axis]), "Y is %v, want [%d, %d) on axis %d", o.Y, o.To, o.To+o.Len, o.Axis)
}

// within tells whether [at, at+n) lies in [0, size).
func within(at, n, size int) bool { return at >= 0 && at <= size && n <= size-at }

func (o *Gather) check(c *checker) {
	table := c.in("Table", o.Table, F32, free, free)
	index := c.in("Index", o.Index, I32)
	c.out("Y", o.Y, F32, append(slices.Clone(index), table[1])...)
}

func (o *GatherGrad) check(c *checker) {
	table := c.out("DTable", o.DTable, F32, free, free)
	index := c.in("Index", o.Index, I32)
	c.in("DY", o.DY, F32, append(slices.Clone(index), table[1])...)
}

// without is shape less one axis; of a vector a single element remains.
func without(shape []int, axis int) []int {
	if len(shape) == 1 {
		return []int{1}
	}
	return slices.Delete(slices.Clone(shape), axis, axis+1)
}

func (o *Reduce) check(c *checker) {
	x := c.in("X", o.X, F32)
	c.want(o.Axis >= 0 && o.Axis < len(x), "axis %d, want 0 to %d", o.Axis, len(x)-1)
	if c.err == nil {
		c.out("Y", o.Y, F32, without(x, o.Axis)...)
	}
}

func (o *Expand) check(c *checker) {
	y := c.out("Y", o.Y, F32)
	c.want(o.Axis >= 0 && o.Axis < len(y), "axis %d, want 0 to %d", o.Axis, len(y)-1)
	if c.err == nil {
		c.in("X", o.X, F32, without(y, o.Axis)...)
	}
}

// checkPool returns the output shape of pooling x.
func checkPool(c *checker, x []int, window, stride, pad int) []int {
	c.want(window >= 1 && window <= 16, "window %d, want 1 to 16", window)
	c.want(stride >= 1, "stride %d, want at least 1", stride)
	c.want(pad >= 0 && pad < window, "padding %d, want 0 to %d: less than the window", pad, window-1)
	c.want(window <= min(x[1], x[2])+2*pad, "window %d on an image of %d×%d padded by %d, want it to fit", window, x[1], x[2], pad)
	if c.err != nil {
		return []int{1, 1, 1, 1}
	}
	g := Conv{Stride: stride, Pad: pad}
	return []int{x[0], g.Out(x[1], window), g.Out(x[2], window), x[3]}
}

func (o *Pool) check(c *checker) {
	x := c.in("X", o.X, F32, free, free, free, free)
	y := checkPool(c, x, o.Window, o.Stride, o.Pad)
	c.out("Y", o.Y, F32, y...)
	if o.Max {
		c.maybeOut("Where", o.Where, U8, y...)
	} else {
		c.none("Where", o.Where, "for an average")
	}
}

func (o *PoolGrad) check(c *checker) {
	dx := c.out("DX", o.DX, F32, free, free, free, free)
	dy := checkPool(c, dx, o.Window, o.Stride, o.Pad)
	c.in("DY", o.DY, F32, dy...)
	if o.Max {
		c.in("Where", o.Where, U8, dy...)
	} else {
		c.none("Where", o.Where, "for an average")
	}
}

func (o *GlobalPool) check(c *checker) {
	x := c.in("X", o.X, F32, free, free, free, free)
	c.out("Y", o.Y, F32, x[0], x[3])
}

func (o *GlobalPoolGrad) check(c *checker) {
	dx := c.out("DX", o.DX, F32, free, free, free, free)
	c.in("DY", o.DY, F32, dx[0], dx[3])
}

// checkMap returns the output shape of picking channels of x.
func checkMap(c *checker, x []int, stride int, channels []int32) []int {
	c.want(stride >= 1, "stride %d, want at least 1", stride)
	c.want(len(channels) >= 1, "map is empty")
	seen := make(map[int32]bool, len(channels))
	for k, m := range channels {
		c.want(m >= -1 && int(m) < x[3], "map[%d] = %d, want -1 to %d", k, m, x[3]-1)
		c.want(m < 0 || !seen[m], "map[%d] = %d occurs twice", k, m)
		seen[m] = true
	}
	if c.err != nil {
		return []int{1, 1, 1, 1}
	}
	return []int{x[0], (x[1]-1)/stride + 1, (x[2]-1)/stride + 1, len(channels)}
}

func (o *ChannelMap) check(c *checker) {
	x := c.in("X", o.X, F32, free, free, free, free)
	c.out("Y", o.Y, F32, checkMap(c, x, o.Stride, o.Map)...)
}

func (o *ChannelMapGrad) check(c *checker) {
	dx := c.out("DX", o.DX, F32, free, free, free, free)
	c.in("DY", o.DY, F32, checkMap(c, dx, o.Stride, o.Map)...)
}
