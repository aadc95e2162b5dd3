// Package onnx writes networks as ONNX files: in float32, and packed ones with
// their weights in the integer types that ONNX has.
//
//	g, err := models.Trace(spec, graph.Config{Sizes: sizes}, 1)
//	file, err := onnx.Encode(g, onnx.Options{Name: "digits", Values: values})
//
// The file has one input "x", images [N,H,W,C] or tokens [N,T], and one output
// "logits"; N is free. In quantized files the weights of packed layers are
// integers with one scale an output (DequantizeLinear), and the inputs of these
// layers are rounded as the packed kernels round them.
//
// Up to 4 bits a level is an odd multiple o of M·2^-p, so that int8 holds it
// with zero point 0, all precisions of a layer under one scale; int4 holds it
// for 1 and 2 bits, and for 4 bits the code q with (2q+1) made of it by an
// addition. ONNX has no half-integer zero points.
//
// Promises: an op that ONNX cannot say, or that is not known here, is an error
// that names it; equal networks give equal bytes.
//
// Left to others: speed, which is the runtime's; the packed kernels are
// kernels/lowbit's.
package onnx
