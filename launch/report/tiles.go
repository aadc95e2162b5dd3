package report

import (
	"fmt"

	"github.com/espalier-ml/espalier/launch/report/figure"
)

// tile is a figure shown large.
type tile struct {
	Value, Name, Detail string
	// Share of the other run in percent, for the bar; 0 means no bar.
	Share float64
}

// fact is a line of the environment.
type fact struct{ Name, Value string }

// tiles are the four figures to see first.
func tiles(main result, others []result) []tile {
	var ts []tile
	switch {
	case main.accuracy != nil:
		t := tile{Value: figure.Percent(*main.accuracy), Name: main.accuracySplit + " accuracy"}
		if len(others) > 0 && others[0].accuracy != nil {
			t.Detail = fmt.Sprintf("%s: %s", others[0].name, figure.Percent(*others[0].accuracy))
		}
		ts = append(ts, t)
	case main.loss != nil:
		t := tile{Value: figure.Value(*main.loss), Name: main.lossSplit + " loss, nats"}
		if len(others) > 0 && others[0].loss != nil {
			t.Detail = fmt.Sprintf("%s: %s", others[0].name, figure.Value(*others[0].loss))
		}
		ts = append(ts, t)
	}
	other := result{name: "full size, computed", flops: main.fixedFlops, params: main.paramsFull}
	if len(others) > 0 {
		other = others[0]
	}
	if !main.finished || len(others) > 0 && !others[0].finished { // no share of a whole yet
		other = result{}
	}
	return append(ts,
		shareTile("training FLOPs", main.flops, other.flops, figure.Flops, other.name),
		shareTile("time of training", main.seconds, other.seconds, figure.Seconds, other.name),
		shareTile("parameters", float64(main.params), float64(other.params), count, other.name))
}

// shareTile shows a cost as a share of the other run's where that is known.
func shareTile(name string, a, b float64, show func(float64) string, other string) tile {
	switch {
	case a <= 0:
		return tile{Value: figure.Missing, Name: name}
	case b <= 0:
		return tile{Value: show(a), Name: name}
	}
	return tile{Value: figure.Share(a / b), Name: name, Share: min(100*a/b, 100),
		Detail: fmt.Sprintf("%s of %s (%s)", show(a), show(b), other)}
}

// facts is the environment of the run.
func facts(r *Run, main result) []fact {
	var fs []fact
	add := func(name, value string) {
		if value != "" {
			fs = append(fs, fact{name, value})
		}
	}
	if e := r.Environment; e != nil {
		add("CPU", fmt.Sprintf("%s, %s", e.CPU, plural(e.Cores, "core", "cores")))
		add("instruction sets", e.Features)
		add("system", e.OS+"/"+e.Arch)
		add("Go", e.Go)
		add("Espalier", e.Version)
	} else {
		add("machine", "not recorded")
	}
	if s := r.Log.Start; s != nil {
		add("workers", fmt.Sprintf("%d, of %s", s.World, plural(s.Threads, "thread", "threads")))
		add("logical shards", fmt.Sprint(s.Shards))
	}
	add("state digest", main.digest)
	return fs
}
