package checkpoint

import (
	"crypto/sha256"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
)

// Draft is a checkpoint being written: a temporary folder that Commit turns
// into the checkpoint. Save does all of it; when several processes hold the
// state, one of them makes the draft, each calls WritePart for its tensors on
// the draft's folder, and the maker commits their Parts.
type Draft struct {
	store  Store
	step   uint64
	folder string
}

// Draft removes what earlier processes left unfinished and begins a
// checkpoint of a step.
func (s Store) Draft(step uint64) (*Draft, error) {
	if err := ensureDir(s.fs(), s.Dir); err != nil {
		return nil, fmt.Errorf("checkpoints: %w", err)
	}
	_, temps, err := s.list()
	if err != nil {
		return nil, err
	}
	if err := s.clean(temps); err != nil {
		return nil, err
	}
	d := &Draft{store: s, step: step, folder: filepath.Join(s.Dir, place{step: step}.String()+tempMark())}
	if err := s.fs().Mkdir(d.folder); err != nil {
		return nil, fmt.Errorf("checkpoint: step %d: %w", step, err)
	}
	return d, nil
}

// Folder is where the parts go.
func (d *Draft) Folder() string { return d.folder }

// WritePart writes part i of n of a checkpoint into a draft's folder and
// returns when its content is durable. The sums are taken beside the writing.
func (s Store) WritePart(folder string, i, n int, tensors []Tensor) (Part, error) {
	part := Part{Name: partName(i, n)}
	head, order, err := encodeHead(tensors, map[string]string{"espalier": manifestFormat + " " + strconv.Itoa(manifestVersion)})
	if err != nil {
		return Part{}, fmt.Errorf("checkpoint: %s: %w", part.Name, err)
	}
	records := make(chan []Record, 1)
	go func() {
		list := make([]Record, len(tensors))
		for i, t := range tensors {
			list[i] = record(t)
		}
		records <- list
	}()
	part.Head = sha256.Sum256(head)
	err = writeFile(s.fs(), filepath.Join(folder, part.Name), func(w io.Writer) (err error) {
		part.Bytes, err = writeTensors(w, head, order)
		return err
	})
	part.Tensors = <-records
	if err != nil {
		return Part{}, fmt.Errorf("checkpoint: write: %w", err)
	}
	return part, nil
}

// Commit writes the manifest and makes the checkpoint visible and durable.
// parts are all parts in their order; meta.Step is the draft's. On an error
// the draft is removed, except when only the last sync failed: then the
// checkpoint is there, but might not outlive a crash of the machine.
func (d *Draft) Commit(meta Meta, parts []Part) (path string, err error) {
	m := manifest{Format: manifestFormat, Version: manifestVersion, Meta: meta, Files: parts}
	if err := d.seal(&m); err != nil {
		d.Abort()
		return "", fmt.Errorf("checkpoint: step %d: %w", d.step, err)
	}
	fsys := d.store.fs()
	path, err = d.freePath()
	if err == nil {
		err = fsys.Rename(d.folder, path)
	}
	if err != nil {
		d.Abort()
		return "", fmt.Errorf("checkpoint: step %d: %w", d.step, err)
	}
	if err := fsys.SyncDir(d.store.Dir); err != nil {
		return "", fmt.Errorf("checkpoint: step %d: %w", d.step, err)
	}
	return path, nil
}

// seal completes the folder: after it, only the name is missing.
func (d *Draft) seal(m *manifest) error {
	if m.Meta.Step != d.step {
		return fmt.Errorf("meta is of step %d", m.Meta.Step)
	}
	if m.Meta.Digest == (Sum{}) {
		var records []Record
		for _, p := range m.Files {
			records = append(records, p.Tensors...)
		}
		m.Meta.Digest = digestRecords(records)
	}
	if err := m.check(); err != nil {
		return err
	}
	text, err := m.encode()
	if err != nil {
		return err
	}
	fsys := d.store.fs()
	err = writeFile(fsys, filepath.Join(d.folder, manifestName), func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
	if err != nil {
		return err
	}
	return fsys.SyncDir(d.folder)
}

// freePath is the first name for the step above those that exist.
func (d *Draft) freePath() (string, error) {
	places, _, err := d.store.list()
	if err != nil {
		return "", err
	}
	p := place{step: d.step}
	for _, have := range places {
		if have.step == d.step {
			p.rev = max(p.rev, have.rev+1)
		}
	}
	return filepath.Join(d.store.Dir, p.String()), nil
}

// Abort removes the draft.
func (d *Draft) Abort() error {
	if err := removeFolder(d.store.fs(), d.folder); err != nil {
		return fmt.Errorf("checkpoint: abort step %d: %w", d.step, err)
	}
	return nil
}
