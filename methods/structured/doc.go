// Package structured grows and prunes whole parts of a network while it
// trains, from a small seed to a budget: filters, LSTM units, attention heads,
// feed-forward units and residual blocks, by Structured Continuous
// Sparsification (Yuan, Savarese, Maire, "Growing Efficient Deep Networks by
// Structured Continuous Sparsification", ICLR 2021, arXiv 2007.15353).
//
//	plan, err := structured.NewPlan(structured.Defaults(), model, timeline, train.Samples())
//	…
//	cfg.Sizes = plan.Initial()
//	cfg.Methods = append(cfg.Methods, structured.New(plan))
//	res, err := trainer.Train(ctx, cfg, nil)
//
// Every component has a trained mask variable s and is present with
// probability σ(βs). Once a period presence is drawn anew and the network is
// rebuilt with what is present; until then a component that is there is
// multiplied by σ(βs). A controller prices components so that the expected
// cost follows a line from the seed to the budget; temperatures rise until
// everything is decided.
//
// The parts, each usable alone:
//
//   - the arithmetic of a component (mask.go) and of the price (controller.go);
//   - what may be there and what it costs (space.go), what is there after a
//     query and at the end (query.go), and when (plan.go);
//   - the method in the training loop (method.go), its masks in the network
//     (gates.go), the change of shape (restructure.go) and the values of what
//     is not there at present (archive.go).
//
// Promises: what happens at a step is a function of plan, seed and reduced
// gradients; masks and queries need no communication; a run that was stopped
// at any step goes on to the same bits, at any number of ranks; memory and
// work of a step are those of what is present; at the end masks are 1, and an
// ordinary network of the same parameters computes the same.
//
// Left to others: carrying what stays and recompiling (trainer).
package structured
