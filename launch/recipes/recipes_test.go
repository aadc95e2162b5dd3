package recipes_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/espalier-ml/espalier/launch/config"
	"github.com/espalier-ml/espalier/launch/recipes"
	"github.com/espalier-ml/espalier/methods/grow"
	"github.com/espalier-ml/espalier/trainer/data"
)

// sets stand in for the data: form and size are the real ones, pixels and
// words are not looked at.
func standIn(name string) *data.Dataset {
	images := func(n, h, c, classes int) *data.Dataset {
		im := func(split string, n int) *data.Images {
			mean, std := make([]float32, c), make([]float32, c)
			for i := range std {
				std[i] = 1
			}
			label := make([]byte, n)
			for i := range label {
				label[i] = byte(i % classes)
			}
			return &data.Images{Name: name + "/" + split, N: n, H: h, W: h, C: c, Classes: classes, Max: 255,
				Pix: make([]byte, n*h*h*c), Label: label, Mean: mean, Std: std}
		}
		return &data.Dataset{Name: name, Images: &data.ImageSet{Train: im("train", n), Test: im("test", 1000)}}
	}
	switch name {
	case "optdigits":
		return images(3823, 8, 1, 10)
	case "mnist", "fashion-mnist":
		return images(60000, 28, 1, 10)
	case "cifar10":
		return images(50000, 32, 3, 10)
	case "cifar100":
		return images(50000, 32, 3, 100)
	}
	vocab := make([]string, 65)
	tokens := make([]int32, 1_000_000)
	return &data.Dataset{Name: name, Text: &data.Tokens{Name: name, Train: tokens, Valid: tokens[:100_000], Vocab: vocab}}
}

// TestRecipesAreJobs: each parses, is valid, and fits data of the real form
// and size on 1, 2 and 4 workers.
func TestRecipesAreJobs(t *testing.T) {
	sets := map[string]*data.Dataset{}
	for _, name := range recipes.Names() {
		r, _ := recipes.Get(name)
		job, err := config.Parse(config.Origin{Kind: config.Recipe, Name: "recipe " + name}, r.Text)
		if err != nil {
			t.Error(err)
			continue
		}
		if job.Job.Name != name {
			t.Errorf("recipe %s is called %s", name, job.Job.Name)
		}
		set := sets[job.Job.Data.Name]
		if set == nil {
			set = standIn(job.Job.Data.Name)
			sets[job.Job.Data.Name] = set
		}
		for _, world := range []int{1, 2, 4} {
			if _, err := job.Fit(set, world); err != nil {
				t.Errorf("%s on %d workers: %v", name, world, err)
			}
		}
	}
}

// TestHeads: each says its command; a growing recipe grows.
func TestHeads(t *testing.T) {
	for _, name := range recipes.Names() {
		r, _ := recipes.Get(name)
		if r.Title == "" || !regexp.MustCompile(`espalier train `+name+`( --\w+)*\n`).MatchString(r.Head) {
			t.Errorf("%s: the head does not say its command", name)
		}
		if !regexp.MustCompile(`[0-9] (%|nats)|not yet measured|bench/results`).MatchString(r.Head) {
			t.Errorf("%s: the head says nothing of time and quality", name)
		}
		if strings.HasSuffix(name, "-growing") != strings.Contains(string(r.Text), "grow:") && (strings.HasSuffix(name, "-growing") || strings.HasSuffix(name, "-fixed")) {
			t.Errorf("%s: does not do what its name says", name)
		}
	}
	if _, ok := recipes.Get("nosuch"); ok {
		t.Error("a recipe nobody wrote")
	}
}

// TestPublishedSchedule: the long recipe has the paper's widths and epochs.
func TestPublishedSchedule(t *testing.T) {
	r, _ := recipes.Get("cifar10-resnet20-growing")
	job, err := config.Parse(config.Origin{Kind: config.Recipe, Name: "recipe"}, r.Text)
	if err != nil {
		t.Fatal(err)
	}
	g := job.Job.Grow
	if w := grow.Widths(64, g.Stages, g.Start, g.Growth); !slices.Equal(w, []int{16, 20, 24, 28, 34, 40, 48, 58, 64}) {
		t.Errorf("widths %v", w)
	}
	if e := grow.StageEpochs(job.Job.Train.Epochs, g.Epochs0, g.EpochGrowth, g.Stages); !slices.Equal(e, []float64{8, 10, 12, 14, 17, 20, 24, 29, 26}) {
		t.Errorf("epochs %v", e)
	}
}
