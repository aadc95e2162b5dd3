package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// signalError is the cause of a context that a signal ended.
type signalError struct{ signal syscall.Signal }

func (e signalError) Error() string { return e.name() }

func (e signalError) name() string {
	if e.signal == syscall.SIGINT {
		return "SIGINT"
	}
	return "SIGTERM"
}

func (e signalError) code() int { return 128 + int(e.signal) }

// untilSignal ends the context at the first SIGINT or SIGTERM, which asks for
// a graceful stop. The second one ends the process on the spot, after what has
// to be ended with it.
func untilSignal(ctx context.Context, before ...func()) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	c := make(chan os.Signal, 2)
	signal.Notify(c, syscall.SIGINT, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		for n := 0; ; n++ {
			select {
			case s := <-c:
				if n > 0 {
					for _, f := range before {
						f()
					}
					os.Exit(signalError{s.(syscall.Signal)}.code())
				}
				cancel(signalError{s.(syscall.Signal)})
			case <-done:
				return
			}
		}
	}()
	return ctx, func() {
		signal.Stop(c)
		close(done)
		cancel(nil)
	}
}

// stopped is the error of a run that was asked to stop.
func stopped(ctx context.Context, dir string, step, steps int64) error {
	by, code := "on request", exitTerm
	if e, ok := context.Cause(ctx).(signalError); ok {
		by, code = "by "+e.name(), e.code()
	}
	return withCode(code, fmt.Errorf("stopped %s at step %d of %d, the state is saved; go on with: espalier train %s", by, step, steps, dir))
}
