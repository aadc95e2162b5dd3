// Package config is the job file: the one schema of what a run is made of.
//
// A job is YAML. The structs of this file are the schema: their tags give
// every key its default, range and meaning, and reading, checking, explaining,
// storing and hashing a job all follow from them.
//
//	name: digits
//	data:  {name: optdigits}
//	model: {name: resnet-8, base: 8}
//	train: {epochs: 10, batch: 64}
//
// Promises:
//
//   - Strict: an unknown key, a wrong type, a value out of range, a key that
//     the chosen model or optimizer does not know, and a combination that
//     cannot work are errors that name file, line, column, key and remedy. All
//     are reported at once.
//   - Every key has a default, and [Resolved] knows where each value came
//     from: default, recipe, file or flag.
//   - [Job.Hash] covers exactly what changes numbers. Threads, workers,
//     folders and intervals are not part of it, so a run may be continued with
//     others.
//
// Left to others: opening data and starting workers (launch/espalier).
//
//	r, err := config.Load("digits.yaml", config.Set{Flag: "--set train.epochs=3", Key: "train.epochs", Value: "3"})
//	…
//	cfg, err := r.Fit(set) // a trainer.Config, checked against the data
package config

// Job is a job. The zero Job is not valid: Load and Parse fill in defaults.
//
// Tags: yaml is the key. doc is its meaning. default is the value of a key
// that is not given, "X for a b | Y for c" where it depends on the key that by
// names; a key without a default for the chosen a, b or c does not exist there.
// is bounds numbers, of lists words. free marks what changes no number.
type Job struct {
	Name string `yaml:"name" free:"yes" doc:"name of the run; empty: that of the file or recipe"`
	Seed uint64 `yaml:"seed" default:"1" doc:"what all random numbers of the run follow from"`

	Data       Data        `yaml:"data" doc:"what is learned from"`
	Model      Model       `yaml:"model" by:"model.name" doc:"the network at full size"`
	Train      Train       `yaml:"train" doc:"how long, and in what portions"`
	Optim      Optim       `yaml:"optim" by:"optim.name" doc:"the optimizer"`
	Schedule   Schedule    `yaml:"schedule" by:"schedule.decay" doc:"the learning rate over the run"`
	Grow       *Grow       `yaml:"grow" doc:"growth while training; without this group the network is trained at full size, \"grow: {}\" grows it by the defaults"`
	Sparsify   *Sparsify   `yaml:"sparsify" doc:"removing most weights while training, by continuous sparsification"`
	Structured *Structured `yaml:"structured" doc:"growing and pruning filters, units, heads and blocks from a seed to a budget"`
	Quantize   *Quantize   `yaml:"quantize" doc:"few bits a weight, learned while training with noise"`
	Joint      *Joint      `yaml:"joint" doc:"one price on bytes or arithmetic that closes channels and takes bits from the others while training; in place of sparsify, structured and quantize"`
	Share      *Share      `yaml:"share" doc:"pushing layers that mix their weights from templates (model swrn) towards each other"`

	Eval       Eval       `yaml:"eval" doc:"measuring on held-out data"`
	Checkpoint Checkpoint `yaml:"checkpoint" doc:"saving the state"`
	Log        Log        `yaml:"log" doc:"recording the course"`
	Run        Place      `yaml:"run" doc:"where and on how much of the machine"`
	Compare    Compare    `yaml:"compare" doc:"what to train besides"`
}

// Data chooses and prepares the data set.
type Data struct {
	Name    string  `yaml:"name" default:"optdigits" doc:"data set, see espalier data list"`
	Dir     string  `yaml:"dir" free:"yes" doc:"folder of data sets; empty: $ESPALIER_DATA, ../shared/data, ./data and the folder for downloads"`
	Augment Augment `yaml:"augment" doc:"what may happen to a training image"`
	Context int     `yaml:"context" by:"model.name" default:"128 for transformer | 35 for lstm" is:">=1 <=65536" doc:"tokens of a window of text"`
}

