package data

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
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

// errAltered marks a complete download with wrong bytes.
var errAltered = errors.New("downloaded bytes are not the expected ones")

// fetch completes a .part file, checks and syncs it.
func (d Downloader) fetch(ctx context.Context, url, part string, limit int64, p Progress, check func(string) error) error {
	pause := d.Backoff
	var err error
	for try := 1; ; try++ {
		err = d.transfer(ctx, url, part, limit, p)
		if err == nil {
			if err = check(part); err == nil {
				return nil
			}
			if ctx.Err() == nil {
				err = fmt.Errorf("%w: %w", errAltered, err)
				os.Remove(part) // begin anew: perhaps the old part was of another file
			}
		}
		var final *finalError
		if ctx.Err() != nil || try == d.Tries || errors.As(err, &final) {
			return fmt.Errorf("get %s: %w", url, err)
		}
		d.Log.Warn("download tried again", zap.String("url", url), zap.Int("try", try), zap.Error(err))
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return fmt.Errorf("get %s: %w", url, context.Cause(ctx))
		}
		pause *= 2
	}
}

// finalError is an answer that a further try will not change.
type finalError struct{ error }

// transfer appends what is missing to the .part file.
func (d Downloader) transfer(ctx context.Context, url, part string, limit int64, p Progress) error {
	f, err := os.OpenFile(part, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return &finalError{err}
	}
	defer f.Close()
	have, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return &finalError{err}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(d.Stall, func() { cancel(fmt.Errorf("no byte for %v", d.Stall)) })
	defer watch.Stop()
	body, have, total, err := d.ask(ctx, url, f, have)
	if err != nil || body == nil {
		return causeOf(ctx, err)
	}
	defer body.Close()
	if total > limit {
		return &finalError{fmt.Errorf("the server offers %d bytes, expected are at most %d", total, limit)}
	}
	file := strings.TrimSuffix(filepath.Base(part), ".part")
	buf := make([]byte, 1<<16)
	for {
		p(file, have, total)
		n, err := body.Read(buf)
		watch.Reset(d.Stall)
		if have += int64(n); have > limit {
			os.Remove(part)
			return &finalError{fmt.Errorf("more than the %d bytes expected", limit)}
		}
		if _, werr := f.Write(buf[:n]); werr != nil {
			return &finalError{werr}
		}
		if err == io.EOF {
			p(file, have, total)
			return f.Sync()
		}
		if err != nil {
			return causeOf(ctx, err)
		}
	}
}

// causeOf puts the reason of a cancelled context in place of the bare error.
func causeOf(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// ask requests the bytes from have on and places f where the answer goes on:
// at have, or at the start when the server sends everything. A nil body means
// that nothing is missing.
func (d Downloader) ask(ctx context.Context, url string, f *os.File, have int64) (body io.ReadCloser, from, total int64, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, 0, 0, &finalError{err}
	}
	req.Header.Set("Accept-Encoding", "identity") // sums are of the stored bytes
	if have > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
	}
	res, err := d.Client.Do(req)
	if err != nil {
		return nil, 0, 0, err
	}
	switch {
	case res.StatusCode == http.StatusOK:
		have = 0
		if err := rewind(f); err != nil {
			res.Body.Close()
			return nil, 0, 0, &finalError{err}
		}
	case res.StatusCode == http.StatusPartialContent && strings.HasPrefix(res.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", have)):
	case res.StatusCode == http.StatusRequestedRangeNotSatisfiable && have > 0 &&
		res.Header.Get("Content-Range") == fmt.Sprintf("bytes */%d", have):
		res.Body.Close()
		return nil, have, have, nil
	default:
		res.Body.Close()
		return nil, 0, 0, d.refused(res, f, have)
	}
	if res.ContentLength > 0 {
		total = have + res.ContentLength
	}
	return res.Body, have, total, nil
}

// refused judges an answer without data.
func (d Downloader) refused(res *http.Response, f *os.File, have int64) error {
	err := fmt.Errorf("server answers %s", res.Status)
	switch s := res.StatusCode; {
	case have > 0 && (s == http.StatusRequestedRangeNotSatisfiable || s == http.StatusPartialContent):
		if e := rewind(f); e != nil {
			return &finalError{e}
		}
		return err // the part is of no use: next time from the start
	case s >= 500 || s == http.StatusTooManyRequests || s == http.StatusRequestTimeout:
		return err
	}
	return &finalError{err}
}

func rewind(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.Seek(0, io.SeekStart)
	return err
}
