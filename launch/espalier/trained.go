package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/espalier-ml/espalier/launch/config"
	"github.com/espalier-ml/espalier/launch/report"
	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/checkpoint"
	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/models"
)

// trained is a network as a checkpoint has it, with its job and data.
type trained struct {
	job   *config.Resolved
	cfg   trainer.Config
	state checkpoint.State
	path  string // of the checkpoint
	sizes graph.Sizes
}

// openTrained finds a network by a run folder, whose newest checkpoint counts,
// or by the folder of one checkpoint.
func (a *app) openTrained(path, dataDir string) (*trained, error) {
	t := &trained{}
	run := path
	if _, err := os.Stat(filepath.Join(path, "manifest.json")); err == nil {
		run = filepath.Dir(filepath.Dir(filepath.Clean(path)))
		t.path = path
		if t.state, err = (checkpoint.Store{}).Load(path); err != nil {
			return nil, err
		}
	}
	var sets []config.Set
	if dataDir != "" {
		sets = append(sets, config.Set{Flag: "--data " + dataDir, Key: "data.dir", Value: dataDir})
	}
	var err error
	if t.job, err = loadRunJob(run, sets); err != nil {
		return nil, err
	}
	if t.path == "" {
		if err := a.loadNewest(t, filepath.Join(run, checkpointFolder)); err != nil {
			return nil, err
		}
	}
	var plan struct {
		Sizes graph.Sizes `json:"sizes"`
	}
	if err := json.Unmarshal(t.state.Meta.Plan, &plan); err != nil {
		return nil, fmt.Errorf("%s: plan: %w", t.path, err)
	}
	t.sizes = plan.Sizes
	return t, a.fit(t)
}

func (a *app) loadNewest(t *trained, dir string) error {
	st, path, skipped, err := checkpoint.Store{Dir: dir}.LoadLatest()
	for _, e := range skipped {
		fmt.Fprintf(a.stderr, "passed over: %v\n", e)
	}
	if errors.Is(err, checkpoint.ErrNone) {
		return fmt.Errorf("%s has no complete checkpoint: train it first, or name one of its checkpoints", filepath.Dir(dir))
	}
	t.state, t.path = st, path
	return err
}

// fit opens the data, which say how wide input and output are.
func (a *app) fit(t *trained) error {
	set, err := a.openData(t.job, nil)
	if err != nil {
		return err
	}
	t.cfg, err = t.job.Fit(set, max(1, t.state.Meta.World))
	return err
}

// graph traces the network for evaluation in batches of n.
func (t *trained) graph(n int) (*graph.Graph, error) {
	return models.Trace(t.cfg.Model, graph.Config{Sizes: t.sizes}, n)
}

// values finds the checkpoint's values of a parameter or running statistic.
func (t *trained) values(p *graph.Param) ([]float32, error) {
	c, ok := t.state.Find(p.Name)
	if !ok {
		return nil, fmt.Errorf("%s: no tensor %s; does %s belong to it?", t.path, p.Name, report.JobFile)
	}
	buf := make([]float32, p.W.Len())
	if err := c.CopyFloat32s(buf); err != nil {
		return nil, fmt.Errorf("%s: tensor %s: %w", t.path, p.Name, err)
	}
	return buf, nil
}
