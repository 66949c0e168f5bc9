// A client of scripts/retry-matrix: gets an access token with compute/metadata or with x/oauth2, as its argument says.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strconv"

	"cloud.google.com/go/compute/metadata"
	"golang.org/x/oauth2/google"
)

// getTokens gets as many tokens as times says.
func getTokens(library string, times int) error {
	if library == "compute/metadata" {
		for range times {
			if _, err := metadata.Get("instance/service-accounts/default/token"); err != nil {
				return err
			}
		}
		return nil
	}
	found, err := google.FindDefaultCredentials(context.Background(), "https://www.googleapis.com/auth/cloud-platform")
	if err != nil {
		return err
	}
	for range times {
		if _, err := found.TokenSource.Token(); err != nil {
			return err
		}
	}
	return nil
}

// class is the type of the innermost error.
func class(err error) string {
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return fmt.Sprintf("%T", err)
}

func main() {
	times, err := strconv.Atoi(os.Getenv("TOKENS"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("started")
	if err := getTokens(os.Args[1], times); err != nil {
		log.Print(err)
		fmt.Println("error", class(err))
		return
	}
	fmt.Println("ok")
}
