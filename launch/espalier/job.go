package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/espalier-ml/espalier/launch/config"
	"github.com/espalier-ml/espalier/launch/recipes"
	"github.com/espalier-ml/espalier/launch/report"
	"github.com/espalier-ml/espalier/trainer/data"
)

// loadJob finds a job by what the user typed: a job file, the name of a
// recipe, or a run folder, whose own job it is.
func loadJob(name string, sets []config.Set) (*config.Resolved, error) {
	isPath := strings.ContainsRune(name, os.PathSeparator) || filepath.Ext(name) != ""
	if r, ok := recipes.Get(name); ok && !isPath {
		return config.Parse(config.Origin{Kind: config.Recipe, Name: "recipe " + name}, r.Text, sets...)
	}
	info, err := os.Stat(name)
	switch {
	case err == nil && info.IsDir():
		return loadRunJob(name, sets)
	case err == nil:
		r, err := config.Load(name, sets...)
		return r, withCode(exitConfig, err)
	case errors.Is(err, fs.ErrNotExist) && !isPath:
		return nil, usage("no recipe and no job file %q; %srecipes are %s", name, didYouMean(name), strings.Join(recipes.Names(), ", "))
	}
	return nil, usage("job file: %w", err)
}

func loadRunJob(dir string, sets []config.Set) (*config.Resolved, error) {
	file := filepath.Join(dir, report.JobFile)
	if _, err := os.Stat(file); err != nil {
		return nil, usage("%s is no run folder: it has no %s", dir, report.JobFile)
	}
	here := config.Set{Flag: dir, Key: "run.dir", Value: filepath.Clean(dir)}
	r, err := config.Load(file, append([]config.Set{here}, sets...)...)
	return r, withCode(exitConfig, err)
}

func didYouMean(name string) string {
	if n := config.Nearest(name, recipes.Names()); n != "" {
		return fmt.Sprintf("did you mean %s? ", n)
	}
	return ""
}

// openData opens the job's data set. Some take long the first time, when they
// are unpacked: then it says so.
func (a *app) openData(job *config.Resolved, log *zap.Logger) (*data.Dataset, error) {
	name := job.Job.Data.Name
	opened, said := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(said)
		select {
		case <-opened:
		case <-time.After(time.Second):
			fmt.Fprintf(a.stderr, "reading %s; large data sets are unpacked once, into the cache\n", name)
		}
	}()
	defer func() { close(opened); <-said }()
	set, err := data.Opener{Dir: job.Job.Data.Dir, Log: log}.Open(name)
	if at := job.Origins["data.name"]; errors.Is(err, data.ErrMissing) && at.Kind != config.Default {
		return nil, fmt.Errorf("%s: data.name: %w", at, err)
	}
	return set, err
}
