package app

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/compute/metadata"
)

func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !condition(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not within 30 seconds")
		}
	}
}

// changeVM replaces a text in the config file, which the server follows. The file is restored after the test.
func changeVM(t *testing.T, from, to string) {
	t.Helper()
	original, err := os.ReadFile("vm.json")
	if err != nil {
		t.Fatal(err)
	}
	// Renaming shows the server the whole new file at once.
	write := func(text string) {
		if err := os.WriteFile("vm.json.new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename("vm.json.new", "vm.json"); err != nil {
			t.Fatal(err)
		}
	}
	write(strings.Replace(string(original), from, to, 1))
	t.Cleanup(func() { write(string(original)) })
}

// storage is a storage service that accepts the tokens of the metadata server until they expire.
type storage struct {
	sync.Mutex
	expiry map[string]time.Time
	last   string
}

func (s *storage) hasExpired(token string) bool {
	s.Lock()
	defer s.Unlock()
	return !time.Now().Before(s.expiry[token])
}

func (s *storage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var current struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
	}
	answer, err := metadata.GetWithContext(r.Context(), "instance/service-accounts/default/token")
	if err != nil || json.Unmarshal([]byte(answer), &current) != nil {
		http.Error(w, "no token", http.StatusInternalServerError)
		return
	}
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	s.Lock()
	// expires_in is rounded down to seconds.
	s.expiry[current.AccessToken] = time.Now().Add(time.Duration(current.ExpiresIn+1) * time.Second)
	s.last = token
	s.Unlock()
	if s.hasExpired(token) {
		http.Error(w, "unknown or expired token", http.StatusUnauthorized)
		return
	}
	w.Write([]byte("all is well"))
}

func TestDefaultCredentialsAreThoseOfTheVM(t *testing.T) {
	reports, err := NewReports("http://127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	project, err := reports.credentials.ProjectID(t.Context())
	if err != nil || project != "my-project" {
		t.Fatal(project, err)
	}
}

func TestCustomAttribute(t *testing.T) {
	color, err := metadata.InstanceAttributeValueWithContext(t.Context(), "color")
	if err != nil || color != "blue" {
		t.Fatal(color, err)
	}
}

func TestProgramNoticesThatItsVMIsPreempted(t *testing.T) {
	preempted := make(chan error)
	go func() { preempted <- WaitForPreemption(t.Context()) }()
	changeVM(t, `"preempted": "FALSE"`, `"preempted": "TRUE"`)
	if err := <-preempted; err != nil {
		t.Fatal(err)
	}
}

func TestRequestAfterTheTokenHasExpiredHasANewToken(t *testing.T) {
	service := &storage{expiry: map[string]time.Time{}}
	server := httptest.NewServer(service)
	defer server.Close()
	reports, err := NewReports(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	download := func() {
		t.Helper()
		if report, err := reports.Download(t.Context(), "today"); err != nil || report != "all is well" {
			t.Fatal(report, err)
		}
	}
	download()
	first := service.last
	eventually(t, func() bool { return service.hasExpired(first) })
	download()
	if service.last == first {
		t.Fatal("the token is still the first")
	}
}