// Augment alters training images.
type Augment struct {
	Pad    int  `yaml:"pad" by:"model.name" default:"0 for mlp resnet-* wrn-* swrn-* vgg-* mobilenet" is:">=0 <=64" doc:"pixels added on each side before a crop of the old size at a random place"`
	Flip   bool `yaml:"flip" by:"model.name" default:"false for mlp resnet-* wrn-* swrn-* vgg-* mobilenet" doc:"mirror left and right in half of the draws"`
	Cutout int  `yaml:"cutout" by:"model.name" default:"0 for mlp resnet-* wrn-* swrn-* vgg-* mobilenet" is:">=0 <=256" doc:"side of a square that is blanked, in pixels"`
}

// Model chooses the network and its sizes.
type Model struct {
	Name string `yaml:"name" default:"resnet-8" doc:"mlp, resnet-N (8, 14, 20, 32, 56, 110, 18, 50), wrn-D-K, swrn-D-W-K, vgg-11, vgg-16, mobilenet, lstm, transformer"`

	Base int    `yaml:"base" default:"64 for resnet-18 resnet-50 | 16 for resnet-*" is:">=2 <=4096" doc:"channels of the first stage; later ones double"`
	Stem string `yaml:"stem" default:"auto for resnet-18 resnet-50 mobilenet" of:"auto small large" doc:"how the network begins: small for images up to 64 pixels wide, large for photographs"`

	Hidden []int `yaml:"hidden" default:"[1024, 1024] for mlp" is:">=1 <=65536" doc:"hidden widths"`
	Norm   bool  `yaml:"norm" default:"false for mlp" doc:"batch norm behind every hidden layer"`

	Layers int `yaml:"layers" default:"2 for lstm | 4 for transformer" is:">=1 <=256" doc:"number of layers"`
	Dim    int `yaml:"dim" default:"200 for lstm | 128 for transformer" is:">=2 <=65536" doc:"units of a layer; of a transformer the width of its residual stream"`
	Heads  int `yaml:"heads" default:"0 for transformer" is:">=0 <=1024" doc:"attention heads of a layer; 0 = dim/32"`
	Inner  int `yaml:"inner" default:"0 for transformer" is:">=0 <=262144" doc:"feed-forward width; 0 = 4 dim"`

	Dropout        float64 `yaml:"dropout" default:"0 for mlp wrn-* swrn-* vgg-* lstm transformer" is:">=0 <1" doc:"share of activations dropped in training"`
	LabelSmoothing float64 `yaml:"label_smoothing" default:"0" is:">=0 <1" doc:"share of the target spread over all classes"`
}

// Train says how much training there is.
type Train struct {
	Epochs     float64 `yaml:"epochs" default:"10" is:">0 <=1000000" doc:"passes over the training data; fractions are fine"`
	Batch      int     `yaml:"batch" default:"128" is:">=1 <=1048576" doc:"samples of a step, over all workers"`
	Shards     int     `yaml:"shards" default:"4" is:">=1 <=1024" doc:"logical shards that a batch is cut into; a power of two, a multiple of the workers. Batch norm takes its statistics per shard"`
	Accumulate int     `yaml:"accumulate" default:"1" is:">=1 <=1024" doc:"cuts each shard further, a power of two: less memory, more passes a step"`
	Clip       float64 `yaml:"clip" default:"0" is:">=0" doc:"largest norm of a gradient, longer ones are shortened; 0 = off"`
	Strict     bool    `yaml:"strict" default:"true" doc:"same bits for any number of workers. If false there are as many shards as workers, and results depend on their number"`
}

