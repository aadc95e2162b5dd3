package checkpoint

import (
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
)

// SaverConfig says where and how a Saver writes.
type SaverConfig struct {
	Store
	Keep int           // complete checkpoints to keep, pruned after each save; 0 keeps all
	Log  *zap.Logger   // nil is silent
	Done func(*Report) // called in the background after each save; nil is none
}

// Report tells of one save in the background.
type Report struct {
	Step    uint64
	Path    string // of the checkpoint; empty if it was not written
	Bytes   int64  // of tensors
	Blocked time.Duration
	Took    time.Duration // in the background, from first write to last sync
	Err     error
}

// SaverStats are totals since the Saver was made.
type SaverStats struct {
	Saved      int
	Failed     int
	Superseded int // snapshots given up for a newer one before they were written
	Blocked    time.Duration
}

// NewSaver makes a Saver. Nothing is touched on disk before the first Begin.
func NewSaver(cfg SaverConfig) (*Saver, error) {
	if cfg.Dir == "" {
		return nil, errors.New("checkpoint: saver: no folder given")
	}
	if cfg.Keep < 0 || cfg.Files < 0 {
		return nil, fmt.Errorf("checkpoint: saver: keep %d, files %d, want 0 or more", cfg.Keep, cfg.Files)
	}
	log := cfg.Log
	if log == nil {
		log = zap.NewNop()
	}
	return &Saver{cfg: cfg, log: log.Named("checkpoint")}, nil
}
