package config

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// Resolved is a complete job: every key has a value, and every value an origin.
type Resolved struct {
	Job     Job
	From    Origin            // file or recipe
	Origins map[string]Origin // by key; keys that do not exist in this job are missing
}

// Set gives a key a value from the command line.
type Set struct {
	Flag  string // as it was typed, for messages: "--set train.epochs=3", "--seed 3"
	Key   string
	Value string
}

// ParseSet reads "train.epochs=3".
func ParseSet(text string) (Set, error) {
	key, v, ok := strings.Cut(text, "=")
	if !ok || key == "" {
		return Set{}, fmt.Errorf("--set %s: want KEY=VALUE such as --set train.epochs=3", text)
	}
	return Set{Flag: "--set " + text, Key: strings.TrimSpace(key), Value: strings.TrimSpace(v)}, nil
}

// Load reads the job file at path and applies the settings.
func Load(path string, sets ...Set) (*Resolved, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("job file: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("job file %s: want a file of at most %d bytes", path, maxFile)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("job file: %w", err)
	}
	return Parse(Origin{Kind: File, Name: path}, text, sets...)
}

// Parse reads a job from text and applies the settings. An *Error holds every
// complaint.
func Parse(from Origin, text []byte, sets ...Set) (*Resolved, error) {
	given, bad := read(from, text)
	r := &Resolved{From: from, Origins: map[string]Origin{}}
	for _, s := range sets {
		a, c := s.assignment()
		if c != nil {
			bad = append(bad, *c)
			continue
		}
		if a.section && s.off() {
			given = slices.DeleteFunc(given, func(b assignment) bool { return b.key == a.key || strings.HasPrefix(b.key, a.key+".") })
			continue
		}
		given = append(given, a)
	}
	bad = append(bad, r.assign(given)...)
	broken := map[string]bool{} // keys with complaints need no second one
	for _, c := range bad {
		broken[c.Key] = true
	}
	bad = append(bad, r.fill(broken)...)
	bad = append(bad, r.check(broken)...)
	if len(bad) > 0 {
		slices.SortStableFunc(bad, inOrder)
		return nil, &Error{bad}
	}
	return r, nil
}

// inOrder sorts complaints: the file from top to bottom, then flags.
func inOrder(a, b Complaint) int {
	rank := func(c Complaint) int {
		if c.At.Kind == Flag {
			return 1 << 30
		}
		return c.At.Line<<12 + min(c.At.Col, 1<<12-1)
	}
	return rank(a) - rank(b)
}

// off reports whether the setting takes an optional section away.
func (s Set) off() bool { return slices.Contains([]string{"off", "null", "none", "false"}, s.Value) }

// assignment looks the setting up in the schema.
func (s Set) assignment() (assignment, *Complaint) {
	at := Origin{Kind: Flag, Name: s.Flag}
	complain := func(what string) (assignment, *Complaint) { return assignment{}, &Complaint{at, s.Key, what} }
	if sec := theSchema().section(s.Key); sec != nil {
		if sec.Optional && (s.off() || s.Value == "{}") {
			return assignment{key: s.Key, value: value{at: at}, section: true}, nil
		}
		if sec.Optional {
			return complain(fmt.Sprintf("is a group of keys; want %s=off or %s={} or a key of it such as %s", s.Key, s.Key, theSchema().first(s.Key).Key))
		}
		return complain("is a group of keys; set a key of it such as " + theSchema().first(s.Key).Key)
	}
	f := theSchema().field(s.Key)
	if f == nil {
		return complain(unknown(s.Key))
	}
	v := value{at: at, text: s.Value}
	if strings.HasPrefix(f.Type, "list") {
		v.isList = true
		inner := strings.TrimSuffix(strings.TrimPrefix(s.Value, "["), "]")
		for e := range strings.SplitSeq(inner, ",") {
			if e = strings.Trim(strings.TrimSpace(e), `"'`); e != "" {
				v.list = append(v.list, value{at: at, text: e})
			}
		}
	}
	return assignment{key: s.Key, value: v}, nil
}

// first is the first field of a section.
func (s *schema) first(section string) *Field {
	i := slices.IndexFunc(s.fields, func(f *Field) bool { return strings.HasPrefix(f.Key, section+".") })
	return s.fields[i]
}

// assign stores what was given.
func (r *Resolved) assign(given []assignment) (bad []Complaint) {
	for _, a := range given {
		if a.section {
			place(&r.Job, append(slices.Clone(theSchema().section(a.key).index), 0))
			continue
		}
		if err := theSchema().field(a.key).store(&r.Job, a.value); err != nil {
			bad = append(bad, Complaint{a.at, a.key, err.Error()})
		}
		r.Origins[a.key] = a.at
	}
	return bad
}

