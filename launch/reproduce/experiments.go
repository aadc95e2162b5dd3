package reproduce

// experiments are all there are, by subject.
var experiments = []Experiment{
	{
		Name: "growing-digits", Title: "Growing on handwritten digits", Seeds: 3, Cost: "1 minute",
		Claim: "A residual network that grows while it trains reaches the quality of the full-size one for less than half of its arithmetic.",
		Arms:  []Arm{{"fixed", "digits", []string{"grow=off"}}, {"grown", "digits", nil}},
	},
	{
		Name: "growing-fashion", Title: "Growing on Fashion-MNIST", Seeds: 3, Data: "fashion-mnist", Cost: "45 minutes",
		Claim: "Within half a point of the full-size network at no more than 60 % of its training FLOPs, in fewer seconds.",
		Arms:  []Arm{{"fixed", "fashion-growing", []string{"grow=off"}}, {"grown", "fashion-growing", nil}},
	},
	{
		Name: "growing-ablation", Title: "What growing owes to its parts", Seeds: 3, Cost: "3 minutes",
		Claim: "Without variance transfer, rate adaptation or paired units growing loses accuracy (Yuan, Savarese, Maire, arXiv 2306.12700).",
		Arms: []Arm{{"grown", "digits", nil}, {"no variance transfer", "digits", []string{"grow.vt=none"}}, {"no rate adaptation", "digits", []string{"grow.lra=none"}},
			{"random units", "digits", []string{"grow.init=random"}}, {"exact transfer", "digits", []string{"grow.vt=exact"}}},
	},
	{
		Name: "sparsify-digits", Title: "Continuous sparsification on handwritten digits", Seeds: 3, Cost: "1 minute",
		Claim: "More than nine weights in ten can go for less than a point (Savarese, Silva, Maire, arXiv 1912.04427).",
		Arms: []Arm{{"dense", "digits-sparse", []string{"sparsify=off"}}, {"pruned, s0 -0.03", "digits-sparse", nil}, {"pruned, s0 0", "digits-sparse", []string{"sparsify.s0=0"}},
			{"ticket, s0 -0.03", "digits-sparse", []string{"sparsify.goal=ticket", "sparsify.epochs=15"}}},
	},
	{
		Name: "quantize-digits", Title: "Learned precision on handwritten digits", Seeds: 3, Cost: "3 minutes",
		Claim: "Less than three bits a weight cost less than a point, and a learned mixture is better than uniform precision of as many bits (Savarese et al., NeurIPS 2022; arXiv 2311.14114).",
		Arms: []Arm{{"float32", "digits-quantized", []string{"quantize=off"}}, {"learned, price 0.1", "digits-quantized", nil}, {"learned, price 1", "digits-quantized", []string{"quantize.price=1"}},
			{"learned, 4-bit activations", "digits-quantized", []string{"quantize.activations=a4"}},
			{"uniform, 2 bits", "digits-quantized", []string{"quantize.rule=uniform", "quantize.bits=2"}}, {"uniform, 1 bit", "digits-quantized", []string{"quantize.rule=uniform", "quantize.bits=1"}}},
	},
	{
		Name: "quantize-fashion", Title: "Learned precision on Fashion-MNIST", Seeds: 3, Data: "fashion-mnist", Cost: "30 minutes",
		Claim: "Less than three bits a weight cost less than a point (arXiv 2311.14114).",
		Arms:  []Arm{{"float32", "fashion-quantized", []string{"quantize=off"}}, {"learned", "fashion-quantized", nil}},
	},
	{
		Name: "joint-digits", Title: "One price for channels and bits on handwritten digits", Seeds: 3, Cost: "1 minute",
		Claim: "Channels that pay for their bytes close or lose bits; prices trace the front of accuracy against bytes (after Savarese, arXiv 2509.00174).",
		Arms: []Arm{{"float32", "digits-joint", []string{"joint=off"}}, {"price 0.003", "digits-joint", []string{"joint.price=0.003"}}, {"price 0.01", "digits-joint", []string{"joint.price=0.01"}},
			{"price 0.03", "digits-joint", nil}, {"price 0.1", "digits-joint", []string{"joint.price=0.1"}}},
		Front: []string{"bytes", "flops"},
	},
	{
		Name: "structured-digits", Title: "Structured sparsification on handwritten digits", Seeds: 3, Cost: "1 minute",
		Claim: "Widths found while training, at a quarter of the forward FLOPs, cost less than a point and no more than 30 % of the training FLOPs (Yuan, Savarese, Maire, arXiv 2007.15353).",
		Arms: []Arm{{"full", "digits-structured", []string{"structured=off"}}, {"restructured", "digits-structured", nil},
			{"from one unit", "digits-structured", []string{"structured.seed=1"}}, {"same draws", "digits-structured", []string{"structured.draws=kept"}}},
	},
	{
		Name: "structured-fashion", Title: "Structured sparsification on Fashion-MNIST", Seeds: 3, Data: "fashion-mnist", Cost: "45 minutes",
		Claim: "What widths found while training cost at a quarter of the forward FLOPs and no more than 30 % of the training FLOPs (arXiv 2007.15353). The goal is a point; three epochs cost four.",
		Arms:  []Arm{{"full", "fashion-structured", []string{"structured=off"}}, {"restructured", "fashion-structured", nil}},
	},
	{
		Name: "avagrad-decoupling", Title: "AvaGrad: learning rate and eps decouple", Seeds: 1, Cost: "5 minutes",
		Claim: "For AvaGrad the best learning rate does not depend on eps; for Adam it does, in proportion (Savarese et al., arXiv 1912.01823).",
		Arms:  []Arm{{"avagrad", "digits-optim", []string{"optim.name=avagrad"}}, {"adam", "digits-optim", []string{"optim.name=adam"}}},
		Sweep: []Axis{{"optim.eps", []string{"1e-8", "1e-4", "0.01", "0.1", "1", "10"}}, {"optim.lr", []string{"0.0001", "0.001", "0.01", "0.1", "1", "10"}}},
	},
	{
		Name: "sharing-fashion", Title: "Sharing templates on Fashion-MNIST", Seeds: 3, Data: "fashion-mnist", Cost: "60 minutes",
		Claim: "A wide residual network whose blocks mix their weights from one template a stage has less than half of the parameters and half a point less accuracy at most (Savarese and Maire, arXiv 1902.09701).",
		Arms:  []Arm{{"unshared", "fashion-sharing", []string{"model.name=wrn-28-1"}}, {"one template", "fashion-sharing", nil}, {"two templates", "fashion-sharing", []string{"model.name=swrn-28-1-2"}}},
	},
}
