package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// maxFile bounds a job file. Real ones have 2 kB; the parser's time grows with
// the square of the size.
const maxFile = 16 << 10

// assignment is a key with a value that was given to it.
type assignment struct {
	key string
	value
	section bool // the key is an optional section, which is present from here on
}

// reader turns YAML into assignments.
type reader struct {
	file Origin
	seen map[string]int // line of each key
	out  []assignment
	bad  []Complaint
}

// read parses a job file. What it cannot make sense of is in the complaints;
// the rest is returned all the same.
func read(file Origin, text []byte) ([]assignment, []Complaint) {
	r := &reader{file: file, seen: map[string]int{}}
	if len(text) > maxFile {
		r.complain(nil, "", fmt.Sprintf("%d bytes are no job file; want at most %d", len(text), maxFile))
		return nil, r.bad
	}
	if depth(text) > 64 {
		r.complain(nil, "", "brackets nested more than 64 deep are no job file")
		return nil, r.bad
	}
	f, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		r.syntax(err)
		return nil, r.bad
	}
	var bodies []ast.Node
	for _, d := range f.Docs {
		if d.Body != nil {
			bodies = append(bodies, d.Body)
		}
	}
	switch len(bodies) {
	case 0:
	case 1:
		r.mapping(bodies[0], "")
	default:
		r.complain(bodies[1], "", "a second document; a job file has one: remove the line ---")
	}
	return r.out, r.bad
}

// depth is how deep brackets are nested at most.
func depth(text []byte) (most int) {
	n := 0
	for _, c := range text {
		switch c {
		case '[', '{':
			n++
			most = max(most, n)
		case ']', '}':
			n--
		}
	}
	return most
}

func (r *reader) at(n ast.Node) Origin {
	o := r.file
	if n != nil && n.GetToken() != nil && n.GetToken().Position != nil {
		o.Line, o.Col = n.GetToken().Position.Line, n.GetToken().Position.Column
	}
	return o
}

func (r *reader) complain(n ast.Node, key, what string) {
	r.bad = append(r.bad, Complaint{r.at(n), key, what})
}

var position = regexp.MustCompile(`^\[(\d+):(\d+)\] `)

// syntax passes on what the parser says, without its picture of the place.
func (r *reader) syntax(err error) {
	what, _, _ := strings.Cut(err.Error(), "\n")
	at := r.file
	if m := position.FindStringSubmatch(what); m != nil {
		at.Line, _ = strconv.Atoi(m[1])
		at.Col, _ = strconv.Atoi(m[2])
		what = what[len(m[0]):]
	}
	if strings.Contains(what, `'\t'`) || strings.Contains(what, "'\t'") {
		what += "; indent with spaces, not with tabs"
	}
	r.bad = append(r.bad, Complaint{at, "", "not YAML: " + what})
}

// mapping reads the keys of the file or of a section.
func (r *reader) mapping(n ast.Node, prefix string) {
	if one, ok := n.(*ast.MappingValueNode); ok {
		r.entry(one, prefix)
		return
	}
	m, ok := n.(*ast.MappingNode)
	if !ok {
		what := "want lines of the form key: value"
		if prefix != "" {
			what = fmt.Sprintf("is a group of keys, not a value; want %s", groupHint(strings.TrimSuffix(prefix, ".")))
		}
		r.complain(n, strings.TrimSuffix(prefix, "."), what)
		return
	}
	for _, v := range m.Values {
		r.entry(v, prefix)
	}
}

// groupHint is a key that a section has, as an example.
func groupHint(section string) string {
	for _, f := range Fields() {
		if strings.HasPrefix(f.Key, section+".") {
			return fmt.Sprintf("%s: {%s: …}", section, strings.TrimPrefix(f.Key, section+"."))
		}
	}
	return section + ": {…}"
}

func (r *reader) entry(v *ast.MappingValueNode, prefix string) {
	name, ok := v.Key.(*ast.StringNode)
	if !ok {
		r.complain(v.Key, prefix+v.Key.String(), "is no key of a job file; merge keys, anchors and other types are not used here")
		return
	}
	key := prefix + name.Value
	if line, twice := r.seen[key]; twice {
		r.complain(v.Key, key, fmt.Sprintf("is given twice, first in line %d; remove one", line))
		return
	}
	r.seen[key] = r.at(v.Key).Line
	if s := theSchema().section(key); s != nil {
		r.section(s, v)
		return
	}
	if theSchema().field(key) == nil {
		r.complain(v.Key, key, unknown(key))
		return
	}
	if val, ok := r.value(v.Value, key); ok {
		r.out = append(r.out, assignment{key: key, value: val})
	}
}

func (r *reader) section(s *Section, v *ast.MappingValueNode) {
	if _, null := v.Value.(*ast.NullNode); null {
		if s.Optional {
			r.complain(v.Key, s.Key, fmt.Sprintf("has no content; write %s: {} for the defaults, or remove the key", s.Key))
		}
		return // an empty ordinary section says nothing
	}
	if s.Optional {
		r.out = append(r.out, assignment{key: s.Key, value: value{at: r.at(v.Key)}, section: true})
	}
	r.mapping(v.Value, s.Key+".")
}

// value reads a scalar or a list of scalars.
func (r *reader) value(n ast.Node, key string) (value, bool) {
	v := value{at: r.at(n)}
	switch n := n.(type) {
	case *ast.NullNode:
		r.complain(n, key, "has no value; give it one or remove the key")
		return v, false
	case *ast.StringNode:
		t := n.GetToken().Type
		v.text, v.quoted = n.Value, t == token.SingleQuoteType || t == token.DoubleQuoteType
		return v, true
	case *ast.SequenceNode:
		v.isList = true
		for _, e := range n.Values {
			x, ok := r.value(e, key)
			if !ok {
				return v, false
			}
			v.list = append(v.list, x)
		}
		return v, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		v.text = n.GetToken().Value
		return v, true
	}
	r.complain(n, key, "want a plain value or a list; anchors, aliases, tags and groups are not used here")
	return v, false
}

// unknown is the complaint about a key that is not in the schema.
func unknown(key string) string {
	var keys, leaves []string
	for _, f := range Fields() {
		keys = append(keys, f.Key)
		leaves = append(leaves, f.Key[strings.LastIndex(f.Key, ".")+1:])
	}
	for _, s := range Sections() {
		keys = append(keys, s.Key)
		leaves = append(leaves, s.Key)
	}
	// The right name in the wrong group first, then a misspelling.
	leaf := key[strings.LastIndex(key, ".")+1:]
	for i, l := range leaves {
		if l == leaf && len(leaf) > 2 {
			return fmt.Sprintf("unknown key; did you mean %s?", keys[i])
		}
	}
	if n := Nearest(key, keys); n != "" {
		return fmt.Sprintf("unknown key; did you mean %s?", n)
	}
	if n := Nearest(leaf, leaves); n != "" {
		for i, l := range leaves {
			if l == n {
				return fmt.Sprintf("unknown key; did you mean %s?", keys[i])
			}
		}
	}
	return "unknown key; espalier config explain lists all of them"
}
