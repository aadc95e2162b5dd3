package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"github.com/espalier-ml/espalier/cluster"
	"github.com/espalier-ml/espalier/launch/agent"
)

// serveMetrics answers Prometheus at /metrics, and /status with what the
// status command shows, until the function returned is called.
func serveMetrics(addr string, s cluster.Session, a *agent.Agent, log *zap.Logger) (stop func(), err error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, usage("--metrics %s: %w", addr, err)
	}
	read := func() status { return statusOf(s.View(), a.Status()) }
	registry := prometheus.NewRegistry()
	registry.MustRegister(gauges(read)...)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(read())
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() { defer close(done); server.Serve(l) }()
	log.Info("metrics", zap.String("url", fmt.Sprintf("http://%s/metrics", l.Addr())))
	return func() {
		ending, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		server.Shutdown(ending)
		server.Close()
		<-done
	}, nil
}

// gauges are the figures of a node's view of the run.
func gauges(read func() status) (all []prometheus.Collector) {
	for _, g := range []struct {
		name, help string
		value      func(status) float64
	}{
		{"step", "Committed steps.", func(s status) float64 { return float64(s.Step) }},
		{"steps", "Steps of the run.", func(s status) float64 { return float64(s.Steps) }},
		{"generation", "Number of the generation.", func(s status) float64 { return float64(s.Generation) }},
		{"world", "Ranks of the generation.", func(s status) float64 { return float64(s.World) }},
		{"nodes", "Nodes of the generation.", func(s status) float64 { return float64(len(s.Nodes)) }},
		{"suspects", "Nodes under suspicion.", func(s status) float64 { return float64(len(s.Suspects)) }},
		{"samples_per_second", "Samples of all ranks a second.", func(s status) float64 { return s.SamplesPerSec }},
		{"exposed_communication_ratio", "Share of a step in which a worker waits for others and computes nothing, the largest of this node.", func(s status) float64 { return s.ExposedPercent / 100 }},
	} {
		all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "espalier", Name: g.name, Help: g.help},
			func() float64 { return g.value(read()) }))
	}
	return all
}
