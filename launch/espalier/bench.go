package main

import (
	"errors"
	"flag"

	"github.com/spf13/cobra"

	"github.com/espalier-ml/espalier/bench/allreduce"
	"github.com/espalier-ml/espalier/bench/step"
)

// benchCommand measures this machine. Package bench/step reads the arguments
// of a measurement itself, because its worker processes are given the same.
func (a *app) benchCommand() *cobra.Command {
	bench := &cobra.Command{
		Use:   "bench",
		Short: "Measure training steps and kernels on this machine",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	bench.AddCommand(a.benchInfer(), &cobra.Command{
		Use:   "step [--model name,…] [--threads n,…] [--workers n,…] [--batch n] [--steps n] [--convolutions] [--json]",
		Short: "Measure training steps; with --json one JSON line a case",
		Example: `  espalier bench step --model resnet-20 --threads 1,2 --json
  espalier bench step --model mlp --workers 2
  espalier bench step --convolutions`,
		DisableFlagParsing: true,
		RunE: func(c *cobra.Command, args []string) error {
			err := step.Main(c.Context(), []string{"bench", "step"}, args, a.stdout)
			switch {
			case errors.Is(err, flag.ErrHelp):
				return nil
			case errors.Is(err, step.ErrUsage):
				return withCode(exitConfig, err)
			}
			return err
		},
	})
	bench.AddCommand(&cobra.Command{
		Use:   "allreduce [--ranks n,…] [--min bytes] [--max bytes] [--turns n] [--only contender,…] [-o page.md]",
		Short: "Measure sums over ranks beside OpenMPI, Gloo and the machine's own limits",
		Example: `  espalier bench allreduce
  espalier bench allreduce --ranks 2 --max 16M --only shm,tcp`,
		DisableFlagParsing: true,
		RunE: func(c *cobra.Command, args []string) error {
			err := allreduce.Main(c.Context(), []string{"bench", "allreduce"}, args, a.stdout)
			switch {
			case errors.Is(err, flag.ErrHelp):
				return nil
			case errors.Is(err, allreduce.ErrUsage):
				return withCode(exitConfig, err)
			}
			return err
		},
	})
	return bench
}
