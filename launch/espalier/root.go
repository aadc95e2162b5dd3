package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/espalier-ml/espalier/launch/config"
	"github.com/espalier-ml/espalier/trainer/data"
)

// Exit statuses.
const (
	exitDone    = 0
	exitFailure = 1
	exitConfig  = 64 // EX_USAGE of sysexits.h
	exitRetry   = 75 // EX_TEMPFAIL
	exitInt     = 130
	exitTerm    = 143
)

const exitHelp = `
Exit status:
  0    done
  1    failed
  64   the command line, job or data cannot work as given
  75   try again: the run folder is in use, a download was cut, the run goes on
       without this node, or its control servers cannot be reached
  130  stopped by SIGINT with the state saved, 143 by SIGTERM`

// exitError is an error that knows its exit status.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// withCode gives an error an exit status.
func withCode(code int, err error) error {
	if err == nil {
		return nil
	}
	return &exitError{code, err}
}

func usage(format string, args ...any) error {
	return withCode(exitConfig, fmt.Errorf(format, args...))
}

// codeOf is the exit status of an error.
func codeOf(err error) int {
	var e *exitError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &e):
		return e.code
	case config.IsConfig(err), errors.Is(err, data.ErrMissing):
		return exitConfig
	}
	return exitFailure
}

// app is what all subcommands share.
type app struct {
	stdout, stderr io.Writer
	json           bool
	result         any // what --json prints
}

// out is where text for people goes: with --json standard output is for the
// one object.
func (a *app) out() io.Writer {
	if a.json {
		return a.stderr
	}
	return a.stdout
}

// execute runs the command line and returns the exit status.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	a := &app{stdout: stdout, stderr: stderr}
	root := a.root()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	c, err := root.ExecuteContextC(ctx)
	a.json = a.json || asksForJSON(args) // even where the command line could not be read
	if err == nil {
		return a.finish()
	}
	if !errors.As(err, new(ran)) {
		err = usage("%w; see %s --help", err, c.CommandPath())
	}
	return a.fail(err)
}

// finish prints the result of a command that went well.
func (a *app) finish() int {
	if !a.json || a.result == nil {
		return exitDone
	}
	if err := json.NewEncoder(a.stdout).Encode(a.result); err != nil {
		fmt.Fprintf(a.stderr, "espalier: print the result: %v\n", err)
		return exitFailure
	}
	return exitDone
}

// failure is what --json prints of an error. Details of the command's result,
// such as the run folder, stand beside it.
type failure struct {
	Error string `json:"error"`
	Code  int    `json:"code"`
	// Complaints are the single faults of a job.
	Complaints []complaint `json:"complaints,omitempty"`
	RunDir     string      `json:"run_dir,omitempty"`
}

type complaint struct {
	At   config.Origin `json:"at"`
	Key  string        `json:"key"`
	What string        `json:"what"`
}

func (a *app) fail(err error) int {
	code := codeOf(err)
	var silent errSilent
	if errors.As(err, &silent) {
		return code
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(a.stderr, "espalier: %s\n", strings.TrimRight(line, "\n"))
	}
	if a.json {
		f := failure{Error: err.Error(), Code: code}
		var bad *config.Error
		if errors.As(err, &bad) {
			for _, c := range bad.Complaints {
				f.Complaints = append(f.Complaints, complaint(c))
			}
		}
		if r, ok := a.result.(*trainResult); ok {
			f.RunDir = r.RunDir
		}
		json.NewEncoder(a.stdout).Encode(f)
	}
	return code
}

func asksForJSON(args []string) bool {
	for _, a := range args {
		if a == "--" {
			return false
		}
		if a == "--json" || a == "--json=true" {
			return true
		}
	}
	return false
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "espalier",
		Short: "Train neural networks that grow, on many workers, with the same bits on any number",
		Long: `Espalier trains neural networks that grow while they train, data-parallel over
worker processes. A run is a function of its job file and seed: the number of
workers and threads, and being stopped and continued, never change a bit of it.

  espalier train digits      a complete run on data that is part of the binary
  espalier train --list      all recipes
  espalier config explain    every key of a job file
` + exitHelp,
		SilenceUsage: true, SilenceErrors: true,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print one JSON object on standard output, all else on standard error")
	root.AddCommand(a.trainCommand(), a.launchCommand(), a.statusCommand(), a.watchCommand(), a.traceCommand(), a.workerCommand(), a.evalCommand(), a.exportCommand(),
		a.dataCommand(), a.doctorCommand(), a.configCommand(), a.benchCommand(), a.reproduceCommand(), a.versionCommand())
	root.SetHelpCommand(&cobra.Command{Use: "help [command]", Short: "Help about any command", Hidden: true,
		RunE: func(c *cobra.Command, args []string) error {
			target, _, err := c.Root().Find(args)
			if err != nil {
				return usage("%w", err)
			}
			return target.Help()
		}})
	markErrors(root)
	return root
}

// ran is an error of a command that ran; all others are about how it was
// called.
type ran struct{ error }

func (e ran) Unwrap() error { return e.error }

// markErrors marks the errors of the command and all below it.
func markErrors(c *cobra.Command) {
	if run := c.RunE; run != nil {
		c.RunE = func(c *cobra.Command, args []string) error {
			if err := run(c, args); err != nil {
				return ran{err}
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		markErrors(sub)
	}
}
