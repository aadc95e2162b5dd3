// Package reproduce runs the experiments that the methods' pages speak of: a
// few variants of a job, called arms, each for several seeds, and a table that
// compares them with one of the arms, seed by seed.
//
//	e, ok := reproduce.Get("growing-fashion")
//	res, err := reproduce.Run(ctx, e, runner, reproduce.Options{Dir: "runs/reproduce/growing-fashion", Seeds: []uint64{1, 2, 3}})
//	text := res.Table()
//
// Promises: an arm's run is an ordinary run of the job that the table names,
// in a folder of its own; what is finished is not run again, what was stopped
// goes on. Differences and ratios are of pairs with the same seed, so that
// what a seed does to both does not count; seconds are those measured, and a
// ratio of them is only as good as the machine was quiet.
//
// Left to others: training ([Runner], which the command implements).
package reproduce
