package data

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"
)

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
