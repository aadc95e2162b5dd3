package data

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/espalier-ml/espalier/kernels/philox"
)

// Marks of word vocabularies.
const (
	Unknown   = "<unk>" // any word outside the vocabulary
	EndOfLine = "<eos>" // added at the end of each line
)

// Tokens is a text as token ids, split for training and validation. The
// vocabulary comes from the training part alone.
type Tokens struct {
	Name         string
	Train, Valid []int32
	Vocab        []string // id → character or word
	Words        bool     // tokens are words, not characters
	Unseen       int      // validation tokens that became Unknown
}

// NewChars reads a text by characters and takes the first nine tenths for
// training. The vocabulary is the training part's characters in code order; a
// character that only the validation part has becomes Unknown, which is added
// only then.
func NewChars(name, text string) (*Tokens, error) {
	if err := checkText(name, text); err != nil {
		return nil, err
	}
	n := utf8.RuneCountInString(text) * 9 / 10
	cut := len(text)
	i := 0
	for at := range text {
		if i == n {
			cut = at
			break
		}
		i++
	}
	train, valid := text[:cut], text[cut:]
	seen := map[rune]int32{}
	var runes []rune
	for _, r := range train {
		if _, ok := seen[r]; !ok {
			seen[r] = 0
			runes = append(runes, r)
		}
	}
	slices.Sort(runes)
	t := &Tokens{Name: name}
	for id, r := range runes {
		seen[r] = int32(id)
		t.Vocab = append(t.Vocab, string(r))
	}
	encode := func(s string) []int32 {
		ids := make([]int32, 0, len(s))
		for _, r := range s {
			id, ok := seen[r]
			if !ok {
				id = int32(len(runes))
				t.Unseen++
			}
			ids = append(ids, id)
		}
		return ids
	}
	t.Train, t.Valid = encode(train), encode(valid)
	if t.Unseen > 0 {
		t.Vocab = append(t.Vocab, Unknown)
	}
	return t, nil
}

// NewWords reads texts whose words are parted by white space, and adds
// EndOfLine after each line, empty ones included. The vocabulary is that of
// the training text, most frequent word first, equal counts in code order;
// other words become Unknown.
func NewWords(name, train, valid string) (*Tokens, error) {
	for _, s := range []string{train, valid} {
		if err := checkText(name, s); err != nil {
			return nil, err
		}
	}
	count := map[string]int{Unknown: 0}
	for w := range words(train) {
		count[w]++
	}
	t := &Tokens{Name: name, Words: true, Vocab: make([]string, 0, len(count))}
	for w := range count {
		t.Vocab = append(t.Vocab, w)
	}
	slices.SortFunc(t.Vocab, func(a, b string) int {
		if d := count[b] - count[a]; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	ids := make(map[string]int32, len(t.Vocab))
	for i, w := range t.Vocab {
		ids[w] = int32(i)
	}
	unknown := ids[Unknown]
	for w := range words(train) {
		t.Train = append(t.Train, ids[w])
	}
	for w := range words(valid) {
		id, ok := ids[w]
		if !ok {
			id = unknown
			t.Unseen++
		}
		t.Valid = append(t.Valid, id)
	}
	return t, nil
}

// words yields the words of a text and EndOfLine after each line.
func words(text string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for line := range strings.Lines(text) {
			for w := range strings.FieldsSeq(line) {
				if !yield(w) {
					return
				}
			}
			if !yield(EndOfLine) {
				return
			}
		}
	}
}

func checkText(name, s string) error {
	if s == "" {
		return fmt.Errorf("%s: no text", name)
	}
	if utf8.ValidString(s) {
		return nil
	}
	for i, r := range s {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(s[i:]); size == 1 {
				return fmt.Errorf("%s: byte %d is not UTF-8", name, i)
			}
		}
	}
	return nil
}

// Decode writes token ids as text: characters joined, words parted by a space,
// EndOfLine as a line break. An id outside the vocabulary shows as Unknown.
func (t *Tokens) Decode(ids []int32) string {
	var b strings.Builder
	fresh := true // at the start of a line
	for _, id := range ids {
		w := Unknown
		if id >= 0 && int(id) < len(t.Vocab) {
			w = t.Vocab[id]
		}
		switch {
		case t.Words && w == EndOfLine:
			b.WriteByte('\n')
			fresh = true
			continue
		case t.Words && !fresh:
			b.WriteByte(' ')
		}
		b.WriteString(w)
		fresh = false
	}
	return b.String()
}

// Encode turns a text into ids. A token outside the vocabulary becomes Unknown
// or, where the vocabulary has none, an error. A last line without a line
// break gets no EndOfLine.
func (t *Tokens) Encode(text string) ([]int32, error) {
	if text == "" {
		return nil, nil
	}
	if err := checkText(t.Name, text); err != nil {
		return nil, err
	}
	index := make(map[string]int32, len(t.Vocab))
	for i, w := range t.Vocab {
		index[w] = int32(i)
	}
	unknown, hasUnknown := index[Unknown]
	var ids []int32
	add := func(w string) error {
		id, ok := index[w]
		if !ok && !hasUnknown {
			return fmt.Errorf("%s: %q is not in the vocabulary of %d tokens", t.Name, w, len(t.Vocab))
		}
		if !ok {
			id = unknown
		}
		ids = append(ids, id)
		return nil
	}
	if t.Words {
		for w := range words(text) {
			if err := add(w); err != nil {
				return nil, err
			}
		}
		if !strings.HasSuffix(text, "\n") {
			ids = ids[:len(ids)-1]
		}
		return ids, nil
	}
	for _, r := range text {
		if err := add(string(r)); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// Training cuts the training text into windows of length tokens that do not
// overlap, with a first token that is drawn anew for each epoch, and shuffles
// them. A window's targets are its tokens moved by one. Every epoch has the
// same number of windows; up to 2*length-2 tokens at the ends are left out of
// one epoch, others of the next.
func (t *Tokens) Training(seed uint64, length int) (Source, error) {
	if err := t.check(t.Train, "training", length, 2*length); err != nil {
		return nil, err
	}
	n := (len(t.Train) - length) / length
	return &windowTraining{
		windowRows: windowRows{ids: t.Train, length: length, classes: len(t.Vocab)},
		order:      NewOrder(seed, n),
		offset:     philox.NewKey(seed, "window"),
	}, nil
}

// Evaluation cuts the validation text into windows of length tokens in order.
// All tokens but the first are targets exactly once; what the last window
// lacks is Ignore.
func (t *Tokens) Evaluation(length int) (Source, error) {
	if err := t.check(t.Valid, "validation", length, 2); err != nil {
		return nil, err
	}
	return &windowEvaluation{windowRows{ids: t.Valid, length: length, classes: len(t.Vocab)}}, nil
}

func (t *Tokens) check(ids []int32, split string, length, least int) error {
	if length < 1 {
		return fmt.Errorf("%s: window of %d tokens, want at least 1", t.Name, length)
	}
	if len(ids) < least {
		return fmt.Errorf("%s: %d %s tokens, want at least %d for windows of %d", t.Name, len(ids), split, least, length)
	}
	for i, id := range ids {
		if id < 0 || int(id) >= len(t.Vocab) {
			return fmt.Errorf("%s: %s token %d is %d, want below %d", t.Name, split, i, id, len(t.Vocab))
		}
	}
	return nil
}
