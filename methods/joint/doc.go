// Package joint gives every input channel of a layer no bits, few bits or many,
// as a price on bytes or arithmetic allows, while the network trains: pruning
// and precision as one relaxed variable (Savarese, "Principled Approximation
// Methods for Efficient and Scalable Deep Learning", 2025, arXiv 2509.00174:
// both relax a count through a sigmoid; the joint form is ours).
//
// A channel has a gate k = σ(βs₀), as in methods/sparsify, whose temperature β
// rises until the channel is there or not, and a precision p = 1 - log₂σ(s), as
// in methods/quantize, trained with noise of half a step. In expectation it
// takes k·p bits a weight, and the objective is
//
//	loss + λ · Σ_c n_c·u_c·σ(βs₀_c)·p(s_c)
//
// with n_c the weights of a channel and u_c what one costs: 1 for bytes, the
// multiply-adds of a sample for arithmetic. The templates of a bank
// (methods/share) have channels like any weight and pay once, however many
// layers mix them. At the switch channels with s₀ ≤ 0 are gone, and the
// others of a layer share two precisions: its palette is {0, lo, hi}.
//
// The parts, each usable alone:
//
//   - the arithmetic of a channel (variable.go);
//   - the plan of a run and what weights cost (plan.go);
//   - the states beside a weight (layer.go), what is done to them in a step
//     (train.go, round.go) and when (method.go); what is left (size.go).
//
// In a run:
//
//	plan, err := joint.NewPlan(joint.Defaults(), model, timeline, train.Samples())
//	…
//	cfg.Methods = append(cfg.Methods, joint.New(plan))
//	res, err := trainer.Train(ctx, cfg, nil)
//
// Promises: what happens at a step is a function of plan, seed and summed
// gradients, so that any number of ranks ends with the same bits and a run that
// was stopped at any step goes on to them; channels need no communication; at
// the end of a run the network's own weights are the rounded ones, with zeros
// where channels are gone.
//
// Left to others: growing, which comes first (methods/grow); several prices
// beside each other and their front (launch/reproduce). Thinning and
// quantizing by themselves exclude this method.
package joint
