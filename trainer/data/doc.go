// Package data turns files into batches: it finds and checks data sets, decides
// the order of samples, augments them and keeps a few batches ready ahead of
// the training step.
//
// # Promises
//
//   - A batch is a pure function of (seed, request). Order and augmentation
//     come from a counter-based generator keyed by seed, epoch and sample, so
//     any rank can make any row of any step, at any time, alone; a resumed run
//     sees what the uninterrupted one would have seen.
//   - The cursor counts samples over all epochs. Training batches run over the
//     border of an epoch: no sample is dropped, none is seen twice. The last
//     evaluation batch is filled up with rows whose target is Ignore.
//   - Files are checked in every header, length and label before a number is
//     taken from them; a file that is short, long or altered is refused by name.
//     No allocation follows an unchecked length.
//   - Filling a batch and taking one from a Loader allocate nothing.
//
// # What it leaves to others
//
// Which samples a step takes (the trainer's schedule of cursors and batch
// sizes), which rank takes which shard (Request.Part only does the arithmetic),
// and everything after the batch.
//
// # Example
//
//	set, err := data.Open("optdigits", "")
//	train, err := set.Training(data.Options{Seed: 1})
//	l, err := data.NewLoader(train, data.LoaderConfig{MaxRows: 64, Depth: 3},
//		func(step int) (data.Request, bool) {
//			return data.Request{Cursor: uint64(step) * 64, N: 64}, step < 100
//		})
//	defer l.Close()
//	for {
//		b, err := l.Next(ctx) // b.X [64,8,8,1], b.Y [64]; io.EOF after step 99
//	}
//
// # Legend
//
// N rows of a batch, H W C height, width and channels of an image (NHWC),
// T tokens of a text window.
package data