// Optim chooses the optimizer.
type Optim struct {
	Name        string  `yaml:"name" default:"sgd" of:"sgd csgd adam adamw delayed-adam avagrad avagradw adabound adaboundw" doc:"the optimizer"`
	LR          float64 `yaml:"lr" default:"0.1 for sgd csgd delayed-adam avagrad avagradw | 0.001 for adam adamw adabound adaboundw" is:">0 <=1000" doc:"learning rate before the schedule"`
	Momentum    float64 `yaml:"momentum" default:"0.9 for sgd csgd" is:">=0 <1" doc:"share of the last update that is kept"`
	Nesterov    bool    `yaml:"nesterov" default:"false for sgd" doc:"Nesterov's form of momentum"`
	Dampening   float64 `yaml:"dampening" default:"0 for sgd" is:">=0 <=1" doc:"share of the gradient that momentum leaves out"`
	WeightDecay float64 `yaml:"weight_decay" default:"0.0005 for sgd csgd | 0 for adam delayed-adam avagrad avagradw adabound adaboundw | 0.01 for adamw" is:">=0 <=1" doc:"added to the gradient, or apart from it by the forms whose name ends in w"`
	SpareNorms  bool    `yaml:"spare_norms" default:"false for sgd csgd adam delayed-adam avagrad avagradw adabound adaboundw | true for adamw" doc:"no weight decay on biases and norms"`
	Beta1       float64 `yaml:"beta1" default:"0.9 for adam adamw delayed-adam avagrad avagradw adabound adaboundw" is:">=0 <1" doc:"memory of the mean of gradients"`
	Beta2       float64 `yaml:"beta2" default:"0.999 for adam adamw delayed-adam avagrad avagradw adabound adaboundw" is:">=0 <1" doc:"memory of the mean of squares"`
	Eps         float64 `yaml:"eps" default:"1e-8 for adam adamw adabound adaboundw | 0.1 for delayed-adam avagrad avagradw" is:">0 <=1000000000" doc:"added to the root of the squares"`
	Mode        string  `yaml:"mode" default:"official for delayed-adam avagrad avagradw adabound adaboundw" of:"official paper fresh" doc:"which published form of the optimizer"`
	FinalLR     float64 `yaml:"final_lr" default:"0.1 for adabound adaboundw" is:">0 <=1000" doc:"rate that adabound's bounds close in on"`
	Gamma       float64 `yaml:"gamma" default:"0.001 for adabound adaboundw" is:">0 <=1" doc:"how fast adabound's bounds close in"`
	AMS         bool    `yaml:"ams" default:"false for adabound adaboundw" doc:"never forget a large gradient (AMSBound)"`
}

// Schedule is the factor of the learning rate over the run.
type Schedule struct {
	Decay      string    `yaml:"decay" default:"cosine" of:"constant cosine linear step" doc:"shape of the curve"`
	Warmup     float64   `yaml:"warmup" default:"0" is:">=0 <1" doc:"share of the run over which the rate rises from 0"`
	Floor      float64   `yaml:"floor" default:"0 for cosine linear" is:">=0 <=1" doc:"factor at the end"`
	Milestones []float64 `yaml:"milestones" default:"[0.5, 0.75] for step" is:">0 <1" doc:"shares of the run at which the rate falls"`
	Gamma      float64   `yaml:"gamma" default:"0.1 for step" is:">0 <=1" doc:"factor at each milestone"`
}

// Grow says how the network grows, see methods/grow.
type Grow struct {
	Stages      int       `yaml:"stages" default:"9" is:">=1 <=256" doc:"sizes that the network goes through, the full one included"`
	Start       float64   `yaml:"start" default:"0.25" is:">0 <=1" doc:"share of its full width that the network begins with"`
	Growth      float64   `yaml:"growth" default:"0.2" is:">=0 <=10" doc:"share of the present width that a stage adds"`
	Multipliers []float64 `yaml:"multipliers" default:"[]" is:">0 <=1" doc:"share of the full width in each stage, ending with 1; replaces stages, start and growth"`
	Keep        []string  `yaml:"keep" default:"[]" doc:"widths that are full from the start, by name; * stands for any part: [\"*.heads\"]"`

	Epochs0     float64   `yaml:"epochs0" default:"0" is:">=0 <=1000000" doc:"epochs of the first stage; 0: such that the last stage is a fifth of the run"`
	EpochGrowth float64   `yaml:"epoch_growth" default:"0.2" is:">=0 <=10" doc:"share by which each stage is longer than the one before"`
	Epochs      []float64 `yaml:"epochs" default:"[]" is:">0 <=1000000" doc:"epochs of each stage; replaces epochs0 and epoch_growth"`
	BatchGrowth float64   `yaml:"batch_growth" default:"0" is:">=0 <=10" doc:"share by which the batch of a stage exceeds the next one's; the last has train.batch"`
	Batches     []int     `yaml:"batches" default:"[]" is:">=1 <=1048576" doc:"batch of each stage; replaces batch_growth"`

	VT        string  `yaml:"vt" default:"paper" of:"none paper exact ramp constraint" doc:"variance transfer: what happens to old weights when a layer gets more inputs"`
	RampSteps int     `yaml:"ramp_steps" default:"200" is:">=1 <=1000000000" doc:"steps of the ramp of vt ramp"`
	Init      string  `yaml:"init" default:"pairs" of:"pairs net2net random" doc:"where new units come from"`
	Noise     float64 `yaml:"noise" default:"0.01" is:">=0 <=1" doc:"noise on copies of init net2net, as a share of the deviation of new weights"`

	LRA         string  `yaml:"lra" default:"auto" of:"auto none norm rms lars" doc:"adaptation of the learning rates of sub-networks; auto: norm under sgd, none under adam and adamw"`
	OutRef      float64 `yaml:"out_ref" default:"0" is:">=0 <=1000000" doc:"reference width of the output layer's rate; 0 = its width at the start, that is no factor"`
	Rewarm      float64 `yaml:"rewarm" default:"1" is:">=0.1 <=10" doc:"multiple of the rate that new weights rise to after their event; 1 = off"`
	RewarmSteps int     `yaml:"rewarm_steps" default:"250" is:">=1 <=1000000000" doc:"steps of that rise"`
}

