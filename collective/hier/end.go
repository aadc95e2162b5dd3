package hier

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/espalier-ml/espalier/collective"
)

// How a group ends. Whoever notices aborts both of its groups with the
// verdict in the numbers of all ranks, written such that the others of those
// groups recognise it and pass it on.

// mark begins a reason that is a verdict of this package.
const mark = "hier: "

var kinds = [...]error{nil, collective.ErrDesync, collective.ErrDeadline, collective.ErrClosed}

func encode(e *collective.AbortError) string {
	code := 0
	for i, k := range kinds {
		if e.Kind == k {
			code = i
		}
	}
	missing := "-"
	for i, r := range e.Missing {
		if i == 0 {
			missing = strconv.Itoa(int(r))
		} else {
			missing += "," + strconv.Itoa(int(r))
		}
	}
	return fmt.Sprintf("%s%d %d %s %s", mark, e.By, code, missing, e.Reason)
}

// decode inverts encode.
func decode(text string) (*collective.AbortError, bool) {
	text, ok := strings.CutPrefix(text, mark)
	if !ok {
		return nil, false
	}
	by, text, _ := strings.Cut(text, " ")
	code, text, _ := strings.Cut(text, " ")
	list, reason, _ := strings.Cut(text, " ")
	r, err1 := strconv.Atoi(by)
	k, err2 := strconv.Atoi(code)
	if err1 != nil || err2 != nil || k < 0 || k >= len(kinds) {
		return nil, false
	}
	e := &collective.AbortError{By: collective.Rank(r), Kind: kinds[k], Reason: reason}
	if list == "-" {
		return e, true
	}
	for _, f := range strings.Split(list, ",") {
		m, err := strconv.Atoi(f)
		if err != nil || m < 0 {
			return nil, false
		}
		e.Missing = append(e.Missing, collective.Rank(m))
	}
	return e, true
}

// Abort implements collective.Comm.
func (c *Comm) Abort(cause error) {
	if cause == nil {
		cause = errors.New("no cause given")
	}
	c.end(&collective.AbortError{By: c.info.Rank, Reason: cause.Error(), Cause: cause})
}

// end ends the group unless it has ended, and returns why it has.
func (c *Comm) end(e *collective.AbortError) error {
	c.mu.Lock()
	first := c.verdict == nil
	if first {
		c.verdict = e
	}
	e = c.verdict
	c.work.Signal()
	c.mu.Unlock()
	if first {
		reason := errors.New(encode(e))
		c.local.Abort(reason)
		c.across.Abort(&verdict{reason, c.hostsOf(e.Missing)})
	}
	return e
}

// fail ends the group because an operation failed.
func (c *Comm) fail(err error) error {
	var e *collective.AbortError
	if !errors.As(err, &e) {
		return c.end(&collective.AbortError{By: c.info.Rank, Reason: err.Error()})
	}
	var in *groupError
	if v, ok := decode(e.Reason); ok {
		if errors.As(err, &in) && in.across { // another host's word: the group there knows whether it is ours too
			v.Missing = slices.DeleteFunc(v.Missing, func(r collective.Rank) bool {
				return !slices.Contains(e.Missing, collective.Rank(int(r)/c.perHost))
			})
		}
		return c.end(v)
	}
	if !errors.As(err, &in) { // found here, in the numbers of all ranks
		return c.end(e)
	}
	return c.end(c.translate(e, in.across))
}

// verdict is what the group across hosts is told: a text, and who is missing
// in that group's numbers.
type verdict struct {
	error
	missing []collective.Rank
}

// As lets the group find the missing ranks.
func (v *verdict) As(target any) bool {
	e, ok := target.(**collective.AbortError)
	if ok {
		*e = &collective.AbortError{Missing: v.missing}
	}
	return ok
}

// hostsOf lists the hosts of ranks.
func (c *Comm) hostsOf(all []collective.Rank) (hosts []collective.Rank) {
	for _, r := range all {
		if h := collective.Rank(int(r) / c.perHost); !slices.Contains(hosts, h) {
			hosts = append(hosts, h)
		}
	}
	return hosts
}

// groupError is an error of one of the two groups.
type groupError struct {
	across bool
	err    error
}

func (e *groupError) Error() string { return e.err.Error() }
func (e *groupError) Unwrap() error { return e.err }

func inGroup(across bool, err error) error {
	if err == nil {
		return nil
	}
	return &groupError{across, err}
}

// within and beyond wait for an operation within the host and across hosts.
func (c *Comm) within(w collective.Work) error { return inGroup(false, w.Wait(context.Background())) }
func (c *Comm) beyond(w collective.Work) error { return inGroup(true, w.Wait(context.Background())) }

var numbers = regexp.MustCompile(`\brank (\d+)|\branks \[([\d ]+)\]`)

// translate tells an error of one of the two groups in the numbers of all
// ranks.
func (c *Comm) translate(e *collective.AbortError, across bool) *collective.AbortError {
	all := func(r int) int {
		if across {
			return r*c.perHost + c.l
		}
		return c.h*c.perHost + r
	}
	t := &collective.AbortError{By: e.By, Kind: e.Kind, Cause: e.Cause}
	if e.By != collective.NoRank {
		t.By = collective.Rank(all(int(e.By)))
	}
	for _, r := range e.Missing {
		t.Missing = append(t.Missing, collective.Rank(all(int(r))))
	}
	t.Reason = numbers.ReplaceAllStringFunc(e.Reason, func(found string) string {
		word, list, _ := strings.Cut(found, " ")
		var out []string
		for _, f := range strings.Fields(strings.Trim(list, "[]")) {
			r, err := strconv.Atoi(f)
			if err != nil {
				return found
			}
			out = append(out, strconv.Itoa(all(r)))
		}
		if word == "ranks" {
			return "ranks [" + strings.Join(out, " ") + "]"
		}
		return "rank " + out[0]
	})
	return t
}

// Close implements collective.Comm. It closes both groups.
func (c *Comm) Close(ctx context.Context) error {
	c.mu.Lock()
	if c.closing {
		c.mu.Unlock()
		<-c.done
		return nil
	}
	c.closing = true
	last := c.queue.Issued()
	c.work.Signal()
	c.mu.Unlock()
	err := c.queue.Wait(ctx, last)
	if err != nil && !errors.Is(err, collective.ErrAborted) {
		c.end(&collective.AbortError{By: c.info.Rank, Kind: collective.ErrClosed, Reason: fmt.Sprintf("rank %d closed while operations were pending", c.info.Rank)})
	}
	<-c.done
	err = errors.Join(err, c.local.Close(ctx), c.across.Close(ctx))
	c.mu.Lock()
	c.queue.Fail(closedBy(c.info.Rank))
	c.mu.Unlock()
	if err != nil {
		return fmt.Errorf("close: %w", err)
	}
	return nil
}
