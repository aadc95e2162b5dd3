// Package peers holds the programs of others that measurements are set beside,
// each written the way its own documentation has it. Those that a command
// starts by itself are part of the binary.
package peers

import _ "embed" // for the sources

// AllReduceMPI is a rank of OpenMPI, in C (in a folder of its own, as Go has it).
//
//go:embed mpi/allreduce.c
var AllReduceMPI []byte

// AllReduceGloo is a rank of torch.distributed with Gloo, in Python.
//
//go:embed allreduce_gloo.py
var AllReduceGloo []byte
