package config

import (
	"fmt"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Field is a key of the schema.
type Field struct {
	Key     string   `json:"key"`            // "train.batch"
	Type    string   `json:"type"`           // "whole number"
	Default string   `json:"default"`        // as in the tag
	Range   string   `json:"range,omitzero"` // ">=1 <=64"
	Words   []string `json:"words,omitzero"` // all that a text may be
	Doc     string   `json:"doc"`
	Free    bool     `json:"free,omitzero"` // changes no number
	By      string   `json:"by,omitzero"`   // key that decides on default and existence

	cases []defaultCase
	index []int
}

// Section is a group of keys.
type Section struct {
	Key, Doc string
	Optional bool // absent unless a key of it is given
	index    []int
}

// defaultCase is a default for some values of the deciding key.
type defaultCase struct {
	text     string
	patterns []string // none: always
}

// schema is the Job struct seen as a list.
type schema struct {
	fields   []*Field
	sections []*Section
}

var theSchema = sync.OnceValue(func() *schema {
	s := &schema{}
	s.add(reflect.TypeFor[Job](), "", "", nil)
	return s
})

// Fields lists all keys in the order of the job file.
func Fields() []*Field { return theSchema().fields }

// Sections lists all groups of keys in the order of the job file.
func Sections() []*Section { return theSchema().sections }

func (s *schema) add(t reflect.Type, prefix, by string, index []int) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag := func(name string) string { return f.Tag.Get(name) }
		key := prefix + tag("yaml")
		at := append(slices.Clone(index), i)
		ft, optional := f.Type, false
		if ft.Kind() == reflect.Pointer {
			ft, optional = ft.Elem(), true
		}
		decider := by
		if b := tag("by"); b != "" {
			decider = b
		}
		if ft.Kind() == reflect.Struct {
			s.sections = append(s.sections, &Section{Key: key, Doc: tag("doc"), Optional: optional, index: at})
			s.add(ft, key+".", decider, at)
			continue
		}
		x := &Field{Key: key, Type: typeName(ft), Default: tag("default"), Range: tag("is"), Words: strings.Fields(tag("of")),
			Doc: tag("doc"), Free: tag("free") == "yes", index: at, cases: cases(tag("default"))}
		if len(x.cases[0].patterns) > 0 {
			x.By = decider
		}
		s.fields = append(s.fields, x)
	}
}

// cases reads "0.1 for sgd | 0.001 for adam adamw".
func cases(tag string) []defaultCase {
	var out []defaultCase
	for c := range strings.SplitSeq(tag, " | ") {
		text, patterns, _ := strings.Cut(c, " for ")
		out = append(out, defaultCase{text, strings.Fields(patterns)})
	}
	return out
}

// defaultFor is the default where the deciding key has the value chosen; ok is
// false where the key does not exist.
func (f *Field) defaultFor(chosen string) (text string, ok bool) {
	for _, c := range f.cases {
		if len(c.patterns) == 0 {
			return c.text, true
		}
		for _, p := range c.patterns {
			if m, _ := path.Match(p, chosen); m {
				return c.text, true
			}
		}
	}
	return "", false
}

// only lists for what values of the deciding key the field exists.
func (f *Field) only() []string {
	var out []string
	for _, c := range f.cases {
		out = append(out, c.patterns...)
	}
	return out
}

func (s *schema) field(key string) *Field {
	for _, f := range s.fields {
		if f.Key == key {
			return f
		}
	}
	return nil
}

func (s *schema) section(key string) *Section {
	for _, x := range s.sections {
		if x.Key == key {
			return x
		}
	}
	return nil
}

// in is the field's place in a job; an absent optional section is made.
func (f *Field) in(j *Job) reflect.Value { return place(j, f.index) }

func place(j *Job, index []int) reflect.Value {
	v := reflect.ValueOf(j).Elem()
	for _, i := range index {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v
}

// present reports whether the field's section is there.
func (f *Field) present(j *Job) bool { return there(j, f.index[:len(f.index)-1]) }

func there(j *Job, index []int) bool {
	v := reflect.ValueOf(j).Elem()
	for _, i := range index {
		v = v.Field(i)
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return false
			}
			v = v.Elem()
		}
	}
	return true
}

func typeName(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[Count]():
		return "whole number or auto"
	case t.Kind() == reflect.Slice:
		return "list of " + strings.Replace(typeName(t.Elem()), "number", "numbers", 1)
	}
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Float64:
		return "number"
	case reflect.Int, reflect.Uint64:
		return "whole number"
	}
	panic("config: no such type in the schema: " + t.String())
}

// within says whether x satisfies a range such as ">=0 <1".
func within(rng string, x float64) bool {
	for r := range strings.FieldsSeq(rng) {
		op := strings.TrimRight(r, "0123456789.-e")
		bound, err := strconv.ParseFloat(r[len(op):], 64)
		if err != nil {
			panic(fmt.Sprintf("config: range %q: %v", rng, err))
		}
		ok := map[string]bool{">": x > bound, ">=": x >= bound, "<": x < bound, "<=": x <= bound}[op]
		if !ok { // NaN fails everywhere
			return false
		}
	}
	return true
}
