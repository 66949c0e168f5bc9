// Decides as k8s-node-termination-handler does when a node is about to be terminated: a Spot VM by the key preempted, another one by
// maintenance-event. Prints each decision.
package main

import (
	"context"
	"fmt"
	"log"
	"sync"

	"cloud.google.com/go/compute/metadata"
)

func get(key string) string {
	value, err := metadata.GetWithContext(context.Background(), key)
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func main() {
	if get("instance/scheduling/on-host-maintenance") != "TERMINATE" {
		fmt.Println("not needed")
		return
	}
	terminates := "TERMINATE_ON_HOST_MAINTENANCE"
	if get("instance/scheduling/preemptible") == "TRUE" {
		terminates = "TRUE"
	}
	decide := func(_ context.Context, value string, exists bool) error {
		if exists && value == terminates {
			fmt.Println("drain: " + value)
		} else {
			fmt.Println("no termination: " + value)
		}
		return nil
	}
	var watches sync.WaitGroup
	for _, key := range []string{"instance/maintenance-event", "instance/preempted"} {
		watches.Go(func() {
			if err := metadata.SubscribeWithContext(context.Background(), key, decide); err != nil {
				log.Fatal(err)
			}
		})
	}
	watches.Wait()
}
