package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/espalier-ml/espalier/cluster"
	"github.com/espalier-ml/espalier/launch/agent"
)

// What an agent keeps in the run folder for whoever watches.
const (
	statusFile = "status.json"  // how the run stands, replaced every second
	reformFile = "reform.jsonl" // one line for each formation
)

// status is how a run stands, as one node sees it.
type status struct {
	Time       time.Time                 `json:"time"`
	Node       cluster.NodeID            `json:"node"`
	Phase      string                    `json:"phase"`
	Leader     cluster.NodeID            `json:"leader,omitempty"`
	Generation uint64                    `json:"generation"`
	World      int                       `json:"world"`
	Nodes      []nodeStatus              `json:"nodes"`
	Suspects   map[cluster.NodeID]string `json:"suspects,omitempty"`
	agent.Status
}

type nodeStatus struct {
	ID      cluster.NodeID `json:"id"`
	Host    string         `json:"host"`
	Workers int            `json:"workers"`
	Step    uint64         `json:"step"`
}

func statusOf(v cluster.View, s agent.Status) status {
	st := status{Time: time.Now(), Node: v.Self, Phase: v.Phase, Leader: v.Leader, Generation: v.Generation.N, World: v.Generation.World(), Suspects: v.Suspects, Status: s}
	for _, n := range v.Generation.Nodes {
		st.Nodes = append(st.Nodes, nodeStatus{n.ID, n.Host, len(n.Workers), n.Step})
	}
	return st
}

// reform is a line of the log of formations; phases are in milliseconds.
type reform struct {
	N       uint64    `json:"n"`
	At      time.Time `json:"at"`
	Cause   string    `json:"cause"`
	World   int       `json:"world"`
	Noticed float64   `json:"noticed_ms"`
	Formed  float64   `json:"formed_ms"`
	Opened  float64   `json:"opened_ms"`
}

// watchSession writes status and formations until the function returned is
// called. They are a courtesy: trouble with them is logged and no more.
func watchSession(dir string, s cluster.Session, a *agent.Agent, log *zap.Logger) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		t := time.NewTicker(time.Second)
		defer t.Stop()
		var last uint64
		for more := true; more; {
			select {
			case <-t.C:
			case <-quit:
				more = false
			}
			v := s.View()
			b, err := json.Marshal(statusOf(v, a.Status()))
			if err == nil {
				err = replaceFile(filepath.Join(dir, statusFile), b)
			}
			if err == nil {
				last, err = logReforms(dir, v.History, last, more)
			}
			if err != nil {
				log.Warn("status not written", zap.Error(err))
			}
		}
	}()
	return func() { close(quit); <-done }
}

// logReforms appends formations after n; those that are not open yet wait,
// unless there will be no other time.
func logReforms(dir string, history []cluster.Reform, n uint64, wait bool) (uint64, error) {
	var lines []byte
	for i, r := range history {
		if r.N <= n || wait && r.Opened == 0 && i == len(history)-1 {
			continue
		}
		ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
		b, err := json.Marshal(reform{r.N, r.At, r.Cause, r.World, ms(r.Noticed), ms(r.Formed), ms(r.Opened)})
		if err != nil {
			return n, err
		}
		lines, n = append(append(lines, b...), '\n'), r.N
	}
	if len(lines) == 0 {
		return n, nil
	}
	f, err := os.OpenFile(filepath.Join(dir, reformFile), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return n, err
	}
	_, err = f.Write(lines)
	return n, errors.Join(err, f.Close())
}

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status RUN_DIR",
		Short: "Say how a run stands that this machine takes part in",
		Long:  "Status reads what the node's agent writes every second into its run folder.\n" + exitHelp,
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := readStatus(args[0])
			if err != nil {
				return err
			}
			a.result = s
			s.print(a.out())
			return nil
		}}
}

func (a *app) watchCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "watch RUN_DIR",
		Short: "Follow how a run stands until it ends or is interrupted",
		Long:  "Watch is status once a second, for as long as the node's agent writes.\n" + exitHelp,
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ctx, release := untilSignal(c.Context())
			defer release()
			t := time.NewTicker(time.Second)
			defer t.Stop()
			for {
				s, err := readStatus(args[0])
				if err != nil {
					return err
				}
				a.result = s
				s.print(a.out())
				if s.Phase == "done" || time.Since(s.Time) > time.Minute {
					return nil
				}
				select {
				case <-t.C:
				case <-ctx.Done():
					return nil
				}
			}
		}}
}

// readStatus reads what the agent of a run folder wrote last.
func readStatus(dir string) (s status, err error) {
	b, err := os.ReadFile(filepath.Join(dir, statusFile))
	if errors.Is(err, fs.ErrNotExist) {
		return s, usage("%s has no %s: no run of several workers was started there", dir, statusFile)
	}
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err != nil {
		return s, fmt.Errorf("%s: %w", filepath.Join(dir, statusFile), err)
	}
	return s, nil
}

func (s *status) print(out io.Writer) {
	fmt.Fprintf(out, "%s  generation %d  world %d  step %d of %d  %.0f samples/s  exposed communication %.1f %%  %s ago\n",
		s.Phase, s.Generation, s.World, s.Step, s.Steps, s.SamplesPerSec, s.ExposedPercent, time.Since(s.Time).Round(time.Second))
	for _, n := range s.Nodes {
		fmt.Fprintf(out, "  node %-20s %-20s %d workers\n", n.ID, n.Host, n.Workers)
	}
	for _, w := range s.Workers {
		fmt.Fprintf(out, "  worker %d  rank %d  step %d  %s a step, of that %s of waiting  deaths %d\n", w.Worker, w.Rank, w.Step, w.StepTime, w.Exposed, w.Deaths)
	}
	for id, why := range s.Suspects {
		fmt.Fprintf(out, "  suspect %s: %s\n", id, why)
	}
}