// Sparsify says how the network is thinned, see methods/sparsify.
type Sparsify struct {
	Goal        string   `yaml:"goal" default:"ticket" of:"ticket prune" doc:"ticket: go back to early weights and train what is kept; prune: keep the trained weights"`
	S0          float64  `yaml:"s0" default:"0" is:">=-10 <=10" doc:"where the gates' parameters start: lower removes more; useful from about -0.3 to 0.3"`
	Temperature float64  `yaml:"temperature" default:"200" is:">=1 <=1000000" doc:"temperature at the end of a round"`
	Rise        string   `yaml:"rise" default:"epoch" of:"epoch step" doc:"how often the temperature rises"`
	Penalty     float64  `yaml:"penalty" default:"1e-8" is:">=0 <=1000" doc:"price of a gate in the objective"`
	Scale       string   `yaml:"scale" default:"init" of:"init none" doc:"what an open gate multiplies by: init: rounds begin with gates of exactly 1; none: gates are as the objective is written"`
	Rate        float64  `yaml:"rate" default:"1" is:">=0 <=1000" doc:"factor of the learning rate of gates"`
	Rounds      int      `yaml:"rounds" default:"3" is:">=1 <=1000" doc:"rounds; each goes on from what the one before removed"`
	Epochs      float64  `yaml:"epochs" default:"0" is:">=0 <=1000000" doc:"epochs of a round; 0 divides the run into equal parts"`
	Start       float64  `yaml:"start" default:"0" is:">=0 <=1000000" doc:"epoch of the first round, at the end of growth or later"`
	Rewind      float64  `yaml:"rewind" default:"2" is:">=0 <=1000000" doc:"epoch of the first round whose weights a ticket goes back to"`
	HardEval    bool     `yaml:"hard_eval" default:"false" doc:"measure under the hard mask during rounds too"`
	Layers      []string `yaml:"layers" default:"[]" doc:"weights that get gates, by name; * stands for any part; empty: linear maps and convolutions but classifiers, embeddings, depthwise and 1x1"`
	Skip        []string `yaml:"skip" default:"[]" doc:"weights that get none, by name"`
}

// Quantize says how the network is quantized, see methods/quantize.
type Quantize struct {
	Start       float64  `yaml:"start" default:"0" is:">=0 <=1000000" doc:"epoch at which the noise begins, at the end of growth and thinning or later"`
	Epochs      float64  `yaml:"epochs" default:"0" is:">=0 <=1000000" doc:"epochs of the noise phase, the rest of the run is quantized; 0: half of what start leaves"`
	Price       float64  `yaml:"price" default:"0.1" is:">=0 <=1000" doc:"price of a mean bit a weight in the objective: higher leaves fewer bits"`
	Bits0       float64  `yaml:"bits0" default:"8" is:">1 <=16" doc:"precision at which channels start"`
	Rate        float64  `yaml:"rate" default:"0" is:">=0 <=10" doc:"Adam's rate for precisions; 0: 10 over the steps of the noise phase"`
	Noise       string   `yaml:"noise" default:"calibrated" of:"calibrated smol" doc:"size of the noise: half a step of the quantizer deployed, or of the published grid over [-2, 2]"`
	Scale       string   `yaml:"scale" default:"row" of:"row tensor" doc:"weights that share a scale: those of an output, or all of a layer"`
	Rule        string   `yaml:"rule" default:"two" of:"two sysmol uniform" doc:"whole bits at the switch: one or two levels a layer; 1, 2 or 4 a channel; the same everywhere"`
	Bits        int      `yaml:"bits" default:"4" is:">=1 <=8" doc:"bits of rule uniform: 1, 2, 4 or 8"`
	Group       int      `yaml:"group" default:"32" is:">=1 <=1048576" doc:"channels of a layer's higher level come in multiples of it"`
	Activations string   `yaml:"activations" default:"a8" of:"a8 a4 none" doc:"how the inputs of quantized layers are rounded"`
	Layers      []string `yaml:"layers" default:"[]" doc:"weights that are quantized, by name; * stands for any part; empty: linear maps and convolutions but embeddings, depthwise, recurrent, and those of images"`
	Skip        []string `yaml:"skip" default:"[]" doc:"weights that are not, by name"`
}

