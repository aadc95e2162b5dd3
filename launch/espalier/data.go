package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/espalier-ml/espalier/trainer/data"
)

func (a *app) dataCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "data",
		Short: "List, verify and download data sets",
		Long: `Data sets are looked for in the folder given with --data; else in
$ESPALIER_DATA; else in ../shared/data, ./data and the folder for downloads.` + "\n" + exitHelp,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	var dir string
	c.PersistentFlags().StringVar(&dir, "data", "", "folder `DIR` of data sets")
	names := func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return data.Names(), cobra.ShellCompDirectiveNoFileComp
	}
	c.AddCommand(
		&cobra.Command{Use: "list", Short: "List data sets and where they were found", Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error { return a.dataList(dir) }},
		&cobra.Command{Use: "verify [NAME...]", Short: "Compare files with their known checksums", ValidArgsFunction: names,
			Long: "Verify compares the files of the data sets named, or of all that are found, with\ntheir known checksums.",
			RunE: func(c *cobra.Command, args []string) error { return a.dataVerify(c.Context(), dir, args) }},
		&cobra.Command{Use: "get NAME...", Short: "Download data sets, as far as they are not there", ValidArgsFunction: names, Args: cobra.MinimumNArgs(1),
			RunE: func(c *cobra.Command, args []string) error { return a.dataGet(c.Context(), dir, args) }})
	return c
}

// dataSet is an entry of data list.
type dataSet struct {
	Name     string `json:"name"`
	Title    string `json:"title"`
	Licence  string `json:"licence"`
	Embedded bool   `json:"embedded,omitempty"`
	Found    bool   `json:"found"`
	Folder   string `json:"folder,omitempty"`
}

// dataSets tells of every data set whether all of its files are there; their
// content is not looked at.
func dataSets(dir string) (all []dataSet) {
	for _, e := range data.Catalog() {
		s := dataSet{Name: e.Name, Title: e.Title, Licence: e.Licence, Embedded: e.Embedded, Found: e.Embedded}
		if !e.Embedded {
			s.Folder, s.Found = locate(e, dir)
		}
		all = append(all, s)
	}
	return all
}

// locate finds the folder with all files of a data set.
func locate(e data.Entry, dir string) (folder string, found bool) {
	for _, root := range data.Roots(dir) {
		for _, folder := range []string{filepath.Join(root, e.Name), root} {
			missing := slices.ContainsFunc(e.Files, func(f data.File) bool {
				return !slices.ContainsFunc([]string{"", ".gz", ".bz2"}, func(ending string) bool {
					info, err := os.Stat(filepath.Join(folder, f.Name+ending))
					return err == nil && info.Mode().IsRegular()
				})
			})
			if !missing {
				return folder, true
			}
		}
	}
	return "", false
}

func (a *app) dataList(dir string) error {
	all := dataSets(dir)
	for _, s := range all {
		where := s.Folder
		switch {
		case s.Embedded:
			where = "part of the binary"
		case !s.Found:
			where = "missing: espalier data get " + s.Name
		}
		fmt.Fprintf(a.out(), "%-17s %s\n%-17s %s\n", s.Name, s.Title, "", where)
	}
	a.result = map[string]any{"data": all}
	return nil
}

func checkNames(names []string) error {
	for _, n := range names {
		if !slices.Contains(data.Names(), n) {
			return usage("unknown data set %q, want one of %s", n, strings.Join(data.Names(), ", "))
		}
	}
	return nil
}

// verified is the state of the files of a data set.
type verified struct {
	Name  string            `json:"name"`
	Good  bool              `json:"good"`
	Files []data.FileStatus `json:"files"`
}

func (a *app) dataVerify(ctx context.Context, dir string, names []string) error {
	if err := checkNames(names); err != nil {
		return err
	}
	ctx, release := untilSignal(ctx)
	defer release()
	if len(names) == 0 {
		for _, s := range dataSets(dir) {
			if s.Found {
				names = append(names, s.Name)
			}
		}
	}
	var all []verified
	var bad []string
	for _, n := range names {
		files, err := data.Verify(ctx, n, dir)
		if err != nil {
			return err
		}
		v := verified{Name: n, Good: true, Files: files}
		for _, f := range files {
			fmt.Fprintf(a.out(), "%-17s %-28s %-8s %s\n", n, f.File, f.State, f.Detail)
			v.Good = v.Good && f.State == data.Good
		}
		if !v.Good {
			bad = append(bad, n)
		}
		all = append(all, v)
	}
	a.result = map[string]any{"data": all}
	if len(bad) > 0 {
		return fmt.Errorf("not good: %s; fetch with: espalier data get %s", strings.Join(bad, ", "), strings.Join(bad, " "))
	}
	return nil
}

func (a *app) dataGet(ctx context.Context, dir string, names []string) error {
	if err := checkNames(names); err != nil {
		return err
	}
	ctx, release := untilSignal(ctx)
	defer release()
	got := map[string]string{}
	for _, n := range names {
		to, err := data.GetDir(n, dir)
		if err != nil {
			return err
		}
		if err := data.Get(ctx, n, dir, a.transferLine()); err != nil {
			return withCode(exitRetry, fmt.Errorf("get %s: %w", n, err))
		}
		fmt.Fprintf(a.out(), "%s: complete in %s\n", n, to)
		got[n] = to
	}
	a.result = map[string]any{"data": got}
	return nil
}

// transferLine reports downloads at every tenth.
func (a *app) transferLine() data.Progress {
	last := map[string]int64{}
	return func(file string, done, total int64) {
		step := max(total/10, 8<<20)
		if before, ok := last[file]; ok && done-before < step && done != total {
			return
		}
		last[file] = done
		if total > 0 {
			fmt.Fprintf(a.stderr, "%s: %.1f of %.1f MB\n", file, float64(done)/1e6, float64(total)/1e6)
			return
		}
		fmt.Fprintf(a.stderr, "%s: %.1f MB\n", file, float64(done)/1e6)
	}
}
