package trainer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/shm"
	"github.com/espalier-ml/espalier/kernels/cpu"
	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/data"
	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/metrics"
	"github.com/espalier-ml/espalier/trainer/models"
	"github.com/espalier-ml/espalier/trainer/optim"
)

// meeting decides who trains together, as a cluster would: workers are
// goroutines, a generation forms when all that live wait for it.
type meeting struct {
	t   *testing.T
	ctx context.Context
	// edit changes the configuration of a worker.
	edit func(id int, c *trainer.Config)
	// hook, when set, is called before and, with done, behind every operation
	// of a worker, which are numbered over all of its generations. If it
	// returns true the worker dies there.
	hook func(id, op int, done bool) bool
	// lose, when set, makes an operation of a worker fail that the others may
	// have completed; alter changes what a worker sends to another one.
	lose  func(id int, bucket int32, seq uint64) bool
	alter func(id int, send []byte) []byte
	// open makes communicators; shared memory of this process if nil.
	open func(world int) ([]collective.Comm, error)

	mu      sync.Mutex
	wg      sync.WaitGroup
	next    int
	live    map[int]bool
	leaving map[int]bool
	comms   map[int]collective.Comm // of the generation
	runs    map[int]*trainer.Run
	waiting map[int]chan answer
	n       uint64 // of the generation
	over    bool   // somebody has finished
	results map[int]trainer.Result
	errs    []error
	ops     map[int]int
	worlds  []int // of the generations
	records map[int]*recorder
	log     *observer.ObservedLogs
	logger  *zap.Logger
}

type answer struct {
	comm collective.Comm
	err  error
}

var (
	errKilled = errors.New("killed")
	errOver   = errors.New("the run is complete")
)

func newMeeting(t *testing.T) *meeting {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	core, log := observer.New(zap.InfoLevel)
	return &meeting{t: t, ctx: ctx, log: log, logger: zap.New(core), live: map[int]bool{}, leaving: map[int]bool{}, comms: map[int]collective.Comm{}, runs: map[int]*trainer.Run{},
		waiting: map[int]chan answer{}, results: map[int]trainer.Result{}, ops: map[int]int{}, records: map[int]*recorder{}}
}

// start starts so many workers at once.
func (m *meeting) start(workers int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for range workers {
		m.spawn()
	}
}

// spawn starts a worker. m.mu is held.
func (m *meeting) spawn() {
	id := m.next
	m.next++
	m.live[id], m.records[id] = true, &recorder{}
	cfg := toy(m.t)
	cfg.Group = seat{m, id}
	cfg.Methods = append(cfg.Methods, &widen{at: 3, sizes: full(cfg.Model)})
	cfg.Report, cfg.Log = m.records[id].add, m.logger.With(zap.Int("worker", id))
	if m.edit != nil {
		m.edit(id, &cfg)
	}
	m.wg.Go(func() {
		res, err := trainer.Train(m.ctx, cfg, func(r *trainer.Run) {
			m.mu.Lock()
			m.runs[id] = r
			m.mu.Unlock()
		})
		m.left(id, res, err)
	})
}

// left notes the end of a worker.
func (m *meeting) left(id int, res trainer.Result, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.live, id)
	switch {
	case err == nil:
		m.results[id], m.over = res, true
	case errors.Is(err, trainer.ErrLeft):
		m.results[id] = res
	case !errors.Is(err, errKilled) && !errors.Is(err, errOver):
		m.errs = append(m.errs, fmt.Errorf("worker %d: %w", id, err))
		if c := m.comms[id]; c != nil {
			c.Abort(err)
		}
	}
	m.form()
}

// join adds a worker at the next boundary of those that run.
func (m *meeting) join() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.spawn()
	m.drain()
}

// leave lets a worker go at the next boundary.
func (m *meeting) leave(id int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.leaving[id] = true
	m.drain()
}

func (m *meeting) drain() {
	for id := range m.comms {
		m.runs[id].RequestRegroup()
		break // one is enough: all learn it
	}
}

// die ends a worker at once. m.mu is not held.
func (m *meeting) die(id int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.live, id)
	if c := m.comms[id]; c != nil {
		c.Abort(errKilled) // what a supervisor does
	}
	m.form()
}

// wait waits for all workers.
func (m *meeting) wait() {
	m.t.Helper()
	m.wg.Wait()
	if err := errors.Join(m.errs...); err != nil {
		m.t.Fatal(err)
	}
}

// finished wants every result to be that of an undisturbed run.
func (m *meeting) finished(want trainer.Result) {
	m.t.Helper()
	m.wait()
	n := 0
	for id, got := range m.results {
		if !got.Done {
			continue
		}
		n++
		if got.Digest != want.Digest || got.Flops != want.Flops || got.Eval.Loss != want.Eval.Loss {
			m.t.Errorf("worker %d ends with digest %.8s, %v FLOPs, loss %v; undisturbed %.8s, %v, %v", id,
				got.Digest, got.Flops, got.Eval.Loss, want.Digest, want.Flops, want.Eval.Loss)
		}
	}
	if n == 0 {
		m.t.Error("no worker has finished")
	}
}

