package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestUntilLost: only a time without training and without store, both, counts.
func TestUntilLost(t *testing.T) {
	gone := errors.New("nobody there")
	for _, c := range []struct {
		name   string
		trains func(time.Duration) bool
		probe  func(time.Duration) error
		want   time.Duration // 0: never within an hour
	}{
		{"all is well", func(time.Duration) bool { return true }, func(time.Duration) error { return nil }, 0},
		{"waiting for nodes", func(time.Duration) bool { return false }, func(time.Duration) error { return nil }, 0},
		{"training without store", func(time.Duration) bool { return true }, func(time.Duration) error { return gone }, 0},
		{"neither", func(time.Duration) bool { return false }, func(time.Duration) error { return gone }, 2 * time.Minute},
		{"the store comes back now and then", func(time.Duration) bool { return false }, func(at time.Duration) error {
			if at%(90*time.Second) == 0 {
				return nil
			}
			return gone
		}, 0},
		{"lost after ten minutes of training", func(at time.Duration) bool { return at <= 10*time.Minute }, func(time.Duration) error { return gone }, 12 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				began := time.Now()
				err := untilLost(ctx, 2*time.Minute, func() bool { return c.trains(time.Since(began)) }, func(context.Context) error { return c.probe(time.Since(began)) })
				switch took := time.Since(began); {
				case c.want == 0 && (err != nil || took != time.Hour):
					t.Errorf("%v after %v", err, took)
				case c.want != 0 && (!errors.Is(err, gone) || !strings.Contains(err.Error(), "for 2m0s") || took != c.want):
					t.Errorf("%v after %v, want the end after %v", err, took, c.want)
				}
			})
		})
	}
}
