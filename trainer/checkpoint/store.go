package checkpoint

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Store is a folder of checkpoints, by convention <run>/checkpoints. The
// zero value of the other fields is right for most. One process at a time may
// save and prune; reading needs no care.
type Store struct {
	Dir   string // made when missing
	Files int    // state files per checkpoint that Save writes; 0 is 1
	FS    FS     // nil is the operating system's
}

// Save writes a checkpoint of s into dir and returns when it is durable.
func Save(dir string, s State) error {
	_, err := Store{Dir: dir}.Save(s)
	return err
}

// Load reads the checkpoint in the folder path and verifies every sum.
func Load(path string) (State, error) { return Store{}.Load(path) }

// Latest returns the newest complete and verified checkpoint in dir: see
// Store.Latest.
func Latest(dir string) (path string, skipped []error, err error) { return Store{Dir: dir}.Latest() }

// Prune keeps the newest keep checkpoints in dir: see Store.Prune.
func Prune(dir string, keep int) error { return Store{Dir: dir}.Prune(keep) }

func (s Store) fs() FS {
	if s.FS == nil {
		return osFS{}
	}
	return s.FS
}

// Save writes a checkpoint of st and returns its path when it is durable. On
// an error the earlier checkpoints are as they were; what was begun is
// removed as far as the disk allows.
//
// A step that is saved again (after a damaged checkpoint, for instance) gets
// a folder of its own, step-….1, so that nothing is replaced in place; Prune
// removes the older one.
func (s Store) Save(st State) (path string, err error) {
	if err := st.Meta.check(); err != nil {
		return "", err
	}
	d, err := s.Draft(st.Meta.Step)
	if err != nil {
		return "", err
	}
	groups := split(st.Tensors, max(s.Files, 1))
	parts := make([]Part, len(groups))
	for i, group := range groups {
		if parts[i], err = s.WritePart(d.Folder(), i, len(groups), group); err != nil {
			d.Abort()
			return "", err
		}
	}
	return d.Commit(st.Meta, parts)
}

// split cuts tensors into n consecutive groups of about equal bytes.
func split(tensors []Tensor, n int) [][]Tensor {
	total, pos, from := 0, 0, 0
	for _, t := range tensors {
		total += len(t.Data)
	}
	groups := make([][]Tensor, n)
	for i := range groups {
		to := from
		for to < len(tensors) && (i == n-1 || pos*n < total*(i+1)) {
			pos += len(tensors[to].Data)
			to++
		}
		groups[i] = tensors[from:to]
		from = to
	}
	return groups
}

// place is a checkpoint's folder by its name. A step saved more than once
// has places with rising rev.
type place struct {
	step uint64
	rev  int
}

func (p place) String() string {
	if p.rev == 0 {
		return fmt.Sprintf("step-%08d", p.step)
	}
	return fmt.Sprintf("step-%08d.%d", p.step, p.rev)
}

// parsePlace accepts exactly the names that String makes.
func parsePlace(name string) (place, bool) {
	text, ok := strings.CutPrefix(name, "step-")
	if !ok {
		return place{}, false
	}
	digits, rev, _ := strings.Cut(text, ".")
	step, err := strconv.ParseUint(digits, 10, 64)
	p := place{step: step}
	if rev != "" {
		p.rev, _ = strconv.Atoi(rev)
	}
	return p, err == nil && p.String() == name
}

func isTemp(name string) bool {
	return strings.HasPrefix(name, "step-") && strings.Contains(name, tempSep)
}

// list returns the checkpoints by name, newest first, and the temporary
// folders. A missing Dir is empty.
func (s Store) list() (places []place, temps []string, err error) {
	names, err := s.fs().Names(s.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("checkpoints: %w", err)
	}
	for _, name := range names {
		if p, ok := parsePlace(name); ok {
			places = append(places, p)
		} else if isTemp(name) {
			temps = append(temps, name)
		}
	}
	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(b.step, a.step), cmp.Compare(b.rev, a.rev))
	})
	return places, temps, nil
}

// Prune removes checkpoints beyond the newest keep complete ones, and stale
// temporary folders. Complete means here: a valid manifest and files of the
// right size (Latest looks at the data too). Damaged checkpoints and earlier
// saves of a step neither count nor survive, unless they are newer than every
// complete one: then they stay for a person to look at. Without any complete
// checkpoint nothing is removed but temporary folders. What can't be read for
// another reason than damage ends Prune: it never removes on a guess.
func (s Store) Prune(keep int) error {
	if keep < 1 {
		return fmt.Errorf("checkpoints: prune %s: keep %d, want at least 1", s.Dir, keep)
	}
	places, temps, err := s.list()
	if err != nil {
		return err
	}
	if err := s.clean(temps); err != nil {
		return err
	}
	kept := []place{}
	for _, p := range places {
		superseded := len(kept) > 0 && kept[len(kept)-1].step == p.step
		whole := false
		if !superseded && len(kept) < keep {
			if whole, err = s.complete(p); err != nil {
				return err
			}
		}
		switch {
		case whole:
			kept = append(kept, p)
		case len(kept) > 0:
			if err := s.discard(p); err != nil {
				return err
			}
		}
	}
	return nil
}

// complete is the cheap check of Prune.
func (s Store) complete(p place) (bool, error) {
	folder := filepath.Join(s.Dir, p.String())
	m, err := readManifest(s.fs(), folder)
	for i := 0; err == nil && i < len(m.Files); i++ {
		err = sizeIs(s.fs(), filepath.Join(folder, m.Files[i].Name), m.Files[i].Bytes)
	}
	if err != nil {
		err = loadError(folder, err)
		if errors.Is(err, ErrDamaged) {
			return false, nil
		}
		return false, err
	}
	return true, nil
}

func sizeIs(fsys FS, path string, want int64) error {
	src, err := fsys.Open(path)
	if err != nil {
		return err
	}
	defer src.Close()
	if src.Size() != want {
		return fmt.Errorf("%s: %d bytes, the manifest says %d", filepath.Base(path), src.Size(), want)
	}
	return nil
}

// discard removes a checkpoint. It first loses its name, durably, so that one
// removed by half is never taken for a damaged one.
func (s Store) discard(p place) error {
	temp := filepath.Join(s.Dir, p.String()+tempMark())
	err := s.fs().Rename(filepath.Join(s.Dir, p.String()), temp)
	if err == nil {
		err = s.fs().SyncDir(s.Dir)
	}
	if err == nil {
		err = removeFolder(s.fs(), temp)
	}
	if err != nil {
		return fmt.Errorf("checkpoints: remove %s: %w", p, err)
	}
	return nil
}

// clean removes temporary folders: with one writer, all of them are stale.
func (s Store) clean(temps []string) error {
	for _, name := range temps {
		if err := removeFolder(s.fs(), filepath.Join(s.Dir, name)); err != nil {
			return fmt.Errorf("checkpoints: remove stale %s: %w", name, err)
		}
	}
	return nil
}
