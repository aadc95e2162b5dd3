package gen

import (
	"errors"
	"fmt"
	"time"

	"github.com/espalier-ml/espalier/cluster"
)

// Config is what a machine needs to know. Zero durations take their defaults.
type Config struct {
	Self cluster.Node // ID, Boot, Host, Build, Job

	MinNodes int // no generation has fewer; at least 1
	MaxNodes int // none has more; 0 is no limit

	// Gossip says that health is heard of ([Heard]); a node of which nothing
	// was heard then is no candidate. Without, every announced node is taken
	// to be alive.
	Gossip bool

	Times
	Without Rule
}

// Times are the machine's intervals. Relations that Validate checks:
// Beat < LeaderTimeout; Tick < Beat.
type Times struct {
	Tick          time.Duration // 100 ms: distance of [Tick] events; four of them late is a pause
	Beat          time.Duration // 500 ms: the leader writes its key this often
	LeaderTimeout time.Duration // 2 s: without a change of that key for so long another takes over
	Settle        time.Duration // 20 ms: from the first sign of a fault to the next generation, so that one event makes one
	FirstWait     time.Duration // 1 s: the first generation waits so long for more than MinNodes
	SuspectWait   time.Duration // 1 s: a member under suspicion has so long to take up a generation
	TakeWait      time.Duration // 3 s: any other member
	OpenWait      time.Duration // 15 s: and so long to open it
	DrainWait     time.Duration // 60 s: and so long to leave it at a boundary; longer than the longest step
	JoinInterval  time.Duration // 5 s: no generation is drained for a joiner sooner after it formed
	StepInterval  time.Duration // 1 s: a node's step alone is announced no more often
	Penalty       time.Duration // 1 s: a node left out for cause the second time stays out so long, then 2, 4 … times
	PenaltyMax    time.Duration // 60 s: but no longer
	Forgive       time.Duration // 60 s: a generation that ran so long clears its members
	Retry         time.Duration // 50 ms: first pause after a failed store operation; doubles to five times that
	StaleAfter    time.Duration // 3 s: a store that denies for so long what it once said has lost its contents
	// DisjointAfter is how long all members of a generation must have been
	// silent before others, of whom none was a member, may go on without any
	// sign that it has stopped: 30 s. It is the one case in which two
	// generations can train at a time; both compute the same bits. Negative: never.
	DisjointAfter time.Duration
}

// Rule is a set of the machine's safety rules.
type Rule uint8

// The rules that can be switched off, to show that a checker notices. All are
// on in production.
const (
	RuleFence   Rule = 1 << iota // a leader stops when the head has a higher term
	RuleMax                      // a node keeps the newest generation over a restart and refuses older ones
	RuleChain                    // a node refuses a chain that does not extend its own
	RuleStopped                  // a generation follows only on those that have stopped, or has a member of each
	RuleNewest                   // a generation has a member with the newest state that a living node holds
)

// Defaults returns t with zero values replaced.
func (t Times) Defaults() Times {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&t.Tick, 100*time.Millisecond)
	set(&t.Beat, 500*time.Millisecond)
	set(&t.LeaderTimeout, 2*time.Second)
	set(&t.Settle, 20*time.Millisecond)
	set(&t.FirstWait, time.Second)
	set(&t.SuspectWait, time.Second)
	set(&t.TakeWait, 3*time.Second)
	set(&t.OpenWait, 15*time.Second)
	set(&t.DrainWait, time.Minute)
	set(&t.JoinInterval, 5*time.Second)
	set(&t.StepInterval, time.Second)
	set(&t.Penalty, time.Second)
	set(&t.PenaltyMax, time.Minute)
	set(&t.Forgive, time.Minute)
	set(&t.Retry, 50*time.Millisecond)
	set(&t.StaleAfter, 3*time.Second)
	set(&t.DisjointAfter, 30*time.Second)
	return t
}

// Validate returns all complaints at once.
func (c *Config) Validate() error {
	var errs []error
	bad := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	if err := CheckID(c.Self.ID); err != nil {
		errs = append(errs, err)
	}
	bad(c.Self.Boot != "", "node %s: no boot identity", c.Self.ID)
	bad(c.MinNodes >= 1, "at least %d nodes: want 1 or more", c.MinNodes)
	bad(c.MaxNodes == 0 || c.MaxNodes >= c.MinNodes, "%d to %d nodes: the second number is the larger one", c.MinNodes, c.MaxNodes)
	t := c.Times.Defaults()
	bad(t.Beat < t.LeaderTimeout, "beat of %v and leader timeout of %v: a beat must fit", t.Beat, t.LeaderTimeout)
	bad(t.Tick <= t.Beat, "tick of %v and beat of %v: a tick must fit", t.Tick, t.Beat)
	return errors.Join(errs...)
}

// max is the greatest number of members.
func (c *Config) max() int {
	if c.MaxNodes == 0 {
		return int(^uint(0) >> 1)
	}
	return c.MaxNodes
}

func (c *Config) rule(r Rule) bool { return c.Without&r == 0 }
