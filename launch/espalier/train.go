package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/espalier-ml/espalier/launch/config"
	"github.com/espalier-ml/espalier/launch/recipes"
)

// trainFlags are the flags of train that are not keys of the job.
type trainFlags struct {
	list, resume, fresh, quiet, verbose bool
	sets                                []string
	metrics                             string // address for Prometheus
}

// add makes them flags of a command, with those that stand for keys of the job.
func (f *trainFlags) add(c *cobra.Command) {
	fl := c.Flags()
	for _, j := range jobFlags {
		fl.String(j.flag, "", j.help)
	}
	fl.Bool("strict", true, "same bits for any number of workers")
	fl.StringArrayVar(&f.sets, "set", nil, "set a key of the job, `KEY=VALUE`; may be repeated")
	fl.BoolVar(&f.resume, "resume", false, "only go on with a run; fail if there is nothing to go on with")
	fl.BoolVar(&f.fresh, "fresh", false, "discard what the run folder holds and start from the beginning")
	fl.BoolVarP(&f.quiet, "quiet", "q", false, "no progress, only the result")
	fl.BoolVarP(&f.verbose, "verbose", "v", false, "log to standard error in detail")
	fl.StringVar(&f.metrics, "metrics", "", "serve figures for Prometheus at `HOST:PORT`; with several workers")
	c.MarkFlagsMutuallyExclusive("resume", "fresh")
}

// jobFlags are flags that stand for keys of the job.
var jobFlags = []struct{ flag, key, help string }{
	{"nproc", "run.nproc", "number `N` of worker processes, or auto"},
	{"threads", "run.threads", "number `N` of threads of a worker, or auto"},
	{"seed", "seed", "seed `N` that all random numbers follow from"},
	{"run-dir", "run.dir", "run folder `DIR`, instead of runs/NAME"},
	{"data", "data.dir", "folder `DIR` of data sets"},
}

func (a *app) trainCommand() *cobra.Command {
	var f trainFlags
	c := &cobra.Command{
		Use:   "train JOB",
		Short: "Train a network, or go on training it",
		Long: `Train runs a job: a job file, the name of a recipe (see --list), or a run folder.

A run lives in its run folder, runs/NAME unless the job or --run-dir says
otherwise. If the folder holds the same job, the run goes on from its newest
checkpoint and ends with the same bits as if it had never been stopped; a
finished run is only reported. A folder that holds another job is refused.

SIGINT and SIGTERM save the state and stop; a second signal kills.
` + exitHelp,
		Example: `  espalier train digits
  espalier train job.yaml --nproc 2 --seed 7 --set train.epochs=3
  espalier train runs/digits            go on with a run`,
		Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return recipes.Names(), cobra.ShellCompDirectiveDefault
		},
	}
	f.add(c)
	c.Flags().BoolVar(&f.list, "list", false, "list the recipes")
	c.Flags().Bool("compare", false, "also train the full-size network from scratch")
	c.RunE = func(c *cobra.Command, args []string) error {
		if f.list {
			return a.listRecipes()
		}
		if len(args) == 0 {
			return usage("train what? name a job file or a recipe: %s", strings.Join(recipes.Names(), ", "))
		}
		sets, err := settings(c, f.sets)
		if err != nil {
			return err
		}
		job, err := loadJob(args[0], sets)
		if err != nil {
			return err
		}
		t := &training{app: a, flags: f}
		return t.run(c.Context(), job)
	}
	return c
}

// settings collects the flags that set keys of the job. --set comes last and
// so wins.
func settings(c *cobra.Command, texts []string) ([]config.Set, error) {
	var sets []config.Set
	add := func(flag, key string) {
		if f := c.Flags().Lookup(flag); f != nil && f.Changed {
			v := f.Value.String()
			if abs, err := filepath.Abs(v); flag == "data" && err == nil {
				v = abs // the run may be gone on with from elsewhere
			}
			sets = append(sets, config.Set{Flag: fmt.Sprintf("--%s %s", flag, v), Key: key, Value: v})
		}
	}
	for _, j := range jobFlags {
		add(j.flag, j.key)
	}
	add("strict", "train.strict")
	add("compare", "compare.fixed")
	for _, text := range texts {
		s, err := config.ParseSet(text)
		if err != nil {
			return nil, usage("%w", err)
		}
		sets = append(sets, s)
	}
	return sets, nil
}

func (a *app) listRecipes() error {
	type recipe struct {
		Name  string `json:"name"`
		Title string `json:"title"`
		Head  string `json:"head"`
	}
	var all []recipe
	width := 0
	for _, n := range recipes.Names() {
		r, _ := recipes.Get(n)
		all = append(all, recipe{r.Name, r.Title, r.Head})
		width = max(width, len(n))
	}
	for _, r := range all {
		fmt.Fprintf(a.out(), "%-*s  %s\n", width, r.Name, r.Title)
	}
	a.result = map[string]any{"recipes": all}
	return nil
}
