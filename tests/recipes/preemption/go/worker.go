// Package worker is the program under test.
package worker

import (
	"context"
	"errors"

	"cloud.google.com/go/compute/metadata"
)

var errPreempted = errors.New("preempted")

// Work works until the machine is preempted, then saves the work.
func Work(ctx context.Context, save func() error) error {
	err := metadata.SubscribeWithContext(ctx, "instance/preempted", func(_ context.Context, value string, _ bool) error {
		if value == "TRUE" {
			return errPreempted
		}
		return nil
	})
	if !errors.Is(err, errPreempted) {
		return err
	}
	return save()
}
