// Prints an access token of Application Default Credentials.
package main

import (
	"context"
	"fmt"
	"log"

	"cloud.google.com/go/auth/credentials"
)

func main() {
	found, err := credentials.DetectDefault(&credentials.DetectOptions{
		Scopes: []string{"https://www.googleapis.com/auth/cloud-platform"},
	})
	if err != nil {
		log.Fatal(err)
	}
	token, err := found.Token(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Value)
}
