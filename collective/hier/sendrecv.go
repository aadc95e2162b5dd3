package hier

import "github.com/espalier-ml/espalier/collective"

// A message from rank h*L+l to rank h'*L+l' goes within the host from l to
// l', then across from h to h'. All ranks know all messages from the letters;
// those of equal shifts (l'-l, h'-h) never meet, and travel at the same time.

// shift is how far a message goes: within the host and across.
func (c *Comm) shift(from, to int) (k, j int) {
	return (to%c.perHost - from%c.perHost + c.perHost) % c.perHost, (to/c.perHost - from/c.perHost + c.hosts) % c.hosts
}

// rank is that of an index on a host, both counted around.
func (c *Comm) rank(h, l int) int {
	return (h+c.hosts)%c.hosts*c.perHost + (l+c.perHost)%c.perHost
}

func (c *Comm) sendRecv(call *collective.Call) error {
	for k := range c.perHost {
		for j := range c.hosts {
			if err := c.sendBy(call, k, j); err != nil {
				return err
			}
		}
	}
	return nil
}

// sends reports whether a rank has a message of a shift, and its size.
func (c *Comm) sends(rank, k, j int) (bytes int, ok bool) {
	s := c.said(rank)
	if s.to < 0 {
		return 0, false
	}
	if kk, jj := c.shift(rank, int(s.to)); kk != k || jj != j {
		return 0, false
	}
	return int(s.in) * s.dtype.Size(), true
}

// sendBy moves all messages of a shift.
func (c *Comm) sendBy(call *collective.Call, k, j int) error {
	any := false
	for r := range c.info.World {
		_, sent := c.sends(r, k, j)
		any = any || sent
	}
	if !any {
		return nil
	}
	nobody := collective.Bytes(nil)
	mine, own := c.sends(int(c.info.Rank), k, j)
	// What this rank holds after the way within the host: the message of the
	// rank k below it.
	through, passes := c.sends(c.rank(c.h, c.l-k), k, j)
	held := raw(&call.In)
	if k != 0 {
		send, to, recv, from := nobody, collective.NoRank, nobody, collective.NoRank
		if own {
			send, to = collective.Bytes(held[:mine]), collective.Rank((c.l+k)%c.perHost)
		}
		if held = nil; passes {
			held = c.scratch(through)
			if j == 0 {
				held = raw(&call.Out)
			}
			recv, from = collective.Bytes(held), collective.Rank((c.l-k+c.perHost)%c.perHost)
		}
		if err := c.within(c.local.SendRecv(send, to, recv, from, collective.OpMeta{})); err != nil {
			return err
		}
	}
	if j == 0 {
		if k == 0 && own { // to itself
			copy(raw(&call.Out), held)
		}
		return nil
	}
	send, to, recv, from := nobody, collective.NoRank, nobody, collective.NoRank
	if passes {
		send, to = collective.Bytes(held[:through]), collective.Rank((c.h+j)%c.hosts)
	}
	if _, comes := c.sends(c.rank(c.h-j, c.l-k), k, j); comes {
		recv, from = collective.Bytes(raw(&call.Out)), collective.Rank((c.h-j+c.hosts)%c.hosts)
	}
	return c.beyond(c.across.SendRecv(send, to, recv, from, collective.OpMeta{}))
}
