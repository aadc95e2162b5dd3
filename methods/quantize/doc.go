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
// Packing and integer products are kernels/lowbit's.
package quantize
