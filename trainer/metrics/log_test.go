package metrics

import (
	"fmt"
	"strings"
	"testing"
)

// story tells a log in one line: t = train, e = eval, x = end, others by name.
func story(l *Log) string {
	var s []string
	for _, r := range l.Train {
		s = append(s, fmt.Sprintf("t%d:%g", r.Step, float64(r.Loss)))
	}
	for _, r := range l.Evals {
		s = append(s, fmt.Sprintf("e%d:%g", r.Step, float64(r.Loss)))
	}
	for _, r := range l.Events {
		s = append(s, fmt.Sprintf("%s%d", r.Event, r.Step))
	}
	if l.End != nil {
		s = append(s, fmt.Sprintf("x%d", l.End.Step))
	}
	return strings.Join(s, " ")
}

func train(step int64, loss Number) *Train { return &Train{Step: step, Loss: loss} }
func eval(step int64, loss Number) *Eval   { return &Eval{Step: step, Loss: loss, Split: "test"} }
func event(step int64, name string) *Event { return &Event{Step: step, Event: name} }

func TestTimeGoesForward(t *testing.T) {
	tests := []struct {
		name string
		in   []Record
		want string
	}{
		{"nothing", nil, ""},
		{"a plain run", []Record{&Start{}, train(1, 3), train(2, 2), eval(2, 2), event(2, EventGrow), train(3, 1), &End{Step: 3}},
			"t1:3 t2:2 t3:1 e2:2 grow2 x3"},
		{"resumed: the future after the checkpoint is forgotten",
			[]Record{&Start{}, train(1, 3), event(1, EventCheckpoint), train(2, 9), eval(2, 9), event(2, EventGrow), event(1, EventResume), train(2, 2)},
			"t1:3 t2:2 checkpoint1 resume1"},
		{"resumed after the end with more steps",
			[]Record{train(1, 1), &End{Step: 1}, event(1, EventResume), train(2, 1)}, "t1:1 t2:1 resume1 x1"},
		{"resumed before the end", []Record{train(1, 1), train(2, 1), &End{Step: 2}, event(1, EventResume)}, "t1:1 resume1"},
		{"evaluated again at the step of the checkpoint",
			[]Record{train(4, 1), eval(4, 7), event(4, EventGrow), event(4, EventResume), event(4, EventGrow), eval(4, 7.5)},
			"t4:1 e4:7.5 resume4 grow4"},
		{"two splits at one step", []Record{eval(4, 1), &Eval{Step: 4, Loss: 2, Split: "val"}, eval(4, 3)}, "e4:2 e4:3"},
		{"run again from the start without a word", []Record{train(1, 9), train(2, 9), event(2, EventGrow), train(1, 3)}, "t1:3"},
		{"the last step written twice keeps its evaluation", []Record{train(2, 1), eval(2, 1), train(2, 1)}, "t2:1 e2:1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := &Log{}
			for _, r := range tt.in {
				l.Add(r)
			}
			if got := story(l); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestStartsAndResumes(t *testing.T) {
	l := &Log{}
	for _, r := range []Record{&Start{World: 4}, train(5, 1), event(5, EventResume), event(2, EventResume), &Start{Step: 2, World: 2}} {
		l.Add(r)
	}
	if l.Resumes != 2 || l.Start.World != 2 || l.First.World != 4 {
		t.Errorf("%d resumes, first world %d, last world %d, want 2, 4, 2", l.Resumes, l.First.World, l.Start.World)
	}
	l.Add(&Start{World: 1})
	if l.First.World != 1 {
		t.Errorf("first world %d after starting over, want 1", l.First.World)
	}
}

func TestRead(t *testing.T) {
	const a = `{"kind":"train","step":1,"loss":3}`
	tests := []struct {
		name, in, want string
		torn           bool
	}{
		{"empty", "", "", false},
		{"blank lines", "\n" + a + "\n  \n", "t1:3", false},
		{"carriage returns", a + "\r\n", "t1:3", false},
		{"torn tail", a + "\n" + `{"kind":"train","step":2,"lo`, "t1:3", true},
		{"tail of zeros", a + "\n\x00\x00\x00", "t1:3", true},
		{"whole record without newline", a + "\n" + `{"kind":"train","step":2,"loss":2}`, "t1:3 t2:2", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := Read(strings.NewReader(tt.in), "metrics.jsonl")
			if err != nil {
				t.Fatal(err)
			}
			if got := story(l); got != tt.want || l.Torn != tt.torn {
				t.Errorf("got %q, torn %v, want %q, %v", got, l.Torn, tt.want, tt.torn)
			}
		})
	}
}

func TestReadRefuses(t *testing.T) {
	const a = `{"kind":"train","step":1,"loss":3}` + "\n"
	tests := []struct{ name, in, want string }{
		{"a torn line in the middle", a + `{"kind":"train","st` + "\n" + a, "run/metrics.jsonl:2: not a JSON object"},
		{"a broken last line with its newline", a + a + "{}\n", `run/metrics.jsonl:3: no key "kind"`},
		{"a line without end", a + strings.Repeat("x", maxLine+1), "run/metrics.jsonl:2: a line of more than 1048576 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Read(strings.NewReader(tt.in), "run/metrics.jsonl")
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestReadFileNamesTheMissingFile(t *testing.T) {
	path := t.TempDir() + "/metrics.jsonl"
	if _, err := ReadFile(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v, want one that names %s", err, path)
	}
}
