package record

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/espalier-ml/espalier/collective"
)

// script makes the tail of a rank from a word for each operation: a letter
// for what it is, and "!" if it failed or "?" if it has not ended. Operation i
// was issued i seconds after the start, plus the delay.
func script(rank collective.Rank, world int, delay time.Duration, ops string) Tail {
	kinds := map[byte]string{'r': "allreduce", 'b': "barrier", 's': "sendrecv"}
	began := time.Date(2026, 1, 1, 0, 0, int(rank)*100, 0, time.UTC) // clocks differ
	t := Tail{Rank: rank, World: world, Taken: began.Add(time.Minute)}
	for i, word := range strings.Fields(ops) {
		e := Entry{Index: uint64(i + 1), Op: kinds[word[0]], Seq: uint64(i / 2), Bucket: int32(i % 2), Bytes: 64, Queued: began.Add(time.Duration(i)*time.Second + delay)}
		switch {
		case strings.HasSuffix(word, "!"):
			e.Err = "deadline"
			fallthrough
		case !strings.HasSuffix(word, "?"):
			e.Start, e.End = e.Queued, e.Queued.Add(time.Millisecond)
		}
		t.Entries = append(t.Entries, e)
	}
	return t
}

func TestJudge(t *testing.T) {
	tails := func(ops ...string) (list []Tail) {
		for r, o := range ops {
			if o != "gone" {
				list = append(list, script(collective.Rank(r), len(ops), time.Duration(r)*time.Second, o))
			}
		}
		return list
	}
	tests := []struct {
		name  string
		world int
		tails []Tail
		fault Fault
		ranks []collective.Rank
		text  string
	}{
		{"nothing began", 2, tails("", ""), Healthy, nil, "healthy"},
		{"all complete", 3, tails("r r b", "r r b", "r r b"), Healthy, nil, "healthy"},
		{"never arrived", 3, tails("r r?", "r r?", "r"), NeverArrived, []collective.Rank{2}, "rank 2 never arrived: allreduce seq 0 bucket 1"},
		{"never arrived, others failed", 3, tails("r r!", "r", "r r!"), NeverArrived, []collective.Rank{1}, "rank 1 never arrived"},
		{"two never arrived", 4, tails("r", "r r?", "r", "r r?"), NeverArrived, []collective.Rank{0, 2}, "ranks 0, 2 never arrived"},
		{"others have queued more", 2, tails("r r? r? r?", "r"), NeverArrived, []collective.Rank{1}, "rank 1 never arrived: allreduce seq 0 bucket 1"},
		{"different op", 3, tails("r r?", "r r?", "r b?"), DifferentOp, []collective.Rank{2}, "rank 2 issued barrier seq 0 bucket 1, 64 bytes, others allreduce"},
		{"different op, the first is wrong", 3, tails("r b?", "r r?", "r r?"), DifferentOp, []collective.Rank{0}, "rank 0 issued barrier"},
		{"different op of two", 2, tails("r r!", "r b!"), DifferentOp, []collective.Rank{1}, "rank 1 issued barrier"},
		{"different before missing", 3, tails("r r?", "r b?", "r"), DifferentOp, []collective.Rank{1}, "rank 1 issued barrier"},
		{"slow", 3, tails("r r?", "r r?", "r r?"), Slow, []collective.Rank{2}, "rank 2 came last, 2s after the first"},
		{"dead", 3, tails("r r!", "r r!", "gone"), Dead, []collective.Rank{2}, "rank 2 dead: allreduce seq 0 bucket 1"},
		{"dead while idle", 2, tails("r r", "gone"), Dead, []collective.Rank{1}, "rank 1 dead: no operation waits"},
		{"all gone", 2, nil, Dead, []collective.Rank{0, 1}, "ranks 0, 1 dead"},
		{"messages of other sizes", 2, func() []Tail {
			l := tails("s", "s")
			l[1].Entries[0].Bytes = 99
			return l
		}(), Healthy, nil, "healthy"},
		{"other plan", 2, func() []Tail {
			l := tails("r?", "r?")
			l[1].Entries[0].Sig = 99
			return l
		}(), DifferentOp, []collective.Rank{1}, "rank 1 issued allreduce"},
		{"rank outside", 2, append(tails("r", "r"), Tail{Rank: 7, World: 8}), Healthy, nil, "healthy"},
	}
	for _, tt := range tests {
		v := Judge(tt.world, tt.tails)
		if v.Fault != tt.fault || !slices.Equal(v.Ranks, tt.ranks) || !strings.Contains(v.String(), tt.text) {
			t.Errorf("%s: %s of %v: %q, want %s of %v: %q", tt.name, v.Fault, v.Ranks, v, tt.fault, tt.ranks, tt.text)
		}
	}
}

