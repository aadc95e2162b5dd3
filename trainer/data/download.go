package data

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"
)

// Progress hears how far a download is; total is 0 where the server does not
// say. It is called from the goroutine of Get.
type Progress func(file string, done, total int64)

// Downloader fetches data sets. The zero value is ready for use.
type Downloader struct {
	Client  *http.Client  // nil = http.DefaultClient
	Tries   int           // of one address, 0 = 4
	Backoff time.Duration // before the second try, doubled for each further; 0 = 1 s
	Stall   time.Duration // a transfer without a byte for so long is tried again; 0 = 30 s
	Log     *zap.Logger
}

// Get fetches what is missing or altered of a data set with a zero Downloader.
func Get(ctx context.Context, name, dir string, p Progress) error {
	return Downloader{}.Get(ctx, name, dir, p)
}

// GetDir is the folder that Get writes a data set to: dir, $ESPALIER_DATA or
// the folder for downloads, and in it the set's name.
func GetDir(name, dir string) (string, error) {
	if dir == "" {
		dir = os.Getenv(EnvData)
	}
	if dir == "" {
		c, err := CacheDir()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(c, "data")
	}
	return filepath.Join(dir, name), nil
}

// Get fetches the files of a data set that Verify does not find good in the
// target folder. A transfer that was cut goes on from its .part file; a file
// appears under its name only when its sum is right.
func (d Downloader) Get(ctx context.Context, name, dir string, p Progress) error {
	e, ok := catalog[name]
	if !ok {
		return unknownSet(name)
	}
	target, err := GetDir(name, dir)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return d.get(ctx, e, target, p)
}

func (d Downloader) get(ctx context.Context, e Entry, target string, p Progress) error {
	if e.Embedded {
		return nil
	}
	d = d.withDefaults()
	if p == nil {
		p = func(string, int64, int64) {}
	}
	if err := os.MkdirAll(target, 0o755); err != nil {
		return fmt.Errorf("%s: %w", e.Name, err)
	}
	// The target itself is searched, whatever its parent holds.
	status, err := verifyFiles(ctx, e, []string{target})
	if err != nil {
		return fmt.Errorf("%s: %w", e.Name, err)
	}
	var need []File
	for i, s := range status {
		if s.State != Good {
			need = append(need, e.Files[i])
		}
	}
	if len(need) == 0 {
		return nil
	}
	if e.Archive != nil {
		if err := d.getArchive(ctx, *e.Archive, need, target, p); err != nil {
			return byHand(e.Name, path.Base(e.Archive.URL), target, err)
		}
		return nil
	}
	for _, f := range need {
		if err := d.getFile(ctx, f, target, p); err != nil {
			return byHand(e.Name, f.Name, target, err)
		}
	}
	return nil
}

// byHand says what a person without a network can do.
func byHand(set, file, target string, err error) error {
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: %s: %w", set, file, err)
	}
	what := fmt.Sprintf("%s (plain, .gz or .bz2)", file)
	if strings.HasSuffix(file, ".tar.gz") {
		what = fmt.Sprintf("the .bin files of %s (plain, .gz or .bz2)", file)
	}
	return fmt.Errorf("%s: %s: %w; without a network put %s into %s, then run `espalier data verify %s`",
		set, file, err, what, target, set)
}

func (d Downloader) withDefaults() Downloader {
	if d.Client == nil {
		d.Client = http.DefaultClient
	}
	if d.Tries == 0 {
		d.Tries = 4
	}
	if d.Backoff == 0 {
		d.Backoff = time.Second
	}
	if d.Stall == 0 {
		d.Stall = 30 * time.Second
	}
	if d.Log == nil {
		d.Log = zap.NewNop()
	}
	return d
}

// getFile fetches one file from the first of its addresses that yields the
// right bytes.
func (d Downloader) getFile(ctx context.Context, f File, target string, p Progress) error {
	var errs []error
	for _, url := range f.URLs {
		ending := packing(f.Name, url)
		part := filepath.Join(target, f.Name+ending+".part")
		err := d.fetch(ctx, url, part, limitOf(f), p, func(part string) error {
			_, err := f.check(ctx, part, ending)
			return err
		})
		if err == nil {
			return d.adopt(part, filepath.Join(target, f.Name), ending)
		}
		if ctx.Err() != nil {
			return err
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// adopt gives a checked download its name. Forms of the file that would be
// read before it were found altered and are put aside.
func (d Downloader) adopt(part, name, ending string) error {
	if err := os.Rename(part, name+ending); err != nil {
		return err
	}
	for _, e := range endings {
		if e == ending {
			break
		}
		if err := os.Rename(name+e, name+e+".altered"); err == nil {
			d.Log.Warn("put aside an altered file", zap.String("path", name+e+".altered"))
		}
	}
	return syncDir(filepath.Dir(name))
}

// packing is the ending that a download has beyond the file's name.
func packing(name, url string) string {
	for _, e := range endings[1:] {
		if strings.HasSuffix(url, e) && !strings.HasSuffix(name, e) {
			return e
		}
	}
	return ""
}

// limitOf bounds a download: packing never makes a file much longer.
func limitOf(f File) int64 {
	if f.Size == 0 {
		return 1 << 30
	}
	return f.Size + f.Size/8 + 1<<16
}

// getArchive fetches a .tar.gz, and takes the files out of it.
func (d Downloader) getArchive(ctx context.Context, a Archive, need []File, target string, p Progress) error {
	part := filepath.Join(target, path.Base(a.URL)+".part")
	err := d.fetch(ctx, a.URL, part, a.Size, p, func(part string) error {
		f, err := os.Open(part)
		if err != nil {
			return err
		}
		defer f.Close()
		sum, n, err := digest(ctx, f, sha256.New())
		if err == nil && sum != a.SHA256 {
			err = fmt.Errorf("%d bytes of sha256:%s, want %d of sha256:%s", n, sum, a.Size, a.SHA256)
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := extract(ctx, part, need, target); err != nil {
		return err
	}
	return os.Remove(part)
}
