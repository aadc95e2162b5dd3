package main

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/espalier-ml/espalier/methods/quantize/onnx"
	"github.com/espalier-ml/espalier/trainer/checkpoint"
	"github.com/espalier-ml/espalier/trainer/graph"
)

// exportResult is the JSON object of export.
type exportResult struct {
	File       string `json:"file"`
	Layout     string `json:"layout"`
	Tensors    int    `json:"tensors"`
	Params     int    `json:"params"` // running statistics not counted
	Step       uint64 `json:"step"`
	Checkpoint string `json:"checkpoint"`
}

func (a *app) exportCommand() *cobra.Command {
	var out, layout, dataDir, kind string
	var packed, asONNX bool
	c := &cobra.Command{
		Use:   "export RUN|CHECKPOINT -o FILE",
		Short: "Write a trained network as one file",
		Long: `Export writes parameters and running statistics, without the optimizer's state.
With --packed it writes a quantized run as it is deployed: weights in packed
codes, batch norm folded into their scales; eval and bench infer read it. With
--onnx it writes an ONNX file; of a quantized run --type int8 or int4 keeps the
integers.

Names are those of PyTorch's models. Layouts:
  espalier  as trained: convolutions [kh,kw,in,out], linear maps [in,out]
  pytorch   convolutions [out,in,kh,kw], linear maps [out,in]` + "\n" + exitHelp,
		Example: "  espalier export runs/digits -o digits.safetensors --layout pytorch\n  espalier export runs/digits -o digits.packed --packed\n  espalier export runs/digits -o digits.onnx --onnx --type int8",
		Args:    cobra.ExactArgs(1),
	}
	c.Flags().StringVarP(&out, "output", "o", "", "`FILE` to write")
	c.Flags().BoolVar(&packed, "packed", false, "write packed codes of a quantized run")
	c.Flags().BoolVar(&asONNX, "onnx", false, "write an ONNX file")
	c.Flags().StringVar(&kind, "type", string(onnx.Float), "`TYPE` of weights in an ONNX file: float32, int8 or int4")
	c.Flags().StringVar(&layout, "layout", "espalier", "`LAYOUT`: espalier or pytorch")
	c.Flags().StringVar(&dataDir, "data", "", "folder `DIR` of data sets")
	c.RegisterFlagCompletionFunc("layout", cobra.FixedCompletions([]string{"espalier", "pytorch"}, cobra.ShellCompDirectiveNoFileComp))
	c.RunE = func(c *cobra.Command, args []string) error {
		switch {
		case out == "":
			return usage("name the file to write with -o, such as -o weights.safetensors")
		case layout != "espalier" && layout != "pytorch":
			return usage("--layout %s: want espalier or pytorch", layout)
		case packed && asONNX:
			return usage("--packed and --onnx are two kinds of file: choose one")
		case (packed || asONNX) && c.Flags().Changed("layout"):
			return usage("--packed and --onnx have layouts of their own: leave out --layout")
		case !asONNX && c.Flags().Changed("type"):
			return usage("--type is for --onnx")
		case !slices.Contains([]onnx.Type{onnx.Float, onnx.Int8, onnx.Int4}, onnx.Type(kind)):
			return usage("--type %s: want float32, int8 or int4", kind)
		}
		t, err := a.openTrained(args[0], dataDir)
		if err != nil {
			return err
		}
		switch {
		case packed:
			return a.exportPacked(t, out)
		case asONNX:
			return a.exportONNX(t, out, onnx.Type(kind))
		}
		return a.export(t, out, layout)
	}
	return c
}

func (a *app) export(t *trained, out, layout string) error {
	g, err := t.graph(1)
	if err != nil {
		return err
	}
	var tensors []checkpoint.Tensor
	for _, p := range slices.Concat(g.Params(), g.States()) {
		v, err := t.values(p)
		if err != nil {
			return err
		}
		shape := slices.Clone(p.W.Shape)
		if layout == "pytorch" {
			shape, v = pytorchLayout(p, v)
		}
		tensors = append(tensors, checkpoint.Float32s(p.Name, shape, v))
	}
	meta := map[string]string{"model": t.cfg.Model.Name, "layout": layout, "step": strconv.FormatUint(t.state.Meta.Step, 10), "digest": t.state.Meta.Digest.String()}
	if layout == "pytorch" {
		meta["format"] = "pt"
	}
	if err := checkpoint.Export(out, tensors, meta); err != nil {
		return err
	}
	a.result = &exportResult{out, layout, len(tensors), g.ParamCount(), t.state.Meta.Step, t.path}
	fmt.Fprintf(a.out(), "%s: %d tensors, %d parameters of step %d, layout %s\n", out, len(tensors), g.ParamCount(), t.state.Meta.Step, layout)
	return nil
}

// pytorchLayout turns [kh,kw,in,out] into [out,in,kh,kw] and [in,out] into
// [out,in]. Tables that are looked up by row are alike in both.
func pytorchLayout(p *graph.Param, v []float32) (shape []int, out []float32) {
	s := p.W.Shape
	switch {
	case len(s) == 4:
		return permute(s, []int{3, 2, 0, 1}, v)
	case len(s) == 2 && p.Init != graph.InitStd:
		return permute(s, []int{1, 0}, v)
	}
	return slices.Clone(s), v
}

// permute reorders axes: axis i of the result is axis order[i] of v.
func permute(from, order []int, v []float32) (shape []int, out []float32) {
	strides := make([]int, len(from))
	n := 1
	for i := len(from) - 1; i >= 0; i-- {
		strides[i] = n
		n *= from[i]
	}
	for _, o := range order {
		shape = append(shape, from[o])
	}
	out = make([]float32, n)
	at := make([]int, len(shape))
	for k := range out {
		src := 0
		for i, o := range order {
			src += at[i] * strides[o]
		}
		out[k] = v[src]
		for i := len(at) - 1; i >= 0; i-- {
			if at[i]++; at[i] < shape[i] {
				break
			}
			at[i] = 0
		}
	}
	return shape, out
}
