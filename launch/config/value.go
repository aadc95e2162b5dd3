package config

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// value is a value as it was written, before its type is known.
type value struct {
	at     Origin
	text   string
	quoted bool // in quotes: never a number
	list   []value
	isList bool
}

// store checks a value against the field and puts it into the job. The error
// says what is wanted instead.
func (f *Field) store(j *Job, v value) error {
	to := f.in(j)
	if to.Kind() != reflect.Slice {
		if v.isList {
			return fmt.Errorf("want %s, not a list", f.wants())
		}
		return f.scalar(to, v)
	}
	if !v.isList {
		return fmt.Errorf("want %s such as [%s], not %q", f.wants(), example(to.Type().Elem()), v.text)
	}
	out := reflect.MakeSlice(to.Type(), len(v.list), len(v.list))
	for i, e := range v.list {
		if e.isList {
			return fmt.Errorf("want %s, not a list in a list", f.wants())
		}
		if err := f.scalar(out.Index(i), e); err != nil {
			return fmt.Errorf("entry %d: %w", i+1, err)
		}
	}
	to.Set(out)
	return nil
}

func example(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Float64:
		return "0.25, 0.5"
	case reflect.String:
		return "a, b"
	}
	return "64, 64"
}

// scalar stores one text, number or switch.
func (f *Field) scalar(to reflect.Value, v value) error {
	wrong := func() error { return fmt.Errorf("want %s, not %q", f.wants(), v.text) }
	if v.quoted && to.Kind() != reflect.String {
		return fmt.Errorf("want %s, not the text %q; remove the quotes", f.wants(), v.text)
	}
	var number float64
	switch to.Kind() {
	case reflect.String:
		if len(f.Words) > 0 && !slices.Contains(f.Words, v.text) {
			if n := Nearest(v.text, f.Words); n != "" {
				return fmt.Errorf("%w; did you mean %s?", wrong(), n)
			}
			return wrong()
		}
		if strings.ContainsFunc(v.text, func(r rune) bool { return r < ' ' || r == 0x7f }) || len(v.text) > 4096 {
			return fmt.Errorf("want a short text in one line")
		}
		to.SetString(v.text)
		return nil
	case reflect.Bool:
		if v.text != "true" && v.text != "false" {
			return wrong()
		}
		to.SetBool(v.text == "true")
		return nil
	case reflect.Uint64:
		n, err := strconv.ParseUint(v.text, 10, 64)
		if err != nil {
			return wrong()
		}
		to.SetUint(n)
		return nil
	case reflect.Int:
		if v.text == "auto" && to.Type() == reflect.TypeFor[Count]() {
			to.SetInt(int64(Auto))
			return nil
		}
		n, err := strconv.ParseInt(v.text, 10, 64)
		if err != nil {
			return wrong()
		}
		to.SetInt(n)
		number = float64(n)
	case reflect.Float64:
		n, err := strconv.ParseFloat(v.text, 64)
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
			return wrong()
		}
		to.SetFloat(n)
		number = n
	}
	if !within(f.Range, number) {
		return wrong()
	}
	return nil
}

// wants describes what a field takes: "number >0 <=1", "cosine, linear or step".
func (f *Field) wants() string {
	if len(f.Words) > 0 {
		n := len(f.Words) - 1
		return strings.Join(f.Words[:n], ", ") + " or " + f.Words[n]
	}
	kind, auto := strings.CutSuffix(f.Type, " or auto")
	text := strings.TrimSpace(kind + " " + f.Limits())
	if auto {
		text += ", or auto"
	}
	return text
}

// Limits is the range for people: "from 1 to 64", "above 0, at most 1".
func (f *Field) Limits() string {
	text := ""
	for r := range strings.FieldsSeq(f.Range) {
		switch op := strings.TrimRight(r, "0123456789.-e"); {
		case r == ">=0" && strings.HasSuffix(f.Type, "auto"):
			text = "from 1" // 0 is auto
		case op == ">=":
			text = "from " + r[2:]
		case op == ">":
			text = "above " + r[1:]
		case op == "<":
			text += ", below " + r[1:]
		case strings.HasPrefix(text, "from"):
			text += " to " + r[2:]
		default:
			text += ", at most " + r[2:]
		}
	}
	return text
}

// format writes a field's value as YAML.
func format(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Slice:
		var all []string
		for i := range v.Len() {
			all = append(all, format(v.Index(i)))
		}
		return "[" + strings.Join(all, ", ") + "]"
	case reflect.String:
		return quote(v.String())
	case reflect.Float64:
		return number(v.Float())
	case reflect.Int:
		if v.Type() == reflect.TypeFor[Count]() && v.Int() == int64(Auto) {
			return "auto"
		}
	}
	return fmt.Sprint(v.Interface())
}

// number is the shortest decimal that reads back as x.
func number(x float64) string {
	if a := math.Abs(x); a != 0 && (a < 1e-5 || a >= 1e15) {
		return strconv.FormatFloat(x, 'e', -1, 64)
	}
	return strconv.FormatFloat(x, 'f', -1, 64)
}

// quote puts a text in quotes where YAML would take it for something else.
func quote(s string) string {
	plain := s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./", r))
	})
	_, err := strconv.ParseFloat(s, 64)
	letter := plain && (s[0] >= 'a' && s[0] <= 'z' || s[0] >= 'A' && s[0] <= 'Z' || s[0] == '/' || s[0] == '.')
	if letter && err != nil && !slices.Contains([]string{"true", "false", "null", "yes", "no", "on", "off", ".", ".."}, strings.ToLower(s)) {
		return s
	}
	return strconv.Quote(s)
}

// Nearest is the word most like the given one, "" when none is.
func Nearest(word string, words []string) string {
	best, limit := "", len(word)/3+1
	for _, w := range words {
		if d := distance(strings.ToLower(word), w); d < limit {
			best, limit = w, d
		}
	}
	return best
}

// distance is the number of letters to insert, delete, change or swap.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			change := last[j]
			if a[i] != b[j] {
				change++
			}
			row[j+1] = min(change, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