// Faults injected at random are found, in every order of the tails.
func TestJudgeFindsInjectedFaults(t *testing.T) {
	x := uint32(7)
	rnd := func(n int) int {
		x = x*1664525 + 1013904223
		return int(x>>8) % n
	}
	for trial := range 2000 {
		world, before := 2+rnd(7), rnd(20)
		culprit := collective.Rank(rnd(world))
		if trial%4 == 1 && world == 2 { // of two, the second is blamed
			culprit = 1
		}
		fault := []Fault{NeverArrived, DifferentOp, Slow, Dead}[trial%4]
		var tails []Tail
		for r := range collective.Rank(world) {
			ops, delay := strings.Repeat("r ", before)+"r?", time.Duration(rnd(400))*time.Millisecond
			if r == culprit {
				switch fault {
				case NeverArrived:
					ops = strings.Repeat("r ", before)
				case DifferentOp:
					ops = strings.Repeat("r ", before) + "b?"
				case Slow:
					delay = 5 * time.Second
				case Dead:
					continue
				}
			}
			tails = append(tails, script(r, world, delay, ops))
		}
		for i := range tails {
			j := rnd(len(tails))
			tails[i], tails[j] = tails[j], tails[i]
		}
		v := Judge(world, tails)
		if v.Fault != fault || !slices.Equal(v.Ranks, []collective.Rank{culprit}) || v.Op.Index != uint64(before+1) {
			t.Errorf("trial %d: %s of rank %d in operation %d of a world of %d is judged %s of %v in %d", trial, fault, culprit, before+1, world, v.Fault, v.Ranks, v.Op.Index)
		}
	}
}

func TestTailsTravel(t *testing.T) {
	want := script(1, 3, time.Second, "r r! b?")
	var b bytes.Buffer
	if err := want.Write(&b); err != nil {
		t.Fatal(err)
	}
	got, err := ReadTail(&b)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("read %v, %v, want %v", got, err, want)
	}
}

func TestReadTailRefuses(t *testing.T) {
	for text, words := range map[string]string{
		``:                      "EOF",
		`[]`:                    "cannot unmarshal",
		`{"rank":3,"world":3}`:  "rank 3 of a world of 3",
		`{"rank":-1,"world":3}`: "rank -1",
		`{"rank":0,"world":1,"entries":[{"index":1},{"index":3}]}`:          "operation 3 follows 1",
		`{"rank":0,"world":1,"entries":[{"index":0}]}`:                      "operation 0",
		`{"rank":0,"world":1,"run":"` + strings.Repeat("x", maxTail) + `"}`: "more than",
	} {
		if _, err := ReadTail(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%.60s: %v, want %q", text, err, words)
		}
	}
}

// Whatever another machine sends is read or refused, and judged in no time.
func FuzzTails(f *testing.F) {
	var b bytes.Buffer
	script(0, 2, 0, "r r!").Write(&b)
	f.Add(b.Bytes(), []byte(`{"rank":1,"world":2,"entries":[{"index":18446744073709551615}]}`))
	f.Fuzz(func(t *testing.T, one, two []byte) {
		var tails []Tail
		for _, text := range [][]byte{one, two} {
			if tail, err := ReadTail(bytes.NewReader(text)); err == nil {
				tails = append(tails, tail)
			}
		}
		if v := Judge(2, tails); v.String() == "" {
			t.Error("no verdict")
		}
	})
}

func TestRecorderKeepsTheLast(t *testing.T) {
	r := New(4)
	for i := range uint64(10) {
		meta := collective.OpMeta{Seq: i}
		r.issued(collective.KindAllReduce, meta, 8)
		if i < 8 {
			now := time.Now()
			r.Observe(collective.Event{Kind: collective.KindAllReduce, Meta: meta, Bytes: 8, Start: now, End: now})
		}
	}
	r.Observe(collective.Event{Kind: collective.KindAllReduce, Meta: collective.OpMeta{Seq: 8}, Start: time.Now(), End: time.Now(), Err: errors.New("broken")})
	var got []string
	for _, e := range r.Tail().Entries {
		got = append(got, strings.TrimSpace(fmt.Sprintf("%d %d %v %v %s", e.Index, e.Seq, e.Complete(), e.Ended(), e.Err)))
	}
	want := []string{"7 6 true true", "8 7 true true", "9 8 false true broken", "10 9 false false"}
	if !slices.Equal(got, want) {
		t.Errorf("tail %q, want %q", got, want)
	}
}

func TestRecordingAllocatesNothing(t *testing.T) {
	r := New(16)
	now := time.Now()
	if n := testing.AllocsPerRun(100, func() {
		r.issued(collective.KindBarrier, collective.OpMeta{Seq: 1}, 0)
		r.Observe(collective.Event{Kind: collective.KindBarrier, Meta: collective.OpMeta{Seq: 1}, Start: now, End: now})
	}); n != 0 {
		t.Errorf("%v allocations an operation", n)
	}
}
