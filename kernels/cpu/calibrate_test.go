package cpu

import "testing"

func TestCalibration(t *testing.T) {
	for _, threads := range []int{1, 2} {
		peak, rate := FMAPeak(threads), Bandwidth(threads)
		if has := HasAVX2(); (peak > 0) != has || (rate > 0) != has {
			t.Errorf("%d threads: %g GFLOP/s, %g GB/s, AVX2 %v", threads, peak, rate, has)
		}
		t.Logf("%d threads: %.1f GFLOP/s, %.1f GB/s", threads, peak, rate)
	}
}
