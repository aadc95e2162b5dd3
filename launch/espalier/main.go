// Command espalier trains networks that grow while they train, on as many
// workers as the machine has room for, with the same bits on any number.
//
//	espalier train digits                 a recipe that is part of the binary
//	espalier train job.yaml --nproc 2     a job file
//	espalier launch digits --nodes 2:3    on several machines; on each of them
//	espalier status runs/digits           how a run stands
//	espalier eval runs/digits             measure what was trained
//	espalier export runs/digits -o w.safetensors
//	espalier config explain               every key of a job file
//
// Every command takes --json and then prints exactly one JSON object on
// standard output, errors included; what is for people goes to standard error.
//
// Exit status:
//
//	0    done
//	1    failed
//	64   the command line, job or data it names cannot work as given
//	75   try again: another process has the run folder, a download was cut, or
//	     the run goes on without this node
//	130  stopped by SIGINT, 143 by SIGTERM; the state is saved
//
// This package is the place that wires the others together: a subcommand a
// file, and of training: run folder (folder.go), one rank (rank.go), many
// (many.go), many nodes (launch.go, site.go), what is shown and returned
// (show.go, result.go).
package main

import (
	"context"
	"os"
)

func main() { os.Exit(execute(context.Background(), os.Args[1:], os.Stdout, os.Stderr)) }
