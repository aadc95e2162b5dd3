// Package emulator runs the CUDA kernels of kernels/cuda/src on the CPU, so
// that their logic is tested on machines without a GPU: g++ compiles the very
// same sources with a header that spells out CUDA's dialect. It is built with
// the tag emulated and needs cgo and g++; without the tag it is empty.
//
//	d := cuda.New(emulator.New(emulator.Options{}))
//
// Promises: __syncthreads waits for all threads of a block and warp
// collectives for all lanes of their mask; a barrier that some threads never
// reach, a mask that names a lane which ended, a wrong number or size of
// arguments and a launch beyond CUDA's limits are errors, never a hang; memory
// that a kernel may not rely on (dynamic shared memory, unused lanes) holds
// NaN; a seed runs threads in a random order, which finds missing barriers.
//
// It says nothing about: speed, registers, races between blocks that the
// memory model of a GPU allows, and the last bit of expf, tanhf and logf.
package emulator
