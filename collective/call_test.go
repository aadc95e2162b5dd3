package collective

import (
	"errors"
	"strings"
	"testing"
)

func TestCallCheck(t *testing.T) {
	f := func(n int) Buf { return Float32s(make([]float32, n)) }
	tests := []struct {
		name string
		call Call
		want string // part of the error, empty for none
	}{
		{"allreduce", Call{Kind: KindAllReduce, In: f(3), Op: Sum}, ""},
		{"allreduce of nothing", Call{Kind: KindAllReduce, In: f(0), Op: Sum}, ""},
		{"no reduction", Call{Kind: KindAllReduce, In: f(3)}, "op(0): unsupported"},
		{"sum of bytes", Call{Kind: KindAllReduce, In: Bytes(nil), Op: Sum}, "sum of uint8: unsupported"},
		{"no buffer", Call{Kind: KindAllReduce, Op: Sum}, "without a type"},
		{"reducescatter", Call{Kind: KindReduceScatter, In: f(8), Out: f(2), Op: Sum}, ""},
		{"reducescatter, odd length", Call{Kind: KindReduceScatter, In: f(9), Out: f(2), Op: Sum}, "want an input of 4 times"},
		{"reducescatter, types", Call{Kind: KindReduceScatter, In: f(8), Out: Int64s(make([]int64, 2)), Op: Sum}, "float32[8] into int64[2]"},
		{"allgather", Call{Kind: KindAllGather, In: f(2), Out: f(8)}, ""},
		{"allgather, too short", Call{Kind: KindAllGather, In: f(2), Out: f(7)}, "want an output of 4 times"},
		{"broadcast", Call{Kind: KindBroadcast, In: Bytes(nil), To: 3}, ""},
		{"broadcast from outside", Call{Kind: KindBroadcast, In: f(1), To: 4}, "rank 4 in a world of 4"},
		{"barrier", Call{Kind: KindBarrier}, ""},
		{"sendrecv", Call{Kind: KindSendRecv, In: f(1), To: 1, Out: f(2), From: 2}, ""},
		{"sendrecv, one side", Call{Kind: KindSendRecv, In: f(1), To: 1, From: NoRank}, ""},
		{"sendrecv to nobody", Call{Kind: KindSendRecv, In: f(1), To: NoRank, From: NoRank}, "send to rank -1"},
		{"sendrecv from outside", Call{Kind: KindSendRecv, To: NoRank, Out: f(1), From: 9}, "receive from rank 9"},
	}
	for _, tt := range tests {
		err := tt.call.Check(0, 4)
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: error %v, want one with %q", tt.name, err, tt.want)
		}
	}
}

func TestErrorsCarryTheirCauses(t *testing.T) {
	cause := errors.New("loss is not a number")
	call := Call{Kind: KindAllReduce, Meta: OpMeta{Seq: 7, Bucket: 2}}
	err := call.Fail(Info{Rank: 1, Gen: Gen{N: 3}}, &AbortError{By: 2, Kind: ErrDesync, Reason: "why", Cause: cause})
	for _, target := range []error{ErrAborted, ErrDesync, cause} {
		if !errors.Is(err, target) {
			t.Errorf("%v does not wrap %v", err, target)
		}
	}
	if errors.Is(err, ErrDeadline) {
		t.Errorf("%v wraps %v", err, ErrDeadline)
	}
	if want := "rank 1 gen 3: allreduce seq 7 bucket 2: collective aborted by rank 2: ranks out of step: why"; err.Error() != want {
		t.Errorf("error reads %q, want %q", err, want)
	}
}
