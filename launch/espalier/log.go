package main

import (
	"io"
	"os"
	"path/filepath"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// runLog logs into the run folder's log.jsonl, and what needs attention to
// stderr as well (everything, if verbose).
func runLog(dir string, stderr io.Writer, verbose bool, worker int) (*zap.Logger, error) {
	f, err := os.OpenFile(filepath.Join(dir, logFile), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	ec := zap.NewProductionEncoderConfig()
	ec.EncodeTime = zapcore.ISO8601TimeEncoder
	file := zapcore.NewCore(zapcore.NewJSONEncoder(ec), f, zap.InfoLevel)
	if worker >= 0 {
		file = file.With([]zap.Field{zap.Int("worker", worker)})
	}
	return zap.New(zapcore.NewTee(file, consoleCore(stderr, verbose))), nil
}

// consoleLog logs for people.
func consoleLog(stderr io.Writer, verbose bool) *zap.Logger {
	return zap.New(consoleCore(stderr, verbose))
}

func consoleCore(stderr io.Writer, verbose bool) zapcore.Core {
	level := zap.WarnLevel
	if verbose {
		level = zap.DebugLevel
	}
	ec := zap.NewDevelopmentEncoderConfig()
	ec.TimeKey, ec.CallerKey = "", ""
	return zapcore.NewCore(zapcore.NewConsoleEncoder(ec), zapcore.AddSync(stderr), level)
}
