package metrics

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Append appends r's line, without the newline, to dst.
func Append(dst []byte, r Record) ([]byte, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return dst, fmt.Errorf("metrics: encode %s record of step %d: %w", r.Kind(), r.At(), err)
	}
	dst = append(dst, `{"kind":"`...)
	dst = append(dst, r.Kind()...)
	dst = append(dst, `",`...)
	return append(dst, body[1:]...), nil // every record has fields: body is {"step":…}
}

// Decode reads one line. Keys it does not know are ignored, so that an older
// report reads the records of a newer trainer; an unknown kind, a missing
// step, a wrong type and an impossible value are errors.
func Decode(line []byte) (Record, error) {
	var head struct {
		Kind *Kind  `json:"kind"`
		Step *int64 `json:"step"`
	}
	if err := json.Unmarshal(line, &head); err != nil {
		return nil, explain(err)
	}
	if head.Kind == nil {
		return nil, errors.New(`no key "kind"`)
	}
	if head.Step == nil {
		return nil, fmt.Errorf(`%s record: no key "step"`, *head.Kind)
	}
	r, err := empty(*head.Kind)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(line, r); err != nil {
		return nil, fmt.Errorf("%s record: %w", r.Kind(), explain(err))
	}
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("%s record: %w", r.Kind(), err)
	}
	return r, nil
}

func empty(k Kind) (Record, error) {
	switch k {
	case KindStart:
		return &Start{}, nil
	case KindTrain:
		return &Train{}, nil
	case KindEval:
		return &Eval{}, nil
	case KindEvent:
		return &Event{}, nil
	case KindEnd:
		return &End{}, nil
	}
	return nil, fmt.Errorf("kind %q: want start, train, eval, event or end", string(k))
}

// explain says a decoder's complaint in the file's terms instead of Go's.
func explain(err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		if wrong.Field == "" {
			return fmt.Errorf("a JSON %s, want an object", wrong.Value)
		}
		return fmt.Errorf("key %q: a JSON %s does not fit", wrong.Field, wrong.Value)
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("not a JSON object: %s at byte %d", strings.TrimPrefix(syntax.Error(), "json: "), syntax.Offset)
	}
	return err
}

// A quantity is a count with the key that holds it.
type quantity struct {
	key   string
	value int64
}

// notNegative returns an error for the first quantity below zero.
func notNegative(qs ...quantity) error {
	for _, q := range qs {
		if q.value < 0 {
			return fmt.Errorf("key %q: %d, want 0 or more", q.key, q.value)
		}
	}
	return nil
}

func (r *Start) check() error {
	if err := checkDims(r.Dims); err != nil {
		return err
	}
	return notNegative(
		quantity{"step", r.Step}, quantity{"world", int64(r.World)}, quantity{"threads", int64(r.Threads)},
		quantity{"shards", int64(r.Shards)}, quantity{"params", r.Params}, quantity{"params_full", r.ParamsFull},
		quantity{"steps", r.Steps}, quantity{"samples", r.Samples}, quantity{"stages", int64(r.Stages)})
}

func (r *Train) check() error {
	return notNegative(quantity{"step", r.Step}, quantity{"samples", r.Samples})
}

func (r *Eval) check() error {
	return notNegative(quantity{"step", r.Step}, quantity{"count", r.Count})
}

func (r *Event) check() error {
	if r.Event == "" {
		return errors.New(`no key "event"`)
	}
	if err := checkDims(r.Dims); err != nil {
		return err
	}
	return notNegative(quantity{"step", r.Step}, quantity{"params", r.Params}, quantity{"batch", int64(r.Batch)})
}

func (r *End) check() error {
	return notNegative(quantity{"step", r.Step}, quantity{"params", r.Params},
		quantity{"samples", r.Samples}, quantity{"world", int64(r.World)})
}

func checkDims(dims map[string]int) error {
	for name, width := range dims {
		if width < 0 {
			return fmt.Errorf("key \"dims\": width %d of %q, want 0 or more", width, name)
		}
	}
	return nil
}

// blank reports whether a line holds nothing but white space.
func blank(line []byte) bool { return len(bytes.TrimSpace(line)) == 0 }
