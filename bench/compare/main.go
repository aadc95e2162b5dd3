// Command compare measures our training steps against a peer's. `compare
// step` runs both by turns (ours, peer, ours, peer, …), each in processes of
// its own, and prints medians and ratios as Markdown; `compare losses` trains
// the same weights on the same batch on both sides and compares the losses.
//
//	go run ./bench/compare step -models resnet-20,mlp -rounds 3 -o bench/results/step_host_2026-01-31.md
//	go run ./bench/compare losses
//
// It promises equal work on both sides (the number of parameters is compared)
// and leaves measuring itself to package bench/step and to the peer's scripts
// in bench/peers, which need python3 with PyTorch.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/espalier-ml/espalier/bench/step"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case "step":
			return compareSteps(ctx, args[1:])
		case "losses":
			return compareLosses(ctx, args[1:])
		case "measure": // ours alone; also this program when step.Run starts it
			return step.Main(ctx, self, args[1:], os.Stdout)
		}
	}
	return errors.New("want step, losses or measure, see -h of each")
}

// self is how this program reaches step.Main.
var self = []string{"measure"}
