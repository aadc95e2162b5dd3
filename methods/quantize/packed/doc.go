// Package packed is a trained network as it is deployed: weights as packed
// codes of 1, 2, 4 and 8 bits, batch norm folded into their scales, integer
// products on activations of 8 or 4 bits.
//
//	n, err := packed.Pack(source, 8)   // from the tensors of a quantized run
//	err = n.Write("digits.packed")
//	…
//	n, err := packed.Read("digits.packed")
//	dev := packed.NewDevice(n, cpu)    // a kernels.Device
//	g, err := n.Trace(rows)            // the network, for batches of rows
//	free, err := n.Place(dev, g)       // what is not packed
//	prog, err := g.Compile(dev)
//
// The device hands everything but packed layers on to another, so a network
// may mix packed layers with any other operation.
//
// Promises: integer sums are exact and every output is rounded once, so equal
// inputs give equal bits for any number of threads, with assembly or without; a
// packed layer differs from the rounded layer of training only by the rounding
// of float32; a damaged file is an error that says what is wrong.
//
// Left to others: training (methods/quantize), kernels (kernels/lowbit), other
// formats (methods/quantize/onnx).
package packed
