// Package metrics is the record of a run: what the trainer measured, one JSON
// object a line, in the file metrics.jsonl of the run folder.
//
// The trainer writes it, the report and the progress display read it. Five
// kinds of record exist: [Start], [Train], [Eval], [Event] and [End]. A line
// is self-contained and names its kind first:
//
//	{"kind":"train","step":40,"epoch":0.5,"seconds":1.25,"samples":2560,"loss":0.83,…}
//
// Promises:
//
//   - A record reaches the operating system before Write returns, so killing
//     the process loses none. A line torn by a crash is cut off when the file
//     is opened again, and readers tolerate it.
//   - A resumed run appends. When an event "resume" at step s is read, earlier
//     records of steps after s are forgotten: they belong to a past that did
//     not happen.
//   - NaN and the infinities survive the round trip (see [Number]).
//   - Every other malformed line is an error that names file and line.
//
// Left to others: what is measured and when (trainer), pictures (launch/report),
// and keeping two processes from writing the same file (the run's supervisor).
//
//	w, err := metrics.Open("runs/digits/metrics.jsonl")
//	…
//	err = w.Write(&metrics.Train{Step: 40, Loss: metrics.Number(loss), Samples: 2560})
//	…
//	log, err := metrics.ReadFile("runs/digits/metrics.jsonl")
package metrics

// FileName is the name of the record inside a run folder.
const FileName = "metrics.jsonl"

// Kind says which record a line holds; it is the value of the key "kind".
type Kind string

// The kinds of record.
const (
	KindStart Kind = "start"
	KindTrain Kind = "train"
	KindEval  Kind = "eval"
	KindEvent Kind = "event"
	KindEnd   Kind = "end"
)

// Record is one of *Start, *Train, *Eval, *Event and *End.
type Record interface {
	// Kind names the record's type.
	Kind() Kind
	// At is the number of optimizer steps done when the record was made.
	At() int64

	check() error
}

// Start opens a run. A resumed run may write it again; the last one counts.
type Start struct {
	Step int64 `json:"step"`
	// Time is the wall clock at the start, in seconds since 1970 (UTC).
	Time int64 `json:"time"`
	// Job names the job file, Run the variant of it ("grown", "fixed").
	Job   string `json:"job"`
	Run   string `json:"run"`
	Model string `json:"model"`
	// World is the number of workers, Threads those of each worker, Shards the
	// number of logical shards of the global batch.
	World   int `json:"world"`
	Threads int `json:"threads"`
	Shards  int `json:"shards"`
	// Params counts the trained values now, ParamsFull those at full size.
	Params     int64 `json:"params"`
	ParamsFull int64 `json:"params_full"`
	// Steps and Samples are what the schedule asks for in total.
	Steps   int64 `json:"steps"`
	Samples int64 `json:"samples"`
	// FixedTrainFlops is the planned cost of training the full-size network on
	// the same samples, TrainFlops the planned cost of this run (0: not known).
	FixedTrainFlops Number `json:"fixed_train_flops"`
	TrainFlops      Number `json:"train_flops,omitzero"`
	// Epochs and Stages are the schedule's totals (0: not known).
	Epochs Number `json:"epochs,omitzero"`
	Stages int    `json:"stages,omitzero"`
	// Dims holds the width of every Dim at the start (nil: not known).
	Dims map[string]int `json:"dims,omitempty"`
}

// Train is a measurement of the training loop, over the steps since the one
// before.
type Train struct {
	Step  int64  `json:"step"`
	Epoch Number `json:"epoch"`
	// Seconds of training so far, summed over all attempts of the run.
	Seconds Number `json:"seconds"`
	// Samples seen so far.
	Samples int64 `json:"samples"`
	// Loss per sample (or token), in nats, without regularisation terms.
	Loss Number `json:"loss"`
	// Accuracy in [0, 1]; nil where the task has none (language models).
	Accuracy      *Number `json:"accuracy,omitempty"`
	LR            Number  `json:"lr"`
	SamplesPerSec Number  `json:"samples_per_s"`
	// Flops of training so far (forward and backward), multiply-add = 2.
	Flops    Number `json:"flops"`
	GradNorm Number `json:"grad_norm"`
	// World is the number of workers, Exposed the share of the time that a step
	// took in which the worker that reports did nothing but wait for the others
	// (0: not known).
	World   int    `json:"world,omitzero"`
	Exposed Number `json:"exposed,omitzero"`
}

// Eval is a measurement on held-out data, exact over Count samples.
type Eval struct {
	Step    int64  `json:"step"`
	Epoch   Number `json:"epoch"`
	Seconds Number `json:"seconds"`
	Flops   Number `json:"flops"`
	// Split is the name of the data: "test", "val".
	Split    string  `json:"split"`
	Loss     Number  `json:"loss"`
	Accuracy *Number `json:"accuracy,omitempty"`
	// Count is the number of samples (or tokens) that Loss and Accuracy cover.
	Count int64 `json:"count"`
}

// What an Event can be. Readers show names they do not know as they are.
const (
	EventGrow       = "grow"
	EventCheckpoint = "checkpoint"
	EventResume     = "resume"
	EventReform     = "reform" // the run goes on with other workers, or with the same after a fault
	EventNote       = "note"
)

// Event is something that happened at a step boundary.
type Event struct {
	Step    int64  `json:"step"`
	Seconds Number `json:"seconds"`
	// Event is one of the Event constants, or a method's own word ("prune").
	Event string `json:"event"`
	Text  string `json:"text"`
	// Dims holds the widths after the event; Dims not named keep theirs.
	Dims map[string]int `json:"dims,omitempty"`
	// Params after the event, Batch the global batch after it (0: not said).
	Params int64 `json:"params,omitzero"`
	Batch  int   `json:"batch,omitzero"`
	// TookMS is how long training stood still, in milliseconds.
	TookMS Number `json:"took_ms,omitzero"`
}

// End closes a run that reached its last step.
type End struct {
	Step    int64  `json:"step"`
	Seconds Number `json:"seconds"`
	// TestAccuracy in [0, 1] or ValLoss in nats; nil where it does not apply.
	TestAccuracy    *Number `json:"test_accuracy,omitempty"`
	ValLoss         *Number `json:"val_loss,omitempty"`
	Params          int64   `json:"params"`
	TrainFlops      Number  `json:"train_flops"`
	FixedTrainFlops Number  `json:"fixed_train_flops"`
	Samples         int64   `json:"samples"`
	World           int     `json:"world"`
	// Digest of the final state, in hexadecimal.
	Digest string `json:"digest"`
	// Measures are figures that methods report about the finished network.
	Measures map[string]Number `json:"measures,omitempty"`
}

func (*Start) Kind() Kind { return KindStart }
func (*Train) Kind() Kind { return KindTrain }
func (*Eval) Kind() Kind  { return KindEval }
func (*Event) Kind() Kind { return KindEvent }
func (*End) Kind() Kind   { return KindEnd }

func (r *Start) At() int64 { return r.Step }
func (r *Train) At() int64 { return r.Step }
func (r *Eval) At() int64  { return r.Step }
func (r *Event) At() int64 { return r.Step }
func (r *End) At() int64   { return r.Step }
