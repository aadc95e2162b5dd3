package cpu

// gradPlan computes the gradient of a convolution by its weights. Every weight
// is a sum over pixels; a grad kernel keeps some rows by 16 or 8 lanes of them
// in registers. Two things are chosen by an estimate of the time:
//
// Pixels: one job for each tap, of all pixels that meet it; or one job for each
// class of pixels, with the rows of all taps that the class meets. The second
// fills tiles where there are few channels, the first has longer sums.
//
// Sides: rows are input channels and lanes output channels; or, turned, rows
// are output channels and lanes run through taps and input channels, which
// lie side by side in memory. That fills the lanes where there are few or odd
// numbers of output channels, and leaves the gradient transposed.
type gradPlan struct {
	window
	turned bool
	group  int // images that jobs list pixels of
	calls  []gradCall
}

// gradJob is a list of pixels.
type gradJob struct {
	runs, count       int     // runs of an image, pixels of a run
	rowStep, laneStep int     // bytes from pixel to pixel, on the side of rows and of lanes
	tab               []int32 // pairs of byte offsets of the runs, likewise
}

// gradCall is a job for some rows and one block of lanes.
type gradCall struct {
	*gradJob
	convBlock
	row, lane, to int        // bytes to the block's part of either side and of the result
	rows          []gradRows // tiles
}

const (
	// gradBytes of x and dy stay in the first-level cache while rows pass.
	gradBytes = 22 << 10
	// gradCallCost is what a call of a grad kernel costs, in cycles.
	gradCallCost = 30
)

func newGradPlan(g window) *gradPlan {
	p := &gradPlan{window: g}
	line := 4 * (g.w*g.c*g.Stride + g.ow*min(g.k, 16))
	if g.depthwise() { // only a block's channels are touched
		line = 4 * 16 * (g.w*g.Stride + g.ow)
	}
	p.group = max(1, min(g.n, gradBytes/(line*g.oh)))
	ps := g.forwardPasses()[0]
	straight, turned := []gradCall{}, []gradCall{}
	even(g.oh, max(1, gradBytes/line), func(lo, hi int) {
		if g.depthwise() {
			straight = append(straight, p.depthwiseCalls(&ps, lo, hi)...)
			return
		}
		straight = append(straight, p.straight(&ps, lo, hi)...)
		if g.Groups == 1 {
			turned = append(turned, p.turn(&ps, lo, hi)...)
		}
	})
	p.calls = straight
	if len(turned) > 0 && cost(turned) < 0.97*cost(straight) {
		p.calls, p.turned = turned, true
	}
	return p
}

// cost estimates the cycles of a list of calls for one image. Multiply-adds
// take half a cycle, but a chain of them four.
func cost(calls []gradCall) (sum float64) {
	for _, c := range calls {
		for _, r := range c.rows {
			cycles := max(4.2, float64(r.n))
			if c.width == 8 {
				cycles = max(4.2, float64(r.n+1)/2)
			}
			sum += gradCallCost + float64(c.runs*c.count)*cycles
		}
	}
	return sum
}

// cheaper chooses between jobs by tap and by class.
func (p *gradPlan) cheaper(ps *convPass, lo, hi int, calls func(boxes []convBox) []gradCall) []gradCall {
	byTap, byClass := calls(ps.byTap(lo, hi)), calls(ps.byClass(lo, hi))
	if cost(byTap) < cost(byClass) {
		return byTap
	}
	return byClass
}

// straight returns the calls with lanes through output channels.
func (p *gradPlan) straight(ps *convPass, lo, hi int) []gradCall {
	return p.cheaper(ps, lo, hi, func(boxes []convBox) (out []gradCall) {
		jobs := make([]*gradJob, len(boxes))
		rows := make([]map[int][]gradRows, len(boxes)) // by width
		for i, box := range boxes {
			all := p.inputRows(box)
			jobs[i], rows[i] = p.job(ps, box, false), map[int][]gradRows{16: tileRows(all, 16), 8: tileRows(all, 8)}
		}
		for _, b := range channelBlocks(p.Groups, p.cg, p.kg, gradWidths) {
			for i, job := range jobs {
				out = append(out, gradCall{
					gradJob: job, convBlock: b,
					row: 4 * b.in, lane: 4 * b.out, to: 4 * b.out, rows: rows[i][b.width],
				})
			}
		}
		return out
	})
}

// turn returns the calls with lanes through taps and input channels.
func (p *gradPlan) turn(ps *convPass, lo, hi int) []gradCall {
	rows := map[int][]gradRows{16: tileRows(p.outputRows(), 16), 8: tileRows(p.outputRows(), 8)}
	return p.cheaper(ps, lo, hi, func(boxes []convBox) (out []gradCall) {
		for _, box := range boxes {
			job := p.job(ps, box, true)
			for t := range box.h.taps() {
				for _, b := range channelBlocks(1, 0, box.w.taps()*p.c, gradWidths) {
					out = append(out, gradCall{
						gradJob: job, convBlock: b,
						lane: 4 * (t*p.w*p.c + b.out),
						to:   4 * (((box.h.t0+t)*p.kw+box.w.t0)*p.c + b.out),
						rows: rows[b.width],
					})
				}
			}
		}
		return out
	})
}