// Joint says how channels are priced, see methods/joint.
type Joint struct {
	Start       float64  `yaml:"start" default:"0" is:">=0 <=1000000" doc:"epoch at which gates and noise begin, at the end of growth or later"`
	Epochs      float64  `yaml:"epochs" default:"0" is:">=0 <=1000000" doc:"epochs of the search, the rest of the run trains what is left, rounded; 0: half of what start leaves"`
	Price       float64  `yaml:"price" default:"0.03" is:">=0 <=1000" doc:"price of a mean bit a weight in the objective: higher leaves fewer channels and fewer bits"`
	Cost        string   `yaml:"cost" default:"bytes" of:"bytes flops" doc:"what a bit of a weight costs: the same everywhere, or as much as the multiply-adds that use it"`
	Gate        float64  `yaml:"gate" default:"0.2" is:">=0.001 <=10" doc:"where the gates' variables start: lower closes more"`
	Temperature float64  `yaml:"temperature" default:"200" is:">=1 <=1000000" doc:"temperature of the gates at the end of the search"`
	Bits0       float64  `yaml:"bits0" default:"8" is:">1 <=16" doc:"precision at which channels start"`
	Rate        float64  `yaml:"rate" default:"0" is:">=0 <=10" doc:"Adam's rate for precisions; 0: 10 over the steps of the search"`
	GateRate    float64  `yaml:"gate_rate" default:"0" is:">=0 <=10" doc:"Adam's rate for gates; 0: 1 over the steps of the search"`
	Group       int      `yaml:"group" default:"32" is:">=1 <=1048576" doc:"channels of a layer's higher level come in multiples of it"`
	Activations string   `yaml:"activations" default:"a8" of:"a8 a4 none" doc:"how the inputs of priced layers are rounded"`
	Layers      []string `yaml:"layers" default:"[]" doc:"weights that are priced, by name; * stands for any part; empty: linear maps, convolutions and templates, but embeddings, depthwise, recurrent, and those of images"`
	Skip        []string `yaml:"skip" default:"[]" doc:"weights that are not, by name"`
}

// Share says how layers are made alike, see methods/share.
type Share struct {
	Recurrence float64 `yaml:"recurrence" default:"0" is:">=0 <=1000" doc:"weight of the similarity of layers in the objective; 0 only reports it"`
}

