package field

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Progress follows the records of a node's run: which step was committed when.
// Run with log.every=1 to see every step.
type Progress struct {
	path string
	stop chan struct{}
	done chan struct{}

	mu   sync.Mutex
	last uint64
	at   time.Time
	wake chan struct{} // closed when a step arrives
}

// Follow begins to read the records of a run folder, which may not be there
// yet. Close ends it.
func Follow(dir string) *Progress {
	p := &Progress{path: filepath.Join(dir, "metrics.jsonl"), stop: make(chan struct{}), done: make(chan struct{}), wake: make(chan struct{})}
	go p.read()
	return p
}

// Close ends the reading.
func (p *Progress) Close() {
	close(p.stop)
	<-p.done
}

func (p *Progress) read() {
	defer close(p.done)
	var offset int64
	var part []byte
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-tick.C:
		}
		f, err := os.Open(p.path)
		if err != nil {
			continue
		}
		if info, err := f.Stat(); err == nil && info.Size() < offset {
			offset, part = 0, nil // begun anew
		}
		buf := make([]byte, 64<<10)
		n, _ := f.ReadAt(buf, offset)
		f.Close()
		offset += int64(n)
		part = append(part, buf[:n]...)
		for {
			i := bytes.IndexByte(part, '\n')
			if i < 0 {
				break
			}
			p.line(part[:i])
			part = part[i+1:]
		}
	}
}

func (p *Progress) line(b []byte) {
	var r struct {
		Kind string `json:"kind"`
		Step uint64 `json:"step"`
	}
	if json.Unmarshal(b, &r) != nil || r.Kind != "train" {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.Step > p.last {
		p.last, p.at = r.Step, time.Now()
		close(p.wake)
		p.wake = make(chan struct{})
	}
}

// Last is the newest step seen and when.
func (p *Progress) Last() (step uint64, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last, p.at
}

// Beyond waits until a step after the given one is seen, and returns when that
// was; false if the time is over before.
func (p *Progress) Beyond(step uint64, limit time.Duration) (time.Time, bool) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		p.mu.Lock()
		last, at, wake := p.last, p.at, p.wake
		p.mu.Unlock()
		if last > step {
			return at, true
		}
		select {
		case <-wake:
		case <-timer.C:
			return time.Time{}, false
		}
	}
}
