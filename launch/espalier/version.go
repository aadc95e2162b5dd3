package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/espalier-ml/espalier/launch/report"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			e := report.CurrentEnvironment(features())
			fmt.Fprintf(a.out(), "espalier %s, %s, %s/%s\n", e.Version, e.Go, e.OS, e.Arch)
			a.result = map[string]string{"version": e.Version, "go": e.Go, "os": e.OS, "arch": e.Arch}
			return nil
		}}
}