// Structured says how the network is restructured, see methods/structured.
// Shares of the run count from start on.
type Structured struct {
	Budget float64 `yaml:"budget" default:"0.25" is:">=0.0001 <=1" doc:"cost of the finished network as a share of that of the full one"`
	Cost   string  `yaml:"cost" default:"flops" of:"flops params" doc:"what the budget counts"`
	Seed   int     `yaml:"seed" default:"1" is:">=0 <=1048576" doc:"units that every width begins with; 0 begins with all, and the network is only pruned"`
	Start  float64 `yaml:"start" default:"0" is:">=0 <=1000000" doc:"epoch from which on components come and go; later than 0 only with seed 0"`
	Period float64 `yaml:"period" default:"1" is:">0 <=1000000" doc:"epochs between queries of what is there"`

	Controller string  `yaml:"controller" default:"ref" of:"ref paper" doc:"how the price follows the budget: ref: along a reference from the seed to the budget; paper: the published rule, which swings"`
	Gain       float64 `yaml:"gain" default:"0.5" is:">=0 <=1000" doc:"how strongly"`
	Every      int     `yaml:"every" default:"20" is:">=1 <=1000000000" doc:"steps between prices of controller ref"`
	Ramp       float64 `yaml:"ramp" default:"0.5" is:">=0 <=1" doc:"share of the run in which the reference reaches the budget"`
	Harden     float64 `yaml:"harden" default:"0.75" is:">=0 <=1" doc:"share of the run from which on everything is being decided"`
	Final      float64 `yaml:"final" default:"0.9" is:">0 <1" doc:"share of the run from which on the structure is final"`

	On          float64 `yaml:"on" default:"1" is:">=-10 <=10" doc:"where the mask variables of the seed start"`
	Off         float64 `yaml:"off" default:"-3" is:">=-10 <=10" doc:"where all others start"`
	Temperature float64 `yaml:"temperature" default:"100" is:">=1 <=1000000" doc:"what temperatures reach from 1"`
	Global      bool    `yaml:"global" default:"false" doc:"one temperature for all instead of one for each component"`
	Draws       string  `yaml:"draws" default:"fresh" of:"fresh kept" doc:"random numbers of the queries: new ones each time, or one a component for the whole run"`

	Rate     float64 `yaml:"rate" default:"0.1" is:">=0 <=1000" doc:"learning rate of mask variables"`
	Momentum float64 `yaml:"momentum" default:"0.9" is:">=0 <1" doc:"their momentum"`
	Decay    float64 `yaml:"decay" default:"1e-6" is:">=0 <=1" doc:"their weight decay"`

	Attach  string   `yaml:"attach" default:"zero" of:"zero random" doc:"weights that lead out of a new unit: zero: what is computed stays"`
	Tile    int      `yaml:"tile" default:"1" is:">=1 <=256" doc:"widths are multiples of it once the reference has reached the budget"`
	Blocks  bool     `yaml:"blocks" default:"true" doc:"residual blocks may be switched off"`
	Streams bool     `yaml:"streams" default:"false" doc:"residual streams may shrink too"`
	Dims    []string `yaml:"dims" default:"[]" doc:"widths that change, by name; * stands for any part; empty: all but residual streams and embeddings"`
	Skip    []string `yaml:"skip" default:"[]" doc:"widths that do not, by name"`
}

// Eval says when to measure.
type Eval struct {
	Every float64 `yaml:"every" default:"1" is:">=0" free:"yes" doc:"epochs between evaluations; 0 = only at the end"`
	Rows  int     `yaml:"rows" default:"256" is:">=1 <=65536" free:"yes" doc:"samples evaluated at once"`
}

// Checkpoint says when to save.
type Checkpoint struct {
	Every float64 `yaml:"every" default:"1" is:">=0" free:"yes" doc:"epochs between checkpoints; 0 = only at the end and on request to stop"`
	Keep  int     `yaml:"keep" default:"2" is:">=1 <=10000" free:"yes" doc:"newest checkpoints that are kept"`

	Memory float64 `yaml:"memory" default:"1" is:">=0 <=86400" free:"yes" doc:"seconds between copies in the node's memory, which outlive its workers; rarer where copies would take more than 2 % of the time; 0 = none"`
}

// Log says what to record.
type Log struct {
	Every int `yaml:"every" default:"50" is:">=1" free:"yes" doc:"steps between records"`
}

// Place is where a run takes place.
type Place struct {
	Dir     string `yaml:"dir" free:"yes" doc:"run folder; empty: runs/NAME"`
	Nproc   Count  `yaml:"nproc" default:"auto" is:">=0 <=64" free:"yes" doc:"worker processes; auto = as many as there are processors, at most one a shard"`
	Threads Count  `yaml:"threads" default:"auto" is:">=0 <=1024" free:"yes" doc:"threads of a worker; auto = its share of the processors"`
	Trace   bool   `yaml:"trace" default:"false" free:"yes" doc:"write every operation of every worker for espalier trace; with several workers"`
}

// Compare asks for more runs.
type Compare struct {
	Fixed bool `yaml:"fixed" default:"false" free:"yes" doc:"also train the ordinary network, of full size and without methods, on the same samples"`
}

// Count is a number that the machine may decide.
type Count int

// Auto leaves the number to the machine.
const Auto Count = 0

// LogicalShards is the number of shards that a batch is cut into when there
// are nproc workers.
func (j *Job) LogicalShards(nproc int) int {
	if j.Train.Strict {
		return j.Train.Shards * j.Train.Accumulate
	}
	return nproc * j.Train.Accumulate
}