// depthwiseCalls has a row for each tap.
func (p *gradPlan) depthwiseCalls(ps *convPass, lo, hi int) (out []gradCall) {
	for _, b := range depthBlocks(p.c) {
		for _, box := range ps.byClass(lo, hi) {
			out = append(out, gradCall{
				gradJob: p.job(ps, box, false), convBlock: b,
				row: 4 * b.in, lane: 4 * b.out, to: 4 * b.out,
				rows: tileRows(p.inputRows(box), b.width),
			})
		}
	}
	return out
}

// job lists the pixels of a box, in runs along its longer axis.
func (p *gradPlan) job(ps *convPass, b convBox, turned bool) *gradJob {
	xPixel, xLine := 4*p.c, 4*p.w*p.c
	dyPixel, dyLine := 4*p.k, 4*p.ow*p.k
	j := &gradJob{runs: b.h.len(), count: b.w.len(), rowStep: p.Stride * xPixel, laneStep: dyPixel}
	down := b.h.len() > b.w.len()
	if down {
		j = &gradJob{runs: b.w.len(), count: b.h.len(), rowStep: p.Stride * xLine, laneStep: dyLine}
	}
	for g := range p.group {
		for i := range j.runs {
			r, c := b.h.lo+i, b.w.lo
			if down {
				r, c = b.h.lo, b.w.lo+i
			}
			x := (g*p.h+ps.h.in(r, b.h.t0))*xLine + ps.w.in(c, b.w.t0)*xPixel
			dy := (g*p.oh+r)*dyLine + c*dyPixel
			if turned {
				x, dy = dy, x
			}
			j.tab = append(j.tab, int32(x), int32(dy))
		}
	}
	if turned {
		j.rowStep, j.laneStep = j.laneStep, j.rowStep
	}
	return j
}

// gradRow is a row of the gradient: where its side's values and its results
// lie, in bytes.
type gradRow struct{ from, to int }

// inputRows are the rows of all taps of a box and all channels of a group.
func (p *gradPlan) inputRows(b convBox) (rows []gradRow) {
	for t := range b.h.taps() {
		for u := range b.w.taps() {
			for c := range p.cg {
				rows = append(rows, gradRow{
					4 * ((t*p.w+u)*p.c + c),
					4 * (((b.h.t0+t)*p.kw+b.w.t0+u)*p.cg + c) * p.k,
				})
			}
		}
	}
	return rows
}

// outputRows are the rows of a turned gradient.
func (p *gradPlan) outputRows() (rows []gradRow) {
	for k := range p.k {
		rows = append(rows, gradRow{4 * k, 4 * k * p.kh * p.kw * p.c})
	}
	return rows
}

// tileRows cuts rows into tiles for blocks of a width.
func tileRows(all []gradRow, width int) (tiles []gradRows) {
	even(len(all), maxRows(width), func(lo, hi int) {
		t := gradRows{n: hi - lo}
		for i, r := range all[lo:hi] {
			t.from[i], t.to[i] = int32(r.from), int32(r.to)
		}
		tiles = append(tiles, t)
	})
	return tiles
}

// run adds the gradient of images [lo, hi) to sum.
func (p *gradPlan) run(x, dy, sum []float32, lo, hi int) {
	for i := lo; i < hi; i += p.group {
		n := min(p.group, hi-i)
		rows, lanes := x[i*p.h*p.w*p.c:], dy[i*p.oh*p.ow*p.k:]
		if p.k > 16 { // blocks touch parts of pixels only
			convPrefetch(addr(rows, 0), n*p.h*p.w*p.c/16)
			convPrefetch(addr(lanes, 0), n*p.oh*p.ow*p.k/16)
		}
		if p.turned {
			rows, lanes = lanes, rows
		}
		for c := range p.calls {
			p.calls[c].run(rows, lanes, sum, n, p.depthwise())
		}
	}
}

// run adds the gradient of n images.
func (c *gradCall) run(rows, lanes, sum []float32, n int, depthwise bool) {
	a := convGradArgs{
		rowSide: addr(rows, c.row/4), laneSide: addr(lanes, c.lane/4), out: addr(sum, c.to/4),
		count: c.count, rowStep: c.rowStep, laneStep: c.laneStep, flags: convAdd,
		mask: convMask(c.lanes()), lanes: c.lanes(),
	}
	if c.masked() {
		a.flags |= convMasked
	}
	for r := range c.rows {
		t := &c.rows[r]
		a.n, a.rows = t.n, addr(t.from[:], 0)
		a.tab, a.segs = addr(c.tab, 0), n*c.runs
		convGradKernel(c.width, depthwise, &a)
	}
}

func convGradKernel(width int, depthwise bool, a *convGradArgs) {
	switch {
	case depthwise && width == 16:
		convGradDepth16(a)
	case depthwise:
		convGradDepth8(a)
	case width == 16:
		convGrad16(a)
	default:
		convGrad8(a)
	}
}
