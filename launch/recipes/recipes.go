// Package recipes holds complete runs as job files, embedded in the binary:
// each names its data, model, method and schedule, and its head says with
// which command it runs, how long it takes and what quality to expect.
//
//	espalier train digits
//
// A recipe promises to be a valid job. What it promises in numbers stands in
// its head and was measured, or it says that it was not.
package recipes

import (
	"embed"
	"slices"
	"strings"
)

//go:embed *.yaml
var files embed.FS

// Recipe is an embedded job file.
type Recipe struct {
	Name  string
	Title string // first line of the head
	Head  string // all of the head, without the marks of comments
	Text  []byte // the job file
}

// Names lists all recipes, in the order of the alphabet.
func Names() []string {
	entries, err := files.ReadDir(".")
	if err != nil {
		panic(err) // the folder is part of the binary
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".yaml"))
	}
	slices.Sort(names)
	return names
}

// Get returns a recipe by name.
func Get(name string) (Recipe, bool) {
	if !slices.Contains(Names(), name) {
		return Recipe{}, false
	}
	text, err := files.ReadFile(name + ".yaml")
	if err != nil {
		panic(err)
	}
	r := Recipe{Name: name, Text: text}
	for line := range strings.Lines(string(text)) {
		comment, ok := strings.CutPrefix(line, "#")
		if !ok {
			break
		}
		r.Head += strings.TrimPrefix(comment, " ")
	}
	r.Title, _, _ = strings.Cut(r.Head, "\n")
	return r, true
}
