package data

import (
	"slices"
	"strings"
	"testing"
)

func TestCharsAreSplitAndNumbered(t *testing.T) {
	// 20 characters: 18 for training. ü is one of them; Z is new in the rest.
	const text = "hello grün, world ZZ"
	tok, err := NewChars("test", text)
	if err != nil {
		t.Fatal(err)
	}
	if len(tok.Train) != 18 || len(tok.Valid) != 2 {
		t.Errorf("%d training and %d validation tokens", len(tok.Train), len(tok.Valid))
	}
	want := []string{" ", ",", "d", "e", "g", "h", "l", "n", "o", "r", "w", "ü", Unknown}
	if !slices.Equal(tok.Vocab, want) || tok.Unseen != 2 {
		t.Errorf("vocabulary %q, %d unseen", tok.Vocab, tok.Unseen)
	}
	if got := tok.Decode(tok.Train) + tok.Decode(tok.Valid); got != "hello grün, world <unk><unk>" {
		t.Errorf("decoded %q", got)
	}
	ids, err := tok.Encode("who?")
	if err != nil || tok.Decode(ids) != "who"+Unknown {
		t.Errorf("encoded %v, error %v", ids, err)
	}
	tok, err = NewChars("test", "abababababab")
	if err != nil || !slices.Equal(tok.Vocab, []string{"a", "b"}) {
		t.Errorf("vocabulary %q, error %v", tok.Vocab, err)
	}
	if _, err := tok.Encode("abc"); err == nil || !strings.Contains(err.Error(), `test: "c" is not in the vocabulary of 2`) {
		t.Errorf("unknown character: error %v", err)
	}
}

func TestWordsAreCountedFromTraining(t *testing.T) {
	tok, err := NewWords("test", "b a a\n\n a c b\n", " a d <unk> b \n")
	if err != nil {
		t.Fatal(err)
	}
	// a 3, eos 3, b 2, c 1, unk 0; equal counts in code order.
	if want := []string{EndOfLine, "a", "b", "c", Unknown}; !slices.Equal(tok.Vocab, want) {
		t.Errorf("vocabulary %q, want %q", tok.Vocab, want)
	}
	if want := []int32{2, 1, 1, 0, 0, 1, 3, 2, 0}; !slices.Equal(tok.Train, want) {
		t.Errorf("training tokens %v, want %v", tok.Train, want)
	}
	if want := []int32{1, 4, 4, 2, 0}; !slices.Equal(tok.Valid, want) || tok.Unseen != 1 {
		t.Errorf("validation tokens %v, want %v; %d unseen", tok.Valid, want, tok.Unseen)
	}
	if got := tok.Decode(tok.Train); got != "b a a\n\na c b\n" {
		t.Errorf("decoded %q", got)
	}
	for _, text := range []string{"b a\nc", "a b\n", ""} {
		ids, err := tok.Encode(text)
		if err != nil || tok.Decode(ids) != text {
			t.Errorf("%q becomes %v, then %q, error %v", text, ids, tok.Decode(ids), err)
		}
	}
}

func TestTextIsRefusedByByte(t *testing.T) {
	if _, err := NewChars("t", "ab\xffcd"); err == nil || !strings.Contains(err.Error(), "t: byte 2 is not UTF-8") {
		t.Errorf("error %v", err)
	}
	if _, err := NewChars("t", "a\uFFFDb\xc3"); err == nil || !strings.Contains(err.Error(), "byte 5") {
		t.Errorf("error %v", err)
	}
	if _, err := NewWords("t", "a b\n", ""); err == nil || !strings.Contains(err.Error(), "no text") {
		t.Errorf("error %v", err)
	}
}

// counting makes a text whose token i is i, so that rows name their place.
func counting(train, valid int) *Tokens {
	t := &Tokens{Name: "test", Vocab: make([]string, max(train, valid))}
	for i := range train {
		t.Train = append(t.Train, int32(i))
	}
	for i := range valid {
		t.Valid = append(t.Valid, int32(i))
	}
	return t
}

func TestWindowsOfAnEpochDoNotOverlap(t *testing.T) {
	for _, c := range []struct{ tokens, length int }{{10, 5}, {100, 7}, {101, 1}, {64, 8}, {1000, 32}} {
		src, err := counting(c.tokens, 2).Training(3, c.length)
		if err != nil {
			t.Fatal(err)
		}
		n := src.Samples()
		b := NewBatch(src.Row(), n)
		starts := map[int32]bool{}
		for epoch := range 30 {
			if err := src.Fill(b, Request{Cursor: uint64(epoch * n), N: n}); err != nil {
				t.Fatal(err)
			}
			seen := make([]bool, c.tokens+1)
			first := int32(c.tokens)
			for i, y := range b.Y {
				if b.Tokens[i] != y-1 || seen[y] {
					t.Fatalf("%+v epoch %d: token %d has target %d (or twice)", c, epoch, b.Tokens[i], y)
				}
				seen[y] = true
				first = min(first, b.Tokens[i])
			}
			if b.Valid != n*c.length || c.tokens-1-b.Valid > 2*c.length-2 {
				t.Errorf("%+v epoch %d: %d targets", c, epoch, b.Valid)
			}
			starts[first] = true
		}
		if len(starts) < min(c.length, 4) || len(starts) > c.length {
			t.Errorf("%+v: %d offsets in 30 epochs", c, len(starts))
		}
	}
}

func TestEvaluationOfTextHasEachTargetOnce(t *testing.T) {
	for _, c := range []struct{ tokens, length, rows int }{{2, 5, 3}, {11, 5, 2}, {12, 5, 2}, {16, 5, 3}, {17, 4, 3}} {
		src, err := counting(2, c.tokens).Evaluation(c.length)
		if err != nil {
			t.Fatal(err)
		}
		b := NewBatch(src.Row(), c.rows)
		var targets []int32
		valid := 0
		for at := 0; at < src.Samples(); at += c.rows {
			if err := src.Fill(b, Request{Cursor: uint64(at), N: c.rows}); err != nil {
				t.Fatal(err)
			}
			for i, y := range b.Y {
				if y == Ignore && b.Tokens[i] != 0 {
					t.Errorf("%+v: row without target has token %d", c, b.Tokens[i])
				}
				if y != Ignore && b.Tokens[i] != y-1 {
					t.Errorf("%+v: token %d has target %d", c, b.Tokens[i], y)
				}
				if y != Ignore {
					targets = append(targets, y)
				}
			}
			valid += b.Valid
		}
		if want := counting(0, c.tokens).Valid[1:]; !slices.Equal(targets, want) || valid != len(want) {
			t.Errorf("%+v: targets %v (%d counted), want %v", c, targets, valid, want)
		}
	}
}

func TestWindowsAreRefused(t *testing.T) {
	tok := counting(10, 5)
	for name, do := range map[string]func() error{
		"no length":  func() error { _, err := tok.Training(1, 0); return err },
		"too long":   func() error { _, err := tok.Training(1, 6); return err },
		"evaluation": func() error { _, err := tok.Evaluation(-1); return err },
		"bad token": func() error {
			bad := counting(10, 5)
			bad.Train[4] = 10
			_, err := bad.Training(1, 2)
			return err
		},
	} {
		if err := do(); err == nil || !strings.HasPrefix(err.Error(), "test: ") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
