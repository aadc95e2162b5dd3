package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
)

const (
	manifestName    = "manifest.json"
	manifestFormat  = "espalier checkpoint"
	manifestVersion = 1
	maxManifest     = 64 << 20
)

// manifest is written last and says what belongs to the checkpoint. Between
// them the sums cover every byte of every file: the header by Head, the data
// by the sums of its tensors.
type manifest struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
	Meta    Meta   `json:"meta"`
	Files   []Part `json:"files"`
}

// Part is one state file of a checkpoint as its writer describes it. It can
// be sent to the process that commits.
type Part struct {
	Name    string   `json:"name"`
	Bytes   int64    `json:"bytes"`
	Head    Sum      `json:"header_sha256"` // of all bytes before the data
	Tensors []Record `json:"tensors"`
}

func partName(i, n int) string { return fmt.Sprintf("state-%05d-of-%05d.safetensors", i, n) }

// The manifest file is {"sha256":"…","body":…} in exactly this spelling, so
// that the sum can be taken over the bytes of the body as they stand.
const (
	envelopeHead = "{\"sha256\":\""
	envelopeMid  = "\",\n\"body\":"
	envelopeTail = "}\n"
)

func (m manifest) encode() ([]byte, error) {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false) // raw parts come back as they were
	if err := enc.Encode(m); err != nil {
		return nil, fmt.Errorf("%s: %w", manifestName, err)
	}
	raw := bytes.TrimSuffix(body.Bytes(), []byte("\n"))
	if len(raw) > maxManifest-256 {
		return nil, fmt.Errorf("%s: %d bytes, at most %d are allowed; hold large state in tensors", manifestName, len(raw), maxManifest)
	}
	text := []byte(envelopeHead + Sum(sha256.Sum256(raw)).String() + envelopeMid)
	return append(append(text, raw...), envelopeTail...), nil
}

// decodeManifest checks the sum, the version and that the parts make a whole.
func decodeManifest(text []byte) (manifest, error) {
	const at = len(envelopeHead) + 2*len(Sum{})
	rest, ok := bytes.CutPrefix(text, []byte(envelopeHead))
	if !ok || len(text) < at {
		return manifest{}, errors.New("not a manifest, or cut short")
	}
	body, ok := bytes.CutPrefix(rest[2*len(Sum{}):], []byte(envelopeMid))
	if !ok {
		return manifest{}, errors.New("not a manifest, or cut short")
	}
	body, ok = bytes.CutSuffix(body, []byte(envelopeTail))
	if !ok {
		return manifest{}, errors.New("cut short")
	}
	want := string(text[len(envelopeHead):at])
	if got := Sum(sha256.Sum256(body)).String(); got != want {
		return manifest{}, fmt.Errorf("sha-256 of the body is %.12s…, the file says %.12q…", got, want)
	}
	return decodeBody(body)
}

func decodeBody(body []byte) (manifest, error) {
	var head struct {
		Format  string `json:"format"`
		Version int    `json:"version"`
	}
	if err := json.Unmarshal(body, &head); err != nil {
		return manifest{}, err
	}
	if head.Format != manifestFormat {
		return manifest{}, fmt.Errorf("format %q, want %q", head.Format, manifestFormat)
	}
	if head.Version != manifestVersion {
		return manifest{}, fmt.Errorf("%w %d, this build reads %d; use the build that wrote it", ErrVersion, head.Version, manifestVersion)
	}
	var m manifest
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&m); err != nil {
		return manifest{}, err
	}
	return m, m.check()
}

// check tells whether the parts are complete, well formed and those that
// Meta.Digest stands for.
func (m manifest) check() error {
	if len(m.Files) == 0 {
		return errors.New("no files listed")
	}
	var records []Record
	for i, p := range m.Files {
		if want := partName(i, len(m.Files)); p.Name != want {
			return fmt.Errorf("file %d of %d is %q, want %s", i, len(m.Files), p.Name, want)
		}
		records = append(records, p.Tensors...)
	}
	layout := make([]Tensor, len(records))
	for i, r := range records {
		layout[i] = Tensor{Name: r.Name, DType: r.DType, Shape: r.Shape}
	}
	if err := checkLayout(layout); err != nil {
		return err
	}
	if got := digestRecords(records); got != m.Meta.Digest {
		return fmt.Errorf("digest of the tensors is %.12s…, meta says %.12s…", got, m.Meta.Digest)
	}
	return nil
}

func readManifest(fsys FS, folder string) (manifest, error) {
	src, err := fsys.Open(filepath.Join(folder, manifestName))
	if err != nil {
		return manifest{}, err
	}
	defer src.Close()
	if src.Size() > maxManifest {
		return manifest{}, fmt.Errorf("%s: %d bytes, at most %d are allowed", manifestName, src.Size(), maxManifest)
	}
	text := make([]byte, src.Size())
	if err := readFull(src, text, 0); err != nil {
		return manifest{}, fmt.Errorf("%s: %w", manifestName, err)
	}
	m, err := decodeManifest(text)
	if err != nil {
		return manifest{}, fmt.Errorf("%s: %w", manifestName, err)
	}
	return m, nil
}
