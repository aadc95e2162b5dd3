package main

import (
	"fmt"
	"path/filepath"

	"github.com/espalier-ml/espalier/launch/config"
	"github.com/espalier-ml/espalier/launch/report"
	"github.com/espalier-ml/espalier/trainer/metrics"
)

// trainResult is the JSON object of a training run.
type trainResult struct {
	Name            string                    `json:"name,omitempty"`
	Run             string                    `json:"run,omitempty"` // "grown" or "fixed"
	TestAccuracy    *metrics.Number           `json:"test_accuracy,omitempty"`
	ValLoss         *metrics.Number           `json:"val_loss,omitempty"`
	Params          int64                     `json:"params"`
	TrainFlops      metrics.Number            `json:"train_flops"`
	FixedTrainFlops metrics.Number            `json:"fixed_train_flops"`
	Seconds         metrics.Number            `json:"seconds"`
	Steps           int64                     `json:"steps"`
	Samples         int64                     `json:"samples"`
	World           int                       `json:"world"`
	Threads         int                       `json:"threads"`
	Seed            uint64                    `json:"seed"`
	Job             string                    `json:"job"` // hash of what the run computes
	Digest          string                    `json:"digest"`
	Measures        map[string]metrics.Number `json:"measures,omitempty"`
	RunDir          string                    `json:"run_dir"`
	Report          string                    `json:"report,omitempty"`
	Fixed           *trainResult              `json:"fixed,omitempty"`
}

// resultOf reads a finished run.
func resultOf(job *config.Resolved, run *report.Run) (*trainResult, error) {
	end, start := run.Log.End, run.Log.Start
	if end == nil || start == nil {
		return nil, fmt.Errorf("%s: the record of the run has no end", run.Dir)
	}
	return &trainResult{Name: job.Job.Name, Run: start.Run, TestAccuracy: end.TestAccuracy, ValLoss: end.ValLoss,
		Params: end.Params, TrainFlops: end.TrainFlops, FixedTrainFlops: end.FixedTrainFlops, Seconds: end.Seconds,
		Steps: end.Step, Samples: end.Samples, World: end.World, Threads: start.Threads,
		Seed: job.Job.Seed, Job: job.Job.Hash(end.World), Digest: end.Digest, Measures: end.Measures, RunDir: run.Dir}, nil
}

// writeReport reads the runs' folders and writes the first one's report.
func writeReport(jobs []*config.Resolved) ([]*report.Run, error) {
	var runs []*report.Run
	for _, j := range jobs {
		r, err := report.Read(j.Job.Run.Dir)
		if err != nil {
			return nil, err
		}
		runs = append(runs, r)
	}
	return runs, report.Write(runs[0].Dir, runs...)
}

// report writes the report, prints the table and keeps the result for --json.
func (t *training) report(jobs []*config.Resolved) error {
	runs, err := writeReport(jobs)
	if err != nil {
		return err
	}
	results := make([]*trainResult, len(runs))
	for i, r := range runs {
		if results[i], err = resultOf(jobs[i], r); err != nil {
			return err
		}
	}
	first := results[0]
	first.Report = filepath.Join(first.RunDir, report.PageFile)
	if len(results) > 1 {
		first.Fixed = results[1]
	}
	t.app.result = first
	out := t.app.out()
	fmt.Fprintln(out)
	if err := report.Table(out, runs...); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "\nreport  %s\n", first.Report)
	return err
}
