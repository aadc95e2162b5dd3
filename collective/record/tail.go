package record

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/espalier-ml/espalier/collective"
)

// Tail is what one rank remembers.
type Tail struct {
	Rank    collective.Rank `json:"rank"`
	World   int             `json:"world"`
	Run     string          `json:"run"`
	Gen     uint64          `json:"gen"`
	Taken   time.Time       `json:"taken"`
	Entries []Entry         `json:"entries"` // by index, oldest first
}

// Tail copies what the recorder holds.
func (r *Recorder) Tail() Tail {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := Tail{Rank: r.info.Rank, World: r.info.World, Run: r.info.Gen.Run.String(), Gen: r.info.Gen.N, Taken: r.now()}
	first := uint64(1)
	if size := uint64(len(r.ring)); r.next > size {
		first = r.next - size
	}
	for i := first; i < r.next; i++ {
		e := r.at(i).Entry
		if err := r.at(i).err; err != nil {
			e.Err = err.Error()
		}
		t.Entries = append(t.Entries, e)
	}
	return t
}

// Write writes the tail as JSON.
func (t Tail) Write(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(t)
}

// maxTail bounds a tail in JSON, which comes from another machine.
const maxTail = 16 << 20

// ReadTail reads what Write wrote, and refuses what cannot be a tail.
func ReadTail(r io.Reader) (Tail, error) {
	limited := &io.LimitedReader{R: r, N: maxTail + 1}
	var t Tail
	err := json.NewDecoder(limited).Decode(&t)
	switch {
	case limited.N <= 0:
		return Tail{}, fmt.Errorf("flight record: more than %d bytes", maxTail)
	case err != nil:
		return Tail{}, fmt.Errorf("flight record: %w", err)
	case t.World < 1 || t.Rank < 0 || int(t.Rank) >= t.World:
		return Tail{}, fmt.Errorf("flight record: rank %d of a world of %d", t.Rank, t.World)
	}
	for i := range t.Entries {
		if e := &t.Entries[i]; e.Index == 0 || i > 0 && e.Index != t.Entries[i-1].Index+1 {
			return Tail{}, fmt.Errorf("flight record of rank %d: operation %d follows %d", t.Rank, e.Index, t.Entries[max(i-1, 0)].Index)
		}
	}
	return t, nil
}