// seat is a worker's place at the meeting.
type seat struct {
	m  *meeting
	id int
}

// Form implements trainer.Group.
func (s seat) Form(ctx context.Context, broken error) (collective.Comm, error) {
	m := s.m
	m.mu.Lock()
	delete(m.comms, s.id)
	if m.leaving[s.id] {
		delete(m.live, s.id)
		m.form()
		m.mu.Unlock()
		return nil, trainer.ErrLeft
	}
	if !m.live[s.id] {
		m.mu.Unlock()
		return nil, errKilled
	}
	ch := make(chan answer, 1)
	m.waiting[s.id] = ch
	m.form()
	m.mu.Unlock()
	select {
	case a := <-ch:
		return a.comm, a.err
	case <-ctx.Done():
		return nil, fmt.Errorf("nobody came: %w", context.Cause(ctx))
	}
}

// form begins a generation if all that live wait. m.mu is held.
func (m *meeting) form() {
	if len(m.waiting) == 0 || len(m.waiting) < len(m.live) {
		return
	}
	if m.over {
		for _, ch := range m.waiting {
			ch <- answer{err: errOver}
		}
		clear(m.waiting)
		return
	}
	var ids []int
	for id := range m.waiting {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	open := m.open
	if open == nil {
		open = func(world int) ([]collective.Comm, error) { return shm.NewHeapGroup(world, shm.Options{}) }
	}
	comms, err := open(len(ids))
	m.n++
	m.worlds = append(m.worlds, len(ids))
	for i, id := range ids {
		if err != nil {
			m.waiting[id] <- answer{err: err}
			continue
		}
		m.comms[id] = comms[i]
		m.waiting[id] <- answer{comm: &watched{comms[i], m, id, m.n}}
	}
	clear(m.waiting)
}

// watched calls the meeting's hook around every operation.
type watched struct {
	collective.Comm
	m   *meeting
	id  int
	gen uint64
}

// Info counts generations.
func (w *watched) Info() collective.Info {
	i := w.Comm.Info()
	i.Gen.N = w.gen
	return i
}

// dies asks the hook at an operation, and if it says so the worker dies.
func (w *watched) dies(op int, done bool, wait func()) {
	if w.m.hook == nil || !w.m.hook(w.id, op, done) {
		return
	}
	wait()
	w.m.die(w.id)
}

// number counts the worker's operations.
func (w *watched) number() int {
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	w.m.ops[w.id]++
	return w.m.ops[w.id] - 1
}

func (w *watched) around(op func() error) error {
	n := w.number()
	w.dies(n, false, func() {})
	err := op()
	w.dies(n, true, func() {})
	return err
}

func (w *watched) work(issue func() collective.Work) (work collective.Work) {
	n := w.number()
	w.dies(n, false, func() {})
	work = issue()
	w.dies(n, true, func() { work.Wait(w.m.ctx) }) // the others may have it complete
	return work
}

func (w *watched) SumShards(parts []collective.Buf, shards int, meta collective.OpMeta) collective.Work {
	return w.work(func() collective.Work { return w.Comm.SumShards(parts, shards, meta) })
}

func (w *watched) AllReduce(b collective.Buf, op collective.Op, meta collective.OpMeta) collective.Work {
	return w.work(func() collective.Work {
		work := w.Comm.AllReduce(b, op, meta)
		if w.m.lose != nil && w.m.lose(w.id, meta.Bucket, meta.Seq) {
			work.Wait(w.m.ctx)
			w.Comm.Abort(errors.New("lost"))
			return collective.FailedWork(&collective.AbortError{Reason: "lost"})
		}
		return work
	})
}

func (w *watched) AllGather(in, out collective.Buf, meta collective.OpMeta) collective.Work {
	return w.work(func() collective.Work { return w.Comm.AllGather(in, out, meta) })
}

func (w *watched) Broadcast(b collective.Buf, root collective.Rank, meta collective.OpMeta) collective.Work {
	return w.work(func() collective.Work { return w.Comm.Broadcast(b, root, meta) })
}

func (w *watched) SendRecv(send collective.Buf, to collective.Rank, recv collective.Buf, from collective.Rank, meta collective.OpMeta) collective.Work {
	if w.m.alter != nil && send.Len() > 0 {
		send = collective.Bytes(w.m.alter(w.id, send.Bytes()))
	}
	return w.work(func() collective.Work { return w.Comm.SendRecv(send, to, recv, from, meta) })
}

func (w *watched) Alloc(ctx context.Context, bytes int64) (region collective.Region, err error) {
	err = w.around(func() (err error) { region, err = w.Comm.Alloc(ctx, bytes); return err })
	if err != nil {
		return nil, err
	}
	return &watchedRegion{region, w}, nil
}

type watchedRegion struct {
	collective.Region
	w *watched
}

func (r *watchedRegion) Free(ctx context.Context) error {
	return r.w.around(func() error { return r.Region.Free(ctx) })
}

// toy is a job of ten steps that takes milliseconds: it widens before step 3
// (see widen), has another batch from step 6 on, and is measured every 4.
func toy(t testing.TB) trainer.Config {
	t.Helper()
	im := &data.Images{Name: "toy", N: 40, H: 2, W: 2, C: 1, Classes: 3, Max: 255, Mean: []float32{0.5}, Std: []float32{0.3}}
	for i := range 4 * im.N {
		im.Pix = append(im.Pix, byte(i*i*7+i*13))
	}
	for i := range im.N {
		im.Label = append(im.Label, byte(i*i%3))
	}
	train, err := im.Training(1, data.Augment{})
	if err != nil {
		t.Fatal(err)
	}
	test, err := im.Evaluation()
	if err != nil {
		t.Fatal(err)
	}
	dev, err := cpu.New(cpu.Options{Threads: 1, Spin: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Close() })
	model := models.Spec{Name: "mlp", Hidden: []int{8, 8}, Norm: true, Height: 2, Width: 2, Channels: 1, Classes: 3}
	sizes := graph.Sizes{}
	for n, b := range full(model) {
		sizes[n] = []int{b[0] / 2}
	}
	return trainer.Config{
		Model: model, Sizes: sizes, Seed: 1, Shards: 4, Timeline: []trainer.Phase{{Steps: 6, Batch: 8}, {Steps: 4, Batch: 16}},
		Optim:    optim.Config{Kind: optim.SGD, LR: 0.05, Momentum: 0.9, WeightDecay: 5e-4},
		Schedule: optim.Schedule{Decay: optim.Cosine}, Clip: 5, BucketBytes: 512, EvalRows: 16,
		Train: train, Test: test, Device: dev, EvalEvery: 4,
	}
}

// full are the widths of a model at full size.
func full(m models.Spec) graph.Sizes {
	g, err := models.Trace(m, graph.Config{}, 1)
	if err != nil {
		panic(err)
	}
	s := graph.Sizes{}
	for _, d := range g.Dims() {
		s[d.Name] = []int{d.Full}
	}
	return s
}

// undisturbed is the result of one worker that nothing happens to.
func undisturbed(t *testing.T, edit func(id int, c *trainer.Config)) trainer.Result {
	t.Helper()
	m := newMeeting(t)
	m.edit = edit
	m.start(1)
	m.wait()
	return m.results[0]
}

// masks puts gates on all weights of hidden layers, closes every third of them
// before step 2, and keeps what they close from being sent. It changes values
// at boundaries on its own.
type masks struct{ closed bool }

func (m *masks) Name() string { return "masks" }

func (m *masks) Weight(g *graph.Graph, p *graph.Param, v *graph.Value) *graph.Value {
	if p.In < 0 || p.Out < 0 {
		return v
	}
	return v.Mul(g.Param(p.Name+".gate", graph.ParamSpec{Axes: p.Axes, In: -1, Out: p.Out, Init: graph.InitOne, NoDecay: true, State: true}))
}

func (m *masks) On(e trainer.Event, r *trainer.Run) error {
	if e != trainer.Boundary || r.Step < 2 {
		return nil
	}
	gates := map[string][]float32{}
	for _, p := range r.Graph().States() {
		gates[p.Name] = make([]float32, p.W.Len())
		if err := r.Device().ReadF32(p.W, gates[p.Name]); err != nil {
			return err
		}
		if g := gates[p.Name]; !m.closed && len(p.Name) > 5 && p.Name[len(p.Name)-5:] == ".gate" {
			for i := 0; i < len(g); i += 3 {
				g[i] = 0
			}
			if err := r.Device().WriteF32(p.W, g); err != nil {
				return err
			}
		}
	}
	m.closed = true
	if r.Packed() {
		return nil
	}
	return r.Pack(func(p *graph.Param) (kept []bool) {
		for _, g := range gates[p.Name+".gate"] {
			kept = append(kept, g != 0)
		}
		return kept
	})
}

func (m *masks) Save() (json.RawMessage, error) { return json.Marshal(m.closed) }
func (m *masks) Load(b json.RawMessage) error   { return json.Unmarshal(b, &m.closed) }

// watcher calls a function at every boundary and changes nothing.
type watcher func(r *trainer.Run)

func (o watcher) Name() string { return "watcher" }
func (o watcher) On(e trainer.Event, r *trainer.Run) error {
	if e == trainer.Boundary {
		o(r)
	}
	return nil
}
func (o watcher) Save() (json.RawMessage, error) { return nil, nil }
func (o watcher) Load(json.RawMessage) error     { return nil }
func (o watcher) Changes(uint64) bool            { return false }

// count is how many records of an event a worker has reported.
func (m *meeting) count(event string) (n int) {
	for _, r := range m.records {
		for _, x := range r.list {
			if e, ok := x.(*metrics.Event); ok && e.Event == event {
				n++
			}
		}
	}
	return n
}

// corrupt changes one weight of a worker's network.
func corrupt(r *trainer.Run, by float32) error {
	p := r.Graph().Params()[0]
	v := make([]float32, p.W.Len())
	err := r.Device().ReadF32(p.W, v)
	v[0] += by
	return errors.Join(err, r.Device().WriteF32(p.W, v))
}
