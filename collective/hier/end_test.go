package hier

import (
	"errors"
	"reflect"
	"testing"

	"github.com/espalier-ml/espalier/collective"
)

func TestVerdictsTravel(t *testing.T) {
	for _, want := range []collective.AbortError{
		{By: 3, Kind: collective.ErrDesync, Reason: "rank 0 issued this, rank 3 issued that"},
		{By: collective.NoRank, Reason: "shutting down"},
		{By: 1, Kind: collective.ErrClosed, Reason: ""},
		{By: 1, Kind: collective.ErrDeadline, Missing: []collective.Rank{2, 13}, Reason: "waited for 2"},
	} {
		got, ok := decode(encode(&want))
		if !ok || !reflect.DeepEqual(*got, want) {
			t.Errorf("%+v becomes %+v (%v)", want, got, ok)
		}
	}
	for _, text := range []string{"", "killed by signal 9", "hier: ", "hier: x 1 reason", "hier: 1 9 reason", "hier: 1 -1 reason", "hier: 1 1 2,x reason", "hier: 1 1 -2 reason"} {
		if got, ok := decode(text); ok {
			t.Errorf("%q is read as %+v", text, got)
		}
	}
}

// Rank 5 of 8 on hosts of 4 is index 1 of host 1.
func TestNumbersAreThoseOfAllRanks(t *testing.T) {
	c := &Comm{h: 1, l: 1, perHost: 4, hosts: 2}
	tests := []struct {
		by     collective.Rank
		reason string
		across bool
		wantBy collective.Rank
		want   string
	}{
		{2, "rank 2 has left", false, 6, "rank 6 has left"},
		{0, "waited 30ms for ranks [2 3]", false, 4, "waited 30ms for ranks [6 7]"},
		{0, "rank 0 is gone: EOF", true, 1, "rank 1 is gone: EOF"},
		{1, "link 1 between rank 0 and rank 1: EOF", true, 5, "link 1 between rank 1 and rank 5: EOF"},
		{collective.NoRank, "killed by signal 9", false, collective.NoRank, "killed by signal 9"},
		{0, "waited 2s for ranks []", true, 1, "waited 2s for ranks []"},
	}
	for _, tt := range tests {
		e := c.translate(&collective.AbortError{By: tt.by, Kind: collective.ErrDeadline, Reason: tt.reason}, tt.across)
		if e.By != tt.wantBy || e.Reason != tt.want || !errors.Is(e, collective.ErrDeadline) {
			t.Errorf("%q by %d becomes %q by %d, want %q by %d", tt.reason, tt.by, e.Reason, e.By, tt.want, tt.wantBy)
		}
	}
}
