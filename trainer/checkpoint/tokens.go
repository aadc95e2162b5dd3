package checkpoint

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// tokens reads the few shapes of JSON a header may have.
type tokens struct{ d *json.Decoder }

func (t tokens) object(member func(key string) error) error {
	if err := t.delim('{'); err != nil {
		return err
	}
	for t.d.More() {
		key, err := t.text()
		if err != nil {
			return err
		}
		if err := member(key); err != nil {
			return err
		}
	}
	return t.delim('}')
}

func (t tokens) metadata() (map[string]string, error) {
	m := map[string]string{}
	return m, t.object(func(key string) error {
		if _, ok := m[key]; ok {
			return fmt.Errorf("%w %q in %s", ErrDuplicateName, key, metadataKey)
		}
		v, err := t.text()
		m[key] = v
		return err
	})
}

func (t tokens) entry(name string) (Entry, error) {
	e := Entry{Name: name}
	if err := checkName(name); err != nil {
		return e, err
	}
	seen := map[string]bool{}
	err := t.object(func(key string) error {
		if seen[key] {
			return fmt.Errorf("%w %q", ErrDuplicateName, key)
		}
		seen[key] = true
		switch key {
		case "dtype":
			d, err := t.text()
			e.DType = DType(d)
			return err
		case "shape":
			shape, err := t.numbers()
			e.Shape = shape
			return err
		case "data_offsets":
			at, err := t.numbers()
			if err == nil && len(at) != 2 {
				err = fmt.Errorf("%w: %d data_offsets, want 2", ErrHeaderSyntax, len(at))
			}
			if err == nil {
				e.Begin, e.End = int64(at[0]), int64(at[1])
			}
			return err
		}
		return fmt.Errorf("%w: unknown key %q", ErrHeaderSyntax, key)
	})
	if err == nil && len(seen) != 3 {
		err = fmt.Errorf("%w: dtype, shape and data_offsets are needed", ErrHeaderSyntax)
	}
	if err != nil {
		err = fmt.Errorf("tensor %q: %w", name, err)
	}
	return e, err
}

// numbers reads an array of whole numbers, never nil.
func (t tokens) numbers() ([]int, error) {
	if err := t.delim('['); err != nil {
		return nil, err
	}
	list := []int{}
	for t.d.More() {
		tok, err := t.d.Token()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrHeaderSyntax, err)
		}
		text, ok := tok.(json.Number)
		v, err := strconv.ParseUint(string(text), 10, 64)
		if !ok || err != nil || v > math.MaxInt {
			return nil, fmt.Errorf("%w: %v is no whole number below 2^63", ErrHeaderSyntax, tok)
		}
		list = append(list, int(v))
	}
	return list, t.delim(']')
}

func (t tokens) text() (string, error) {
	tok, err := t.d.Token()
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrHeaderSyntax, err)
	}
	s, ok := tok.(string)
	if !ok {
		return "", fmt.Errorf("%w: %v where a string is expected", ErrHeaderSyntax, tok)
	}
	return s, nil
}

func (t tokens) delim(want json.Delim) error {
	tok, err := t.d.Token()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrHeaderSyntax, err)
	}
	if tok != want {
		return fmt.Errorf("%w: %v where %v is expected", ErrHeaderSyntax, tok, want)
	}
	return nil
}