// fill gives every key that was not given its default, and refuses keys that
// do not exist for the model, optimizer or schedule chosen. Fields come in an
// order in which deciding keys precede what they decide, but for model.name.
func (r *Resolved) fill(broken map[string]bool) (bad []Complaint) {
	var rest []*Field
	for _, f := range Fields() {
		if f.By == "" {
			r.fillField(f)
		} else {
			rest = append(rest, f)
		}
	}
	for _, f := range rest {
		if broken[f.By] {
			continue
		}
		chosen := theSchema().field(f.By).in(&r.Job).String()
		if at, given := r.Origins[f.Key]; given {
			if _, ok := f.defaultFor(chosen); !ok {
				bad = append(bad, Complaint{at, f.Key, fmt.Sprintf("%s %s has no such key, only %s; remove it", f.By, chosen, strings.Join(f.only(), ", "))})
			}
			continue
		}
		r.fillField(f)
	}
	r.derive()
	return bad
}

// fillField stores the default where the field exists and has no value yet.
func (r *Resolved) fillField(f *Field) {
	chosen := ""
	if f.By != "" {
		chosen = theSchema().field(f.By).in(&r.Job).String()
	}
	text, exists := f.defaultFor(chosen)
	if _, given := r.Origins[f.Key]; given || !exists || !f.present(&r.Job) {
		return
	}
	v := value{text: text}
	if strings.HasPrefix(f.Type, "list") {
		a, _ := Set{Key: f.Key, Value: text}.assignment()
		v = a.value
	}
	if err := f.store(&r.Job, v); err != nil {
		panic(fmt.Sprintf("config: default of %s: %v", f.Key, err)) // a test reads all defaults
	}
	r.Origins[f.Key] = Origin{Kind: Default}
}

// derive replaces defaults that stand for a formula.
func (r *Resolved) derive() {
	j := &r.Job
	if j.Name == "" {
		j.Name = strings.TrimSuffix(filepath.Base(r.From.Name), filepath.Ext(r.From.Name))
		j.Name = strings.TrimPrefix(j.Name, "recipe ")
	}
	if _, ok := r.Origins["model.heads"]; ok {
		if j.Model.Heads == 0 {
			j.Model.Heads = max(1, j.Model.Dim/32)
		}
		if j.Model.Inner == 0 {
			j.Model.Inner = 4 * j.Model.Dim
		}
	}
	if j.Run.Dir == "" {
		j.Run.Dir = filepath.Join("runs", j.Name)
	}
}

// exists reports whether a field has a value in this job.
func (r *Resolved) exists(f *Field) bool {
	_, ok := r.Origins[f.Key]
	return ok && f.present(&r.Job)
}

// Value is the value of a key as YAML; ok is false where the job has none.
func (r *Resolved) Value(key string) (text string, ok bool) {
	f := theSchema().field(key)
	if f == nil || !r.exists(f) {
		return "", false
	}
	return format(f.in(&r.Job)), true
}

// methods calls f for every group of keys that asks for a method: those that
// may be absent.
func (j *Job) methods(f func(key string, group reflect.Value)) {
	v := reflect.ValueOf(j).Elem()
	for i := range v.NumField() {
		if v.Field(i).Kind() == reflect.Pointer {
			f(v.Type().Field(i).Tag.Get("yaml"), v.Field(i))
		}
	}
}

// Plain reports whether a job trains an ordinary network, without methods.
func (j *Job) Plain() bool {
	plain := true
	j.methods(func(_ string, g reflect.Value) { plain = plain && g.IsNil() })
	return plain
}

// Fixed is the job of the ordinary network, of full size from the start and
// without any method, that a run is compared with, in the folder "fixed" of
// its run folder.
func (r *Resolved) Fixed() *Resolved {
	c := &Resolved{Job: r.Job, From: r.From, Origins: maps.Clone(r.Origins)}
	c.Job.methods(func(key string, g reflect.Value) {
		g.SetZero()
		maps.DeleteFunc(c.Origins, func(k string, _ Origin) bool { return strings.HasPrefix(k, key+".") })
	})
	c.Job.Compare.Fixed = false
	c.Job.Run.Dir = filepath.Join(r.Job.Run.Dir, "fixed")
	return c
}

// IsConfig reports whether err is about a job and not about the machine.
func IsConfig(err error) bool {
	var e *Error
	return errors.As(err, &e)
}
