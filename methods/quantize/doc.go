// Package quantize gives every input channel of a layer as few bits as the
// loss allows, while the network trains: SONIQ, and the SMOL and SySMOL methods
// that it grew out of (Savarese et al., "Not All Bits have Equal Value",
// NeurIPS 2022; arXiv 2311.14114).
//
// In the noise phase weights carry noise of half a step of the quantizer that
// the channel would have; how much is trained, at a price for every bit. At the
// switch each layer chooses one or two precisions and groups its channels by
// them; in the quantized phase weights and activations are rounded in every
// step, with gradients passed straight through.
//
// The parts, each usable alone:
//
//   - the arithmetic: noise and its price (relaxed.go), the quantizers
//     (quantizer.go, activation.go), from relaxed to whole bits (selection.go),
//     batch norm folded into scales (fold.go).
//
//   - the plan of a run (plan.go), the states beside a weight (layer.go), what
//     is done to them in a step (train.go, round.go) and when (method.go).
//
// In a run:
//
//	plan, err := quantize.NewPlan(quantize.Defaults(), timeline, train.Samples())
//	…
//	cfg.Methods = append(cfg.Methods, quantize.New(plan))
//	res, err := trainer.Train(ctx, cfg, nil)
//
// Promises: what happens at a step is a function of plan and seed, noise
// included, so that any number of ranks ends with the same bits and a run that
// was stopped at any step goes on to them; precision needs no communication;
// at the end of a run the network's own weights are the rounded ones.
//
// Left to others: packed codes and their products (kernels/lowbit); growing and
// thinning, which come first (methods/grow, methods/sparsify).
package quantize
