package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/espalier-ml/espalier/launch/reproduce"
	"github.com/espalier-ml/espalier/trainer/optim/convergence"
)

func (a *app) reproduceCommand() *cobra.Command {
	var list, fresh bool
	var dir, dataDir string
	var seeds []uint
	var sets []string
	c := &cobra.Command{
		Use:   "reproduce NAME",
		Short: "Run an experiment of a method's page, with its table and plots",
		Long: `Reproduce trains every variant of an experiment for several seeds and compares
them, seed by seed. What is finished is not run again, what was stopped goes on.
table.md and the plots lie in the folder that is printed at the end.
` + exitHelp,
		Example: `  espalier reproduce --list
  espalier reproduce growing-digits
  espalier reproduce growing-fashion --seeds 1,2 --set train.epochs=10`,
		Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return experimentNames(), cobra.ShellCompDirectiveNoFileComp
		},
	}
	f := c.Flags()
	f.BoolVar(&list, "list", false, "list the experiments")
	f.BoolVar(&fresh, "fresh", false, "run everything anew")
	f.StringVar(&dir, "dir", "", "folder `DIR` for runs, table and plots, instead of runs/reproduce/NAME")
	f.StringVar(&dataDir, "data", "", "folder `DIR` of data sets")
	f.UintSliceVar(&seeds, "seeds", nil, "seeds `LIST`, instead of the experiment's")
	f.StringArrayVar(&sets, "set", nil, "set a key of every job, `KEY=VALUE`; may be repeated")
	c.RunE = func(c *cobra.Command, args []string) error {
		if list {
			return a.listExperiments()
		}
		if len(args) == 0 {
			return usage("reproduce what? one of %s", strings.Join(experimentNames(), ", "))
		}
		if dir == "" {
			dir = filepath.Join("runs", "reproduce", args[0])
		}
		for _, e := range convergence.Experiments() {
			if e.Name == args[0] {
				return a.converge(e, dir)
			}
		}
		e, ok := reproduce.Get(args[0])
		if !ok {
			return usage("no experiment %s; there are %s", args[0], strings.Join(experimentNames(), ", "))
		}
		if dataDir != "" {
			abs, err := filepath.Abs(dataDir)
			if err != nil {
				return err
			}
			dataDir = abs
		}
		o := reproduce.Options{Dir: dir, Set: sets, Note: a.noteRun}
		for _, s := range seeds {
			o.Seeds = append(o.Seeds, uint64(s))
		}
		return a.reproduce(c.Context(), e, trainSelf{a, dataDir, fresh}, o)
	}
	return c
}

func (a *app) listExperiments() error {
	type item struct{ Name, Title, Claim, Cost string }
	var all []item
	for _, n := range reproduce.Names() {
		e, _ := reproduce.Get(n)
		all = append(all, item{e.Name, e.Title, e.Claim, e.Cost})
		fmt.Fprintf(a.out(), "%-20s %s (about %s)\n", e.Name, e.Title, e.Cost)
	}
	for _, e := range convergence.Experiments() {
		all = append(all, item{e.Name, e.Text, "", "1 minute"})
		fmt.Fprintf(a.out(), "%-20s %s (about 1 minute)\n", e.Name, e.Text)
	}
	a.result = map[string]any{"experiments": all}
	return nil
}

func experimentNames() []string {
	names := reproduce.Names()
	for _, e := range convergence.Experiments() {
		names = append(names, e.Name)
	}
	return names
}

// convergenceSeeds is how many walks an experiment on a function of one
// variable averages over.
const convergenceSeeds = 200

// converge runs an experiment on optimizers with a function of one variable.
func (a *app) converge(e convergence.Experiment, dir string) error {
	var text bytes.Buffer
	if err := e.Run(convergenceSeeds).Write(&text); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "table.md"), text.Bytes(), 0o644); err != nil {
		return err
	}
	a.result = map[string]any{"experiment": e.Name, "dir": dir}
	fmt.Fprintf(a.out(), "%s\ntable  %s\n", text.Bytes(), dir)
	return nil
}

// reproduce runs an experiment and writes what came of it.
func (a *app) reproduce(ctx context.Context, e reproduce.Experiment, t trainSelf, o reproduce.Options) error {
	ctx, release := untilSignal(ctx)
	defer release()
	res, err := reproduce.Run(ctx, e, t.run, o)
	if err != nil {
		return err
	}
	files := res.Plots()
	files["table.md"] = res.Table()
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(o.Dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	a.result = map[string]any{"experiment": e.Name, "dir": o.Dir, "cells": res.Cells, "seeds": res.Seeds}
	fmt.Fprintf(a.out(), "%s\ntable and plots  %s\n", files["table.md"], o.Dir)
	return nil
}

// noteRun tells what is run, and what it reached.
func (a *app) noteRun(done, all int, j reproduce.Job, out *reproduce.Outcome) {
	if out == nil {
		fmt.Fprintf(a.stderr, "[%d/%d] %s\n", done+1, all, filepath.Base(j.Dir))
		return
	}
	fmt.Fprintf(a.stderr, "[%d/%d] %s: %.2f in %.1f s\n", done, all, filepath.Base(j.Dir), out.Quality(), out.Seconds)
}

// trainSelf trains by running this command again, so that every run begins in
// a fresh process.
type trainSelf struct {
	app     *app
	dataDir string
	fresh   bool
}

func (t trainSelf) run(ctx context.Context, j reproduce.Job) (reproduce.Outcome, error) {
	var o reproduce.Outcome
	self, err := os.Executable()
	if err != nil {
		return o, err
	}
	args := []string{"train", j.Recipe, "--json", "--quiet", "--seed", strconv.FormatUint(j.Seed, 10), "--run-dir", j.Dir}
	if t.dataDir != "" {
		args = append(args, "--data", t.dataDir)
	}
	if t.fresh {
		args = append(args, "--fresh")
	}
	for _, s := range j.Set {
		args = append(args, "--set", s)
	}
	var out bytes.Buffer
	c := exec.CommandContext(ctx, self, args...)
	c.Stdout, c.Stderr = &out, t.app.stderr
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.WaitDelay = time.Minute
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := c.Run(); err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() > 0 {
			return o, withCode(exit.ExitCode(), fmt.Errorf("espalier %s: %w", strings.Join(args, " "), err))
		}
		return o, err
	}
	if err := json.Unmarshal(out.Bytes(), &o); err != nil {
		return o, fmt.Errorf("espalier %s: result: %w", strings.Join(args, " "), err)
	}
	return o, nil
}
