package cuda

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/philox"
)

// executable is a list of launches and marks bound to memory.
type executable struct {
	d     *Device
	steps []step
	buf   kernels.Buffer // env, constants, scratch
	env   [envBytes]byte
}

// step is a launch or, without one, a mark.
type step struct {
	Launch
	what string // the op and its operands, for messages
	mark int
}

// Run implements kernels.Executable.
func (x *executable) Run(env *kernels.Env, onMark func(id int)) error {
	if x.buf == nil {
		return errors.New("cuda: executable is closed")
	}
	x.d.mu.Lock()
	defer x.d.mu.Unlock()
	driver := x.d.driver
	putEnv(&x.env, env)
	if err := driver.ToDevice(x.buf.(*Buffer).addr, x.env[:]); err != nil {
		return fmt.Errorf("cuda: start of a run: %w", err)
	}
	for i := range x.steps {
		s := &x.steps[i]
		switch {
		case s.Kernel != "":
			if err := driver.Launch(&s.Launch); err != nil {
				return fmt.Errorf("cuda: %s: kernel %s: %w", s.what, s.Kernel, err)
			}
		case onMark != nil:
			if err := driver.Synchronize(); err != nil {
				return fmt.Errorf("cuda: before mark %d: %w", s.mark, err)
			}
			onMark(s.mark)
		}
	}
	if err := driver.Synchronize(); err != nil {
		return fmt.Errorf("cuda: end of a run: %w", err)
	}
	return nil
}

// Scratch implements kernels.Executable.
func (x *executable) Scratch() int {
	if x.buf == nil {
		return 0
	}
	return x.buf.Bytes()
}

// Close frees the executable's memory.
func (x *executable) Close() error {
	if x.buf == nil {
		return nil
	}
	buf := x.buf
	x.buf, x.steps = nil, nil
	return buf.Close()
}

// envBytes is the size of struct Env of src/cuda.cuh.
const envBytes = 64

// putEnv lays env out like struct Env.
func putEnv(b *[envBytes]byte, env *kernels.Env) {
	dropout, activation := philox.NewKey(env.Seed, "dropout"), philox.NewKey(env.Seed, "activation")
	for i, w := range [...]uint32{
		math.Float32bits(env.GradScale), math.Float32bits(env.Rate),
		math.Float32bits(env.GradFactor), math.Float32bits(env.WeightDecay),
		uint32(env.Shard), uint32(env.Step),
		dropout[0], dropout[1], activation[0], activation[1],
	} {
		binary.LittleEndian.PutUint32(b[4*i:], w)
	}
}
