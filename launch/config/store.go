package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// Hash identifies what a run computes: all values but those marked free, in
// the order of the schema. The number of workers counts only where results
// depend on it (strict: false). Run folder, threads, intervals and names may
// change while a run is continued.
func (j *Job) Hash(nproc int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "espalier job 1\nshards=%d\n", j.LogicalShards(nproc))
	for _, f := range Fields() {
		if !f.Free && f.present(j) {
			fmt.Fprintf(&b, "%s=%s\n", f.Key, format(f.in(j)))
		}
	}
	sum := sha256.Sum256([]byte(b.String()))
	return hex.EncodeToString(sum[:])
}

// YAML writes the job as a job file that reads back as the same job.
func (r *Resolved) YAML() []byte {
	var b strings.Builder
	emit(&b, Fields(), func(f *Field) (text, comment string, ok bool) {
		if !r.exists(f) {
			return "", "", false
		}
		return format(f.in(&r.Job)), "", true
	})
	return []byte(b.String())
}

// emit writes the fields that show wants to see, with the groups above them.
func emit(b *strings.Builder, fields []*Field, show func(f *Field) (text, comment string, ok bool)) {
	var open []string // groups whose headings are written
	for _, f := range fields {
		text, comment, ok := show(f)
		if !ok {
			continue
		}
		parts := strings.Split(f.Key, ".")
		groups := parts[:len(parts)-1]
		for i := shared(open, groups); i < len(groups); i++ {
			fmt.Fprintf(b, "%s%s:\n", strings.Repeat("  ", i), groups[i])
		}
		open = groups
		line := fmt.Sprintf("%s%s: %s", strings.Repeat("  ", len(groups)), parts[len(parts)-1], text)
		if comment != "" {
			line = fmt.Sprintf("%-34s # %s", line, comment)
		}
		fmt.Fprintln(b, line)
	}
}

// shared is the length of the common beginning.
func shared(a, b []string) (n int) {
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// Difference is a key whose value differs between two jobs.
type Difference struct {
	Key       string
	Then, Now string // "" where the job has no such key
}

func (d Difference) String() string {
	or := func(s string) string {
		if s == "" {
			return "absent"
		}
		return s
	}
	return fmt.Sprintf("%s was %s, is %s", d.Key, or(d.Then), or(d.Now))
}

// Differences lists what makes two jobs compute different things. A group that
// only one of them has is a single difference.
func Differences(then, now *Resolved) (all []Difference) {
	for _, f := range Fields() {
		if a, b := f.present(&then.Job), f.present(&now.Job); a != b {
			group, _, _ := strings.Cut(f.Key, ".")
			d := Difference{Key: group, Then: "given"}
			if b {
				d = Difference{Key: group, Now: "given"}
			}
			if n := len(all); n == 0 || all[n-1] != d {
				all = append(all, d)
			}
			continue
		}
		a, _ := then.Value(f.Key)
		b, _ := now.Value(f.Key)
		if !f.Free && a != b {
			all = append(all, Difference{f.Key, a, b})
		}
	}
	return all
}
