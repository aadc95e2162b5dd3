package data

import (
	"fmt"
	"slices"
	"strings"

	"go.uber.org/zap"
)

// Dataset is an opened data set: images or text, the other is nil.
type Dataset struct {
	Name   string
	Note   string // what a result made with it must mention, or ""
	Images *ImageSet
	Text   *Tokens
}

// Options say how batches are made of a data set.
type Options struct {
	Seed    uint64  // of the run: order, augmentation, offset of windows
	Augment Augment // images only
	Window  int     // text only: tokens in a row
}

// Training is the shuffled, augmented, endless source of the training split.
func (d *Dataset) Training(o Options) (Source, error) {
	if err := d.suits(o); err != nil {
		return nil, err
	}
	if d.Text != nil {
		return d.Text.Training(o.Seed, o.Window)
	}
	return d.Images.Train.Training(o.Seed, o.Augment)
}

// Evaluation goes once, in order, through the test images or the validation
// text.
func (d *Dataset) Evaluation(o Options) (Source, error) {
	if err := d.suits(o); err != nil {
		return nil, err
	}
	if d.Text != nil {
		return d.Text.Evaluation(o.Window)
	}
	return d.Images.Test.Evaluation()
}

func (d *Dataset) suits(o Options) error {
	if d.Text != nil && o.Augment != (Augment{}) {
		return fmt.Errorf("%s: augmentation of images asked for, but this is text", d.Name)
	}
	if d.Text == nil && o.Window != 0 {
		return fmt.Errorf("%s: windows of %d tokens asked for, but these are images", d.Name, o.Window)
	}
	return nil
}

// Classes is the number of classes, or the size of the vocabulary.
func (d *Dataset) Classes() int {
	if d.Text != nil {
		return len(d.Text.Vocab)
	}
	return d.Images.Train.Classes
}

// Opener opens data sets. The zero value searches the usual folders and is
// silent.
type Opener struct {
	Dir   string // the only folder to search, or "": see Roots
	Cache string // folder for unpacked data, or "": unpacked in CacheDir
	Log   *zap.Logger

	sets map[string]form // for tests; nil = the known sets
}

// Open opens a data set by name with an Opener of that folder.
func Open(name, dir string) (*Dataset, error) { return Opener{Dir: dir}.Open(name) }

// Names lists the data sets that Open knows.
func Names() []string {
	var names []string
	for n := range forms {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// form is how a data set is stored.
type form interface {
	open(o Opener, name string) (*Dataset, error)
}

// imageForm reads one split from the files found. shape is what read returns,
// without pixels and labels.
type imageForm interface {
	shape(name string, test bool) *Images
	read(name string, files []packed, test bool) (*Images, error)
}

// Open opens a data set by name. Data that is slow to decode is unpacked once
// into the cache folder and mapped from there; where that folder cannot be
// written, it stays in memory. Start the workers of one machine after a first
// Open and they share those pages.
func (o Opener) Open(name string) (*Dataset, error) {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.sets == nil {
		o.sets = forms
	}
	f, ok := o.sets[name]
	if !ok {
		return nil, fmt.Errorf("unknown data set %q, want one of %s", name, strings.Join(Names(), ", "))
	}
	return f.open(o, name)
}

func (f mnistForm) open(o Opener, name string) (*Dataset, error) {
	return openImages(o, name, f, mnistFiles[:])
}

func (f cifarForm) open(o Opener, name string) (*Dataset, error) {
	return openImages(o, name, f, slices.Concat(f.train, f.test))
}

// openImages finds the files and reads both splits, through the cache.
func openImages(o Opener, name string, f imageForm, files []string) (*Dataset, error) {
	found, err := find(name, Roots(o.Dir), files)
	if err != nil {
		return nil, err
	}
	set := &ImageSet{}
	if set.Train, err = unpackOnce(o, f, name+"/train", found, false); err != nil {
		return nil, err
	}
	if set.Test, err = unpackOnce(o, f, name+"/test", found, true); err != nil {
		return nil, err
	}
	return &Dataset{Name: name, Images: set}, nil
}

// optdigitsForm is embedded.
type optdigitsForm struct{}

func (optdigitsForm) open(Opener, string) (*Dataset, error) {
	set, err := openOptdigits()
	if err != nil {
		return nil, err
	}
	return &Dataset{Name: "optdigits", Images: set}, nil
}

// charForm is one text, split by NewChars.
type charForm struct{ file string }

func (f charForm) open(o Opener, name string) (*Dataset, error) {
	found, err := find(name, Roots(o.Dir), []string{f.file})
	if err != nil {
		return nil, err
	}
	text, err := readText(found[0], maxText)
	if err != nil {
		return nil, err
	}
	t, err := NewChars(name, text)
	if err != nil {
		return nil, err
	}
	d := &Dataset{Name: name, Text: t}
	if t.Unseen > 0 {
		d.Note = fmt.Sprintf("%s: %d validation characters outside the training vocabulary count as %s", name, t.Unseen, Unknown)
	}
	return d, nil
}

// wordForm is three texts. Where train is missing, test serves in its place
// and the data set's note says so.
type wordForm struct{ train, valid, test string }

func (f wordForm) open(o Opener, name string) (*Dataset, error) {
	found, err := find(name, Roots(o.Dir), []string{f.train, f.valid, f.test}, f.train, f.test)
	if err != nil {
		return nil, err
	}
	d := &Dataset{Name: name}
	train := found[0]
	if train.path == "" {
		train = found[2]
		d.Note = fmt.Sprintf("%s: no %s, trained on %s", name, f.train, f.test)
	}
	if train.path == "" {
		return nil, &MissingError{Set: name, File: f.train, Searched: Roots(o.Dir)}
	}
	var text [2]string
	for i, p := range []packed{train, found[1]} {
		if text[i], err = readText(p, maxText); err != nil {
			return nil, err
		}
	}
	if d.Text, err = NewWords(name, text[0], text[1]); err != nil {
		return nil, err
	}
	if u := d.Text.Unseen; u > 0 {
		unseen := fmt.Sprintf("%d of %d validation words outside its vocabulary count as %s", u, len(d.Text.Valid), Unknown)
		if d.Note == "" {
			d.Note = name + ": trained on " + f.train
		}
		d.Note += ", " + unseen
	}
	return d, nil
}
