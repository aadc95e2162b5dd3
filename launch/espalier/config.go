package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/espalier-ml/espalier/launch/config"
	"github.com/espalier-ml/espalier/launch/recipes"
)

func (a *app) configCommand() *cobra.Command {
	c := &cobra.Command{Use: "config", Short: "Explain job files", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	c.AddCommand(a.explainCommand())
	return c
}

func (a *app) explainCommand() *cobra.Command {
	var job string
	var sets []string
	c := &cobra.Command{
		Use:   "explain [KEY]",
		Short: "Show every key of a job file, or a job with the origin of every value",
		Long: `Explain prints the schema of job files: every key with its default, range and
meaning, in the form of a job file. With KEY it prints one group or key.

With --job it prints a job as it would run, and where each value came from:
default, recipe, file or flag.` + "\n" + exitHelp,
		Example: "  espalier config explain optim\n  espalier config explain --job digits --set train.epochs=3",
		Args:    cobra.MaximumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) (keys []string, _ cobra.ShellCompDirective) {
			for _, s := range config.Sections() {
				keys = append(keys, s.Key)
			}
			for _, f := range config.Fields() {
				keys = append(keys, f.Key)
			}
			return keys, cobra.ShellCompDirectiveNoFileComp
		},
	}
	c.Flags().StringVar(&job, "job", "", "explain `JOB`: a job file, recipe or run folder")
	c.Flags().StringArrayVar(&sets, "set", nil, "set a key of the job, `KEY=VALUE`; may be repeated")
	c.RegisterFlagCompletionFunc("job", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return recipes.Names(), cobra.ShellCompDirectiveDefault
	})
	c.RunE = func(c *cobra.Command, args []string) error {
		key := ""
		if len(args) > 0 {
			key = args[0]
		}
		if job == "" {
			if len(sets) > 0 {
				return usage("--set needs --job")
			}
			return a.explainSchema(key)
		}
		set, err := settings(c, sets)
		if err != nil {
			return err
		}
		return a.explainJob(job, key, set)
	}
	return c
}

func (a *app) explainSchema(key string) error {
	text, ok := config.Explain(key)
	if !ok {
		return usage("%s", text)
	}
	fmt.Fprint(a.out(), text)
	a.result = map[string]any{"keys": config.Matching(key)}
	return nil
}

func (a *app) explainJob(name, key string, sets []config.Set) error {
	job, err := loadJob(name, sets)
	if err != nil {
		return err
	}
	if _, ok := config.Explain(key); !ok {
		return usage("%s: unknown key; espalier config explain lists all of them", key)
	}
	fmt.Fprint(a.out(), job.ExplainJob(key))
	a.result = map[string]any{"job": name, "values": job.Entries(key)}
	return nil
}
