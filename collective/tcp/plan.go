package tcp

// plan is how the bytes of an operation are cut: a part for each rank, which
// that rank combines or passes on, and each part in segments, which are sent,
// combined and passed on one by one, so that links and processor are busy at
// the same time. It is a function of sizes alone, equal on all ranks.
type plan struct {
	part    int // bytes of a part; the last parts may be shorter or empty
	total   int // bytes of all parts
	segment int // bytes of a segment; the last one of a part may be shorter
	each    int // segments of a full part
}

const (
	grain       = 128       // parts of a shared buffer begin at multiples of it
	inFlight    = 4         // segments of a part, if that leaves them
	goodSegment = 64 << 10  // long; below, the cost of a frame shows
	minSegment  = 4 << 10   // of Options.Segment
	maxSegment  = 16 << 20  // of Options.Segment
	maxBytes    = 1<<40 - 1 // of an operation: segment numbers are 32 bits
)

// cut makes the plan for parts of a given size.
func cut(part, total, segment int) plan {
	p := plan{part: part, total: total}
	small := (part/inFlight + grain - 1) &^ (grain - 1)
	p.segment = min(max(small, goodSegment), segment)
	p.each = (part + p.segment - 1) / p.segment
	return p
}

// share makes the plan for one buffer that all ranks share in equal parts.
func share(total, world, segment int) plan {
	part := ((total+world-1)/world + grain - 1) &^ (grain - 1)
	return cut(part, total, segment)
}

// bounds are the bytes [lo, hi) of a rank's part.
func (p *plan) bounds(rank int) (lo, hi int) {
	return min(rank*p.part, p.total), min((rank+1)*p.part, p.total)
}

// segments is the number of segments of a rank's part.
func (p *plan) segments(rank int) int {
	lo, hi := p.bounds(rank)
	if lo == hi {
		return 0
	}
	return (hi - lo + p.segment - 1) / p.segment
}

// number is that of segment s of a rank's part among all segments.
func (p *plan) number(rank, s int) int { return rank*p.each + s }

// locate inverts number. It reports false for a segment that does not exist.
func (p *plan) locate(number, world int) (rank, s int, ok bool) {
	if p.each == 0 {
		return 0, 0, false
	}
	rank, s = number/p.each, number%p.each
	return rank, s, rank < world && s < p.segments(rank)
}

// span are the bytes [lo, hi) of segment s of a rank's part.
func (p *plan) span(rank, s int) (lo, hi int) {
	first, end := p.bounds(rank)
	lo = first + s*p.segment
	return lo, min(lo+p.segment, end)
}
