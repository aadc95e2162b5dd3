package config

import (
	"fmt"
	"strings"
)

// Origin is where a value came from.
type Origin struct {
	Kind OriginKind
	Name string // of the file or recipe, or the flag as it was typed
	Line int    // in file or recipe, from 1
	Col  int
}

// OriginKind is the kind of place that a value came from.
type OriginKind string

// Places that values come from, later ones win.
const (
	Default OriginKind = "default"
	Recipe  OriginKind = "recipe"
	File    OriginKind = "file"
	Flag    OriginKind = "flag"
)

func (o Origin) String() string {
	switch {
	case o.Kind == Default || o.Kind == "":
		return "default"
	case o.Kind == Flag:
		return o.Name
	case o.Line == 0:
		return o.Name
	}
	return fmt.Sprintf("%s:%d:%d", o.Name, o.Line, o.Col)
}

// MarshalText makes the origin a word in JSON.
func (o Origin) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// Complaint is one thing that is wrong with a job.
type Complaint struct {
	At   Origin
	Key  string // "" when it is about the file as a whole
	What string // what is wrong, and what to do about it
}

func (c Complaint) String() string {
	parts := []string{c.At.String(), c.Key, c.What}
	if c.At.Kind == Default || c.At.Kind == "" {
		parts[0] = ""
		if c.At.Name != "" {
			parts[0] = c.At.Name
		}
	}
	var said []string
	for _, p := range parts {
		if p != "" {
			said = append(said, p)
		}
	}
	return strings.Join(said, ": ")
}

// Error is everything that is wrong with a job, in the order of the file.
type Error struct {
	Complaints []Complaint
}

func (e *Error) Error() string {
	var lines []string
	for _, c := range e.Complaints {
		lines = append(lines, c.String())
	}
	return strings.Join(lines, "\n")
}
