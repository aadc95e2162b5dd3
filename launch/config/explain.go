package config

import (
	"fmt"
	"strings"
)

// Explain describes the keys whose names begin with key, or all keys: a group
// as a commented job file, a single key in full. ok is false where there is no
// such key; the text then names the nearest.
func Explain(key string) (text string, ok bool) {
	if f := theSchema().field(key); f != nil {
		return f.describe(), true
	}
	if key != "" && theSchema().section(key) == nil {
		return key + ": " + unknown(key), false
	}
	var b strings.Builder
	if key == "" {
		b.WriteString("# A job file. All keys are optional; the values shown are the defaults.\n" +
			"# Keys marked * change no number: a run can be continued with others.\n")
	}
	var groups []string
	for _, f := range Fields() {
		if key != "" && !strings.HasPrefix(f.Key, key+".") {
			continue
		}
		groups = headings(&b, groups, f)
		b.WriteString(f.line(len(groups)))
	}
	return b.String(), true
}

// headings writes the groups that f opens.
func headings(b *strings.Builder, open []string, f *Field) []string {
	parts := strings.Split(f.Key, ".")
	groups := parts[:len(parts)-1]
	for i := shared(open, groups); i < len(groups); i++ {
		s := theSchema().section(strings.Join(parts[:i+1], "."))
		pad := strings.Repeat("  ", i)
		if i == 0 && b.Len() > 0 {
			b.WriteString("\n")
		}
		for _, l := range wrap(s.Doc, 84-len(pad)) {
			fmt.Fprintf(b, "%s# %s\n", pad, l)
		}
		fmt.Fprintf(b, "%s%s:\n", pad, groups[i])
	}
	return groups
}

// line is a field as an entry of a commented job file.
func (f *Field) line(level int) string {
	pad := strings.Repeat("  ", level)
	leaf := f.Key[strings.LastIndex(f.Key, ".")+1:]
	def := f.cases[0].text
	if def == "" {
		def = `""`
	}
	star := ""
	if f.Free {
		star = "* "
	}
	head := fmt.Sprintf("%s%s: %s", pad, leaf, def)
	note := star + f.wants()
	if len(f.only()) > 0 {
		note += "; " + f.cased()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%-28s # %s\n", head, note)
	for _, l := range wrap(f.Doc, 62) {
		fmt.Fprintf(&b, "%-28s #   %s\n", "", l)
	}
	return b.String()
}

// cased says for which values of the deciding key there are which defaults.
func (f *Field) cased() string {
	var all []string
	for _, c := range f.cases {
		who := "for " + strings.Join(c.patterns, ", ")
		if len(f.cases) > 1 {
			who = c.text + " " + who
		}
		all = append(all, who)
	}
	return strings.Join(all, "; ")
}

// describe is everything about one field.
func (f *Field) describe() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", f.Key)
	for _, l := range wrap(f.Doc, 76) {
		fmt.Fprintf(&b, "  %s\n", l)
	}
	fmt.Fprintf(&b, "\n  type     %s\n", f.wants())
	def := f.cases[0].text
	if len(f.only()) > 0 {
		def = f.cased() + " (" + f.By + ")"
		if len(f.cases) == 1 {
			def = f.cases[0].text + " " + def
		}
	}
	if def == "" {
		def = "empty"
	}
	fmt.Fprintf(&b, "  default  %s\n", def)
	effect := "belongs to what a run computes: another value is another job"
	if f.Free {
		effect = "changes no number: a run can be continued with another value"
	}
	fmt.Fprintf(&b, "  effect   %s\n", effect)
	return b.String()
}

// wrap breaks a text into lines.
func wrap(text string, width int) (lines []string) {
	line := ""
	for w := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(w) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += w
	}
	return append(lines, line)
}

// Matching lists the fields of a group, the one with the key itself, or all.
func Matching(key string) (all []*Field) {
	for _, f := range Fields() {
		if key == "" || f.Key == key || strings.HasPrefix(f.Key, key+".") {
			all = append(all, f)
		}
	}
	return all
}

// ExplainJob writes the values of a job under key, or all, each with its
// origin.
func (r *Resolved) ExplainJob(key string) string {
	var b strings.Builder
	emit(&b, Matching(key), func(f *Field) (text, comment string, ok bool) {
		if !r.exists(f) {
			return "", "", false
		}
		return format(f.in(&r.Job)), r.Origins[f.Key].String(), true
	})
	return b.String()
}

// Entry is a value of a job with its origin.
type Entry struct {
	Key    string `json:"key"`
	Value  any    `json:"value"`
	Origin Origin `json:"origin"`
}

// Entries lists the values of a job under key, or all.
func (r *Resolved) Entries(key string) (all []Entry) {
	for _, f := range Matching(key) {
		if r.exists(f) {
			all = append(all, Entry{f.Key, f.in(&r.Job).Interface(), r.Origins[f.Key]})
		}
	}
	return all
}
