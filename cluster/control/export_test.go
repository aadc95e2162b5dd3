package control

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"
)

// Leader is the server that leads the replicas of the bucket.
func (s *KV) Leader(ctx context.Context) (string, error) {
	status, err := s.kv.Status(ctx)
	if err != nil {
		return "", err
	}
	return status.(*jetstream.KeyValueBucketStatus).StreamInfo().Cluster.Leader, nil
}
