// Handles preemptions and maintenances by Google's library for Go: prints each value of a key.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"cloud.google.com/go/compute/metadata"
)

func main() {
	print := func(_ context.Context, value string, _ bool) error {
		fmt.Println(value)
		return nil
	}
	if err := metadata.SubscribeWithContext(context.Background(), "instance/"+os.Args[1], print); err != nil {
		log.Fatal(err)
	}
}
