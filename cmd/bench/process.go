package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// freeAddr gives an address on the loopback that nobody listens on.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// answers waits until an address answers a request, at most for 30 s.
func answers(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for tick := time.NewTicker(5 * time.Millisecond); ; {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		if res, err := http.DefaultClient.Do(req); err == nil {
			return res.Body.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer", url)
		case <-tick.C:
		}
	}
}

// startGateway starts the S3 server over a folder; the credentials are left in
// the environment for the children.
func startGateway(ctx context.Context, bin, dir string) (stop func(), addr string, err error) {
	if addr, err = freeAddr(); err != nil {
		return nil, "", err
	}
	for k, v := range map[string]string{"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench-secret"} {
		if err := os.Setenv(k, v); err != nil {
			return nil, "", err
		}
	}
	cmd := exec.Command(bin, "--access", "bench", "--secret", "bench-secret", "--port", addr, "posix", dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	stop = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	if err := answers(ctx, "http://"+addr); err != nil {
		stop()
		return nil, "", err
	}
	return stop, addr, nil
}

// startDemo tells how long the demo takes until it serves, and stops it.
func startDemo(ctx context.Context, bin, data string) (time.Duration, error) {
	addr, err := freeAddr()
	if err != nil {
		return 0, err
	}
	cmd := exec.Command(bin, "demo")
	cmd.Env = append(os.Environ(), "PATINA_DATA="+data, "PATINA_ADDR="+addr)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	err = answers(ctx, "http://"+addr+"/healthz")
	took := time.Since(began)
	select { // let the first backup end
	case <-ctx.Done():
	case <-time.After(2 * time.Second):
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	_ = cmd.Wait()
	return took, err
}
