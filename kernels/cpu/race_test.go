//go:build race

package cpu_test

// raceDetector makes everything about ten times slower.
const raceDetector = true
