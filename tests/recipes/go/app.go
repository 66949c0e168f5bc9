// Package app is the program under test.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/credentials"
	"cloud.google.com/go/compute/metadata"
)

var errPreempted = errors.New("preempted")

// WaitForPreemption returns when the VM is preempted.
func WaitForPreemption(ctx context.Context) error {
	err := metadata.SubscribeWithContext(ctx, "instance/preempted", func(_ context.Context, value string, _ bool) error {
		if value == "TRUE" {
			return errPreempted
		}
		return nil
	})
	if errors.Is(err, errPreempted) {
		return nil
	}
	return err
}

// Reports reads reports from a storage service.
type Reports struct {
	url         string
	credentials *auth.Credentials
}

// NewReports uses the default credentials.
func NewReports(storageURL string) (*Reports, error) {
	found, err := credentials.DetectDefault(&credentials.DetectOptions{
		Scopes: []string{"https://www.googleapis.com/auth/cloud-platform"},
	})
	return &Reports{storageURL, found}, err
}

// Download returns the content of a report.
func (r *Reports) Download(ctx context.Context, name string) (string, error) {
	token, err := r.credentials.Token(ctx)
	if err != nil {
		return "", err
	}
	request, err := http.NewRequestWithContext(ctx, "GET", r.url+"/storage/v1/b/reports/o/"+name+"?alt=media", nil)
	if err != nil {
		return "", err
	}
	request.Header.Set("Authorization", "Bearer "+token.Value)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", name, answer.Status)
	}
	body, err := io.ReadAll(answer.Body)
	return string(body), err
}
